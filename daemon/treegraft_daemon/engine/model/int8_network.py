"""The plain decoder on a CPU with weights of 8 bits: `native/decoder.c` behind the interface of `network.py`.

A decode step reads every weight once, so on a CPU its time is that of bringing them from memory: a quarter of the bytes
is nearly a quarter of the time. Matrices are rounded to 8 bits in groups of 64 that share a scale; norms, biases, sums
and the arena stay float32. What the rounding costs in bits per byte is measured by `tests/bench/precision.py`.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from treegraft_daemon.engine.model.decoder import Shape
from treegraft_daemon.engine.model.int8 import GROUP, Matrix, NativeDecoder, address, matrix, rounded
from treegraft_daemon.engine.model.kv_arena import Arena, Span
from treegraft_daemon.engine.model.law import Progress, unheard
from treegraft_daemon.engine.model.network import weights_of

EMBEDDING, HEAD, NORM = "model.embed_tokens.weight", "lm_head.weight", "model.norm.weight"
MATRICES = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj", "mlp.gate_proj",
            "mlp.up_proj", "mlp.down_proj")  # fmt: skip
# More threads than these wait for memory, and for each other.
MOST_THREADS = 16
# Without memory, all of a text is read in pieces, as in service.
PIECE = 256


def fits(shape: Shape) -> bool:
    """Whether the native decoder has loops for these sizes."""
    widths = (shape.hidden_size, shape.intermediate_size, shape.n_heads * shape.head_dim)
    return all(width % GROUP == 0 for width in widths) and shape.head_dim % 16 == 0


class Int8Network:
    """See `network.Network`. weights: by the decoder's names; matrices as (codes, scales), the rest as float32."""

    def __init__(
        self, shape: Shape, weights: dict[str, tuple[NDArray[np.generic], ...]], n_threads: int, portable: bool = False
    ) -> None:
        """portable: with the loops for any CPU."""
        self.device = torch.device("cpu")
        self.vocab_size = shape.vocab_size
        self.context = shape.context
        self._n_layers = shape.n_layers
        self._like = torch.empty(1, shape.n_kv_heads, 0, shape.head_dim)
        self._frequencies = shape.rope.frequencies(shape.head_dim).numpy()
        self._weights = weights  # kept: the native decoder has their addresses only

        def stored(name: str) -> Matrix:
            return matrix(*weights[f"{name}.weight"], *weights.get(f"{name}.bias", ()))

        def norm(name: str) -> int:
            return address(weights[name][0])

        embedding = stored(EMBEDDING.removesuffix(".weight"))
        self._native = NativeDecoder(
            (shape.vocab_size, shape.hidden_size, shape.intermediate_size, shape.n_heads, shape.n_kv_heads,
             shape.head_dim),
            shape.norm_eps,
            address(self._frequencies),
            norm(NORM),
            embedding,
            embedding if shape.tied else stored(HEAD.removesuffix(".weight")),
            [
                (
                    norm(f"model.layers.{n}.input_layernorm.weight"),
                    norm(f"model.layers.{n}.post_attention_layernorm.weight"),
                    *(stored(f"model.layers.{n}.{name}") for name in MATRICES),
                )
                for n in range(shape.n_layers)
            ],
            n_threads,
            portable,
        )  # fmt: skip

    def next_logits(self, ids: Tensor, span: Span) -> Tensor:
        """See `Network`."""
        return self._step(ids, span, 1)[:, 0]

    def all_logits(self, ids: Tensor, n_last: int | None = None) -> Tensor:
        """See `Network`."""
        arena, found = Arena(), []
        for start in range(0, len(ids), PIECE):
            piece = ids[start : start + PIECE]
            wanted = max(min((n_last or len(ids)) - (len(ids) - start - len(piece)), len(piece)), 1)
            found.append(self._step(piece[None], arena.read(piece.tolist()), wanted)[0])
        return torch.cat(found)[-(n_last or len(ids)) :]

    def _step(self, ids: Tensor, span: Span, n_last: int) -> Tensor:
        """Logits [rows, n_last, vocab_size] after the last tokens of each row."""
        n_rows, n_tokens = ids.shape
        if not 0 <= int(ids.min()) <= int(ids.max()) < self.vocab_size:
            raise IndexError("a token that the model does not have")
        read = ids.to(torch.int32).contiguous()
        logits = torch.empty(n_rows, n_last, self.vocab_size)
        buffers = span.buffers(self._n_layers, self._like)
        prefix, _, tail, _ = buffers.layers[0]
        self._native.step(
            read.data_ptr(),
            n_rows,
            n_tokens,
            [tuple(one.data_ptr() for one in layer) for layer in buffers.layers],
            prefix.shape[1],
            tail.shape[2],
            buffers.n_prefix,
            buffers.before,
            buffers.first_row,
            n_last,
            logits.data_ptr(),
        )
        return logits


def load_int8(folder: Path, shape: Shape, tell: Progress = unheard) -> Int8Network:
    """The decoder with the weights in `folder`, rounded as they are read. See `network.load_plain` for what it raises."""
    weights: dict[str, tuple[NDArray[np.generic], ...]] = {}
    for name, tensor in weights_of(folder, shape, torch.device("cpu"), torch.float32, tell):
        wide = np.ascontiguousarray(tensor.numpy())
        weights[name] = rounded(wide) if wide.ndim == 2 else (wide.copy(),)
    return Int8Network(shape, weights, min(torch.get_num_threads(), MOST_THREADS))
