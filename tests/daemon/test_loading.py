"""From a name to a law: what is found, and one clear sentence for everything that cannot be loaded."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import tiny_models
from treegraft_daemon.engine.model import hub
from treegraft_daemon.engine.model.hub_tokenizer import HubTokenizer
from treegraft_daemon.engine.model.loading import choose_format, load, load_folder
from treegraft_daemon.engine.model.prompt import PSM, SPM, formats
from treegraft_daemon.engine.model.transformer import TransformerLaw
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


@pytest.mark.parametrize("name", ["qwen", "llama"])
def test_loading_tells_how_much_was_read(model_folder: Folder, name: str) -> None:
    heard: list[float] = []
    load(str(model_folder(name)), heard.append)
    assert heard == sorted(heard)
    assert len(heard) > 10
    assert 0.9 < heard[-1] <= 1


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


def test_weights_in_several_files(model_folder: Folder, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    folder = copy(model_folder("qwen"), tmp_path)
    (folder / "model.safetensors").unlink()
    AutoModelForCausalLM.from_pretrained(model_folder("qwen")).save_pretrained(folder, max_shard_size="100KB")
    first, *others = sorted(folder.glob("model-*.safetensors"))
    assert others
    whole, sharded = load_folder(model_folder("qwen"), "whole"), load_folder(folder, "sharded")
    assert isinstance(whole, TransformerLaw) and isinstance(sharded, TransformerLaw)
    ids = torch.arange(5, 50)
    assert torch.equal(whole._network.all_logits(ids), sharded._network.all_logits(ids))
    first.unlink()
    with pytest.raises(ModelBroken, match=f"lacks {first.name}"):
        load(str(folder))


def test_a_recurrent_model_is_refused(tmp_path: Path) -> None:
    from transformers import MambaConfig, MambaForCausalLM

    config = MambaConfig(vocab_size=tiny_models.VOCAB_SIZE, hidden_size=32, num_hidden_layers=2, state_size=4)
    tiny_models.save(tmp_path, MambaForCausalLM(config), tiny_models.byte_level(tiny_models.QWEN))
    with pytest.raises(ModelBroken) as caught:
        load(str(tmp_path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("trained_in", [PSM, SPM])
def test_the_order_is_the_one_that_finds_the_middle(trained_in: str) -> None:
    """Granite and Mellum have the same tokens; which comes first shows in what they find probable."""
    tokenizer = HubTokenizer(tiny_models.byte_level(tiny_models.STARCODER), {}, tiny_models.VOCAB_SIZE)
    candidates = formats(tokenizer)
    first = {PSM: candidates[0].prefix, SPM: candidates[0].suffix}[trained_in]

    class Trained:
        """Knows what comes next in a prompt of its own order, and nothing otherwise."""

        device, vocab_size, context = torch.device("cpu"), tiny_models.VOCAB_SIZE, 1024

        def next_logits(self, ids: torch.Tensor, span: object) -> torch.Tensor:
            raise NotImplementedError

        def all_logits(self, ids: torch.Tensor, n_last: int | None = None) -> torch.Tensor:
            logits = torch.zeros(len(ids), self.vocab_size)
            if int(ids[0]) == first:
                logits[torch.arange(len(ids) - 1), ids[1:]] = 5.0
            return logits[-(n_last or len(ids)) :]

    assert choose_format(Trained(), tokenizer, candidates).order == trained_in


@pytest.mark.parametrize(
    ("model", "absent"),
    [
        ("embedded", {"torch", "transformers"}),
        ("qwen", {"transformers"}),
        pytest.param("llama", {"transformers"}, marks=pytest.mark.slow),
    ],
)
def test_only_what_is_needed_is_imported(model_folder: Folder, model: str, absent: set[str]) -> None:
    """torch takes seconds to import and transformers some more; who does not need them does not wait for them."""
    name = model if model == "embedded" else str(model_folder(model))
    program = f"import sys; from treegraft_daemon.engine.model.loading import load; load({name!r}); print(*sys.modules)"
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert not absent & set(answer.stdout.split())


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
