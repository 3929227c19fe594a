"""From a name to a law: what is found, and one clear sentence for everything that cannot be loaded."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from treegraft_daemon.engine.model import hub
from treegraft_daemon.engine.model.loading import load
from treegraft_daemon.errors import ModelBroken, ModelError, ModelNotFound, ModelsNotInstalled

Folder = Callable[[str], Path]


@pytest.fixture
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A hub cache of this test's own."""
    folder = tmp_path / "hub"
    monkeypatch.setenv("HF_HUB_CACHE", str(folder))
    return folder


def copy(folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(folder, tmp_path / "model"))


def rewrite(path: Path, **changes: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize("name", ["qwen", "llama", "starcoder", "gpt2"])
def test_a_directory_is_a_model(model_folder: Folder, name: str) -> None:
    law = load(str(model_folder(name)))
    assert law.end_tokens and len(law.vocabulary) == 640


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda folder: (folder / "config.json").unlink(), "no config.json"),
        (lambda folder: (folder / "tokenizer.json").unlink(), "no tokenizer.json"),
        (lambda folder: (folder / "config.json").write_text("{"), "not JSON"),
        (lambda folder: (folder / "tokenizer.json").write_text("[]"), "no JSON object"),
        (lambda folder: (folder / "tokenizer.json").write_text("{}"), "tokenizer.json"),
        (lambda folder: truncate(folder / "model.safetensors"), "cut off"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b""), "cut off"),
        (lambda folder: (folder / "model.safetensors").unlink(), "lacks model.safetensors"),
        (lambda folder: (folder / "model.safetensors").rename(folder / "pytorch_model.bin"), "pickled"),
        (lambda folder: rewrite(folder / "config.json", model_type="nothing_known"), "no causal language model"),
        (lambda folder: rewrite(folder / "config.json", model_type="clip"), "no causal language model"),
        (lambda folder: rewrite(folder / "config.json", model_type="own", auto_map={"AutoModel": "x"}), "never run"),
        (lambda folder: rewrite(folder / "config.json", hidden_size=128, head_dim=32), "config.json says"),
        (lambda folder: rewrite(folder / "config.json", num_hidden_layers=3), "lack model.layers.2"),
        (lambda folder: rewrite(folder / "config.json", vocab_size=None), "sizes that make no model"),
    ],
)  # fmt: skip
def test_what_cannot_be_loaded_is_one_sentence(
    model_folder: Folder, tmp_path: Path, spoil: Callable[[Path], object], sentence: str
) -> None:
    folder = copy(model_folder("qwen"), tmp_path)
    spoil(folder)
    with pytest.raises(ModelError) as caught:
        load(str(folder))
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_vocabulary_that_is_larger_than_the_model_is_told(model_folder: Folder, tmp_path: Path) -> None:
    folder = copy(model_folder("qwen"), tmp_path)
    stored = json.loads((folder / "tokenizer.json").read_text())
    stored["model"]["vocab"]["Ġtoomany"] = 100_000
    (folder / "tokenizer.json").write_text(json.dumps(stored))
    with pytest.raises(ModelBroken, match="only 640 tokens"):
        load(str(folder))


def test_a_name_is_looked_up_in_the_cache(model_folder: Folder, empty_cache: Path) -> None:
    with pytest.raises(ModelNotFound, match="treegraft models pull some/model"):
        load("some/model")
    here = empty_cache / "models--some--model"
    (here / "refs").mkdir(parents=True)
    (here / "refs" / "main").write_text("abc\n")
    shutil.copytree(model_folder("qwen"), here / "snapshots" / "abc")
    (here / "blobs").mkdir()
    (here / "blobs" / "weights").write_bytes(b"x" * 1000)
    assert load("some/model").name == "some/model"
    assert hub.cached() == [("some/model", 1000)]


@pytest.mark.parametrize("name", ["nothing-here", "../nothing", "a/b/c", "", "/no/such/folder"])
def test_what_is_no_name_is_told(empty_cache: Path, name: str) -> None:
    with pytest.raises(ModelNotFound):
        load(name or "no such folder")


def test_a_file_is_no_model(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(b"GGUF")
    with pytest.raises(ModelNotFound, match="is a file"):
        load(str(path))


def test_without_torch_the_way_to_it_is_told(model_folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ModelsNotInstalled, match="pip install"):
        load(str(model_folder("qwen")))


def test_a_download_that_fails_is_one_sentence(empty_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ModelNotFound) as caught:
        hub.pull("some/model")
    assert str(caught.value).startswith("cannot download some/model") and "\n" not in str(caught.value)
    with pytest.raises(ModelNotFound, match="no name on the hub"):
        hub.pull("not a name")
