"""The hub's cache on this machine: which models are in it, where, and how one gets there. No torch.

Reads folders only, except `pull`, which is the one place that downloads, and only when a person asks.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from treegraft_daemon.errors import ModelNotFound, ModelsNotInstalled

HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
# What a model needs; weights in pickles are not fetched, because they are not loaded.
WANTED = ("*.json", "*.safetensors", "*.txt", "LICENSE*", "README.md")


def cache() -> Path:
    """The folder that huggingface_hub keeps downloads in."""
    home = os.environ.get("HF_HOME") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "huggingface")
    return Path(os.environ.get("HF_HUB_CACHE") or Path(home, "hub")).expanduser()


def cached() -> list[tuple[str, int]]:
    """Names and sizes in bytes of the models in the cache."""
    found = []
    for folder in sorted(cache().glob("models--*--*")):
        name = folder.name.removeprefix("models--").replace("--", "/", 1)
        sizes = [path.stat().st_size for path in (folder / "blobs").glob("*") if path.is_file()]
        found.append((name, sum(sizes)))
    return found


def locate(model: str) -> Path:
    """The directory of a model: a path, or a name that is in the cache. Raises ModelNotFound, saying what to do."""
    folder = Path(model).expanduser()
    if folder.is_dir():
        return folder
    if folder.exists():
        raise ModelNotFound(f"{model} is a file; a model is a directory with config.json, tokenizer.json and weights")
    if not HUB_ID.fullmatch(model) or model.startswith("."):
        raise ModelNotFound(f'no directory {model}; "embedded" names the model that is built in')
    here = cache() / f"models--{model.replace('/', '--')}"
    try:
        commit = (here / "refs" / "main").read_text(encoding="utf-8").strip()
    except OSError:
        commit = ""
    if commit and (here / "snapshots" / commit).is_dir():
        return here / "snapshots" / commit
    raise ModelNotFound(f'no directory {model}, nor in the local cache; "treegraft models pull {model}" downloads it')


def pull(model: str, tell: Callable[[int, int], None] | None = None) -> Path:
    """Download a model into the cache, what is there already excepted; its directory.

    The progress is shown on stderr, or told as bytes done and bytes to do. Raises ModelNotFound or
    ModelsNotInstalled.
    """
    if not HUB_ID.fullmatch(model):
        raise ModelNotFound(f"{model} is no name on the hub; they look like Qwen/Qwen2.5-Coder-0.5B")
    try:
        from huggingface_hub import HfApi, snapshot_download
        from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError
        from huggingface_hub.utils import filter_repo_objects
    except ModuleNotFoundError as error:
        raise ModelsNotInstalled('downloading needs the extra "models": pip install "treegraft[models]"') from error
    try:
        bars = None
        if tell is not None:
            files = HfApi().model_info(model, files_metadata=True).siblings or []
            wanted = filter_repo_objects(files, allow_patterns=list(WANTED), key=lambda file: file.rfilename)
            bars = _teller(tell, sum(file.size or 0 for file in wanted))
        return Path(snapshot_download(model, allow_patterns=list(WANTED), tqdm_class=bars))
    except GatedRepoError as error:
        raise ModelNotFound(
            f"{model} is for those who accepted its licence on the hub: log in with hf auth login"
        ) from error
    except RepositoryNotFoundError as error:
        raise ModelNotFound(f"there is no model {model} on the hub, or it is private") from error
    # Every other failure of the network or the disk; the library's own classes share no base but these.
    except (OSError, ValueError, RuntimeError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ModelNotFound(f"cannot download {model}: {reason.rstrip('.')}") from error


def _teller(tell: Callable[[int, int], None], n_bytes: int) -> type[Any]:
    """Progress bars as the library wants them, that draw nothing and tell how many of `n_bytes` came."""
    from tqdm import tqdm

    class Teller(tqdm):  # type: ignore[misc]
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **{**options, "disable": False, "file": open(os.devnull, "w", encoding="utf-8")})  # noqa: SIM115

        def update(self, n: float | None = 1) -> bool | None:
            shown: bool | None = super().update(n)
            if self.unit == "B":
                tell(int(self.n), n_bytes)
            return shown

        def close(self) -> None:
            super().close()
            self.fp.close()

    return Teller
