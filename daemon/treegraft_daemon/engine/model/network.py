"""What a transformer must be able to do for the law: read tokens into a span and say what comes next.

Two kinds: the plain decoder of `decoder.py`, and any causal model of transformers (`hub_network.py`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from treegraft_daemon.engine.model.decoder import Decoder, Shape
from treegraft_daemon.engine.model.hub_tokenizer import read_json
from treegraft_daemon.engine.model.kv_arena import Arena, Joined, Span, joined
from treegraft_daemon.engine.model.law import Progress, unheard
from treegraft_daemon.errors import ModelBroken


class Network(Protocol):
    """A causal transformer on a device."""

    device: torch.device
    vocab_size: int
    context: int  # positions that it was made for
    joins: bool  # whether rows of several arenas go through it in one pass
    chunk: int  # tokens of a prompt that it reads nearly as fast as many; between two chunks others have their turn

    def next_logits(self, ids: Tensor, span: Span | Joined) -> Tensor:
        """Read ids [rows, n_tokens] into the span; logits [rows, vocab_size] after the last token."""
        ...

    def all_logits(self, ids: Tensor, n_last: int | None = None) -> Tensor:
        """Logits [n_last, vocab_size] after each of the last tokens of ids [n_tokens], or of all; without any memory."""
        ...


def chunk_on(device: torch.device) -> int:
    """See `Network.chunk`. 256 tokens of a 7B model are some milliseconds on a GPU, 128 of a 135M model 0.3 s on a CPU."""
    return 128 if device.type == "cpu" else 256


class PlainNetwork:
    """The decoder of the Llama and Qwen2 family."""

    joins = True

    def __init__(self, decoder: Decoder) -> None:
        self._decoder = decoder.eval()
        self.device = decoder.lm_head.weight.device
        self.vocab_size = decoder.shape.vocab_size
        self.context = decoder.shape.context
        self.chunk = chunk_on(self.device)

    @torch.inference_mode()
    def next_logits(self, ids: Tensor, span: Span | Joined) -> Tensor:
        """See `Network`."""
        return self._decoder(ids, span)

    @torch.inference_mode()
    def all_logits(self, ids: Tensor, n_last: int | None = None) -> Tensor:
        """See `Network`."""
        hidden = self._decoder.model(ids[None], None)[0]
        return self._decoder.lm_head(hidden[-(n_last or len(ids)) :])


def load_plain(
    folder: Path, shape: Shape, device: torch.device, dtype: torch.dtype, tell: Progress = unheard
) -> PlainNetwork:
    """The decoder with the weights in `folder`. Raises ModelBroken when they are missing, cut off or of another shape."""
    weights = dict(weights_of(folder, shape, device, dtype, tell))
    if shape.tied:
        weights["lm_head.weight"] = weights["model.embed_tokens.weight"]
    with torch.device("meta"):
        decoder = Decoder(shape)
    decoder.load_state_dict(weights, assign=True)
    return PlainNetwork(decoder)


def weights_of(
    folder: Path, shape: Shape, device: torch.device, dtype: torch.dtype, tell: Progress = unheard
) -> Iterator[tuple[str, Tensor]]:
    """The weights that a decoder of this shape has, by name, one after the other; a tied head is the embedding.

    Raises ModelBroken when some are missing, cut off or of another shape.
    """
    with torch.device("meta"):
        wanted = {name: one.shape for name, one in Decoder(shape).state_dict().items()}
    if shape.tied:
        del wanted["lm_head.weight"]
    for name, tensor in read_weights(folder, device, dtype, tell):
        if name in wanted:
            expected = wanted.pop(name)
            if tensor.shape != expected:
                raise ModelBroken(f"{name} in {folder} is {list(tensor.shape)}, but config.json says {list(expected)}")
            yield name, tensor
    if wanted:
        raise ModelBroken(f"the weights in {folder} lack {next(iter(wanted))}")


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files of a model. Raises ModelBroken when there are none or some are missing."""
    index = folder / "model.safetensors.index.json"
    if index.exists():
        names: Mapping[str, Any] = read_json(index).get("weight_map", {})
        files = [folder / name for name in sorted(set(names.values()))]
    else:
        files = [folder / "model.safetensors"]
    missing = [file.name for file in files if not file.exists()]
    if not files or missing:
        if not index.exists() and any(folder.glob("pytorch_model*.bin")):
            raise ModelBroken(f"the weights in {folder} are pickled, and loading them could run code: use safetensors")
        raise ModelBroken(f"{folder} lacks {missing[0] if missing else 'any weights'}")
    return files


def read_weights(
    folder: Path, device: torch.device, dtype: torch.dtype, tell: Progress = unheard
) -> Iterator[tuple[str, Tensor]]:
    """All tensors with their names; `tell` hears the share of their bytes that was read. Raises ModelBroken."""
    files = weight_files(folder)
    n_bytes, n_read = sum(file.stat().st_size for file in files), 0
    for file in files:
        try:
            with safe_open(file, framework="pt", device=str(device)) as opened:
                for name in opened.keys():  # noqa: SIM118 - it is no mapping
                    tensor = opened.get_tensor(name)
                    n_read += tensor.nbytes
                    yield name, tensor.to(dtype)
                    tell(n_read / n_bytes)
        except (SafetensorError, OSError) as error:
            raise ModelBroken(f"cannot read {file}, it may be cut off: {str(error).splitlines()[0].lower()}") from error


@torch.inference_mode()
def disagreement(network: Network, ids: list[int]) -> float:
    """How far laws by way of an arena are from laws without memory: the largest distance in total variation.

    Reads in two pieces, takes back, forks, steps and chooses; a model that keeps a state of another kind than keys and
    values fails here, before anybody asks it.
    """
    third = len(ids) // 3
    whole = network.all_logits(torch.tensor(ids, device=network.device)).float().softmax(-1)
    arena = Arena()
    found: list[tuple[int, Tensor]] = []

    def read(part: list[int]) -> None:
        logits = network.next_logits(torch.tensor([part], device=network.device), arena.read(part))
        found.append((len(arena.ids) - 1, logits[0]))

    read(ids[:third])
    read([ids[-1], *ids[third:]])
    found.pop()  # ... by mistake
    arena.keep(third)
    read(ids[third : 2 * third])
    arena.fork(2)
    for place in range(2 * third, len(ids)):
        step = torch.tensor([[ids[place]], [ids[0]]], device=network.device)
        found.append((place, network.next_logits(step, arena.append())[0]))
        arena.select([0, 0])
    return max(float((whole[place] - logits.float().softmax(-1)).abs().sum() / 2) for place, logits in found)


@torch.inference_mode()
def joint_disagreement(network: Network, ids: list[int]) -> float:
    """The same for rows of two arenas, of unequal lengths, that go through the network in one pass."""
    texts = [ids, ids[: len(ids) // 3]]
    spans = []
    for text in texts:
        arena = Arena()
        network.next_logits(torch.tensor([text[:-1]], device=network.device), arena.read(text[:-1]))
        arena.fork(1)
        spans.append(arena.append())
    step = torch.tensor([[text[-1]] for text in texts], device=network.device)
    found = network.next_logits(step, joined(spans)).float().softmax(-1)
    whole = [network.all_logits(torch.tensor(text, device=network.device), 1)[0] for text in texts]
    return max(float((law.float().softmax(-1) - one).abs().sum() / 2) for law, one in zip(whole, found, strict=True))
