"""The plain decoder on a CPU with weights of 8 bits: `native/decoder.c` behind the interface of `network.py`.

A decode step reads every weight once, so on a CPU its time is that of bringing them from memory: a quarter of the bytes
is nearly a quarter of the time. Matrices are rounded to 8 bits in groups of 64 that share a scale; norms, biases, sums
and the arena stay float32. What the rounding costs in bits per byte is measured by `tests/bench/precision.py`.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from treegraft_daemon.engine.model.decoder import Shape
from treegraft_daemon.engine.model.int8 import FOR_THIS, GROUP, Matrix, NativeDecoder, Part, address, matrix, rounded
from treegraft_daemon.engine.model.kv_arena import Arena, Joined, Span, parts_of
from treegraft_daemon.engine.model.law import Progress, unheard
from treegraft_daemon.engine.model.network import weights_of

EMBEDDING, HEAD, NORM = "model.embed_tokens", "lm_head", "model.norm"
MATRICES = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj", "mlp.gate_proj",
            "mlp.up_proj", "mlp.down_proj")  # fmt: skip
# More threads than these wait for memory, and for each other.
MOST_THREADS = 16


def fits(shape: Shape) -> bool:
    """Whether the native decoder has loops for these sizes."""
    widths = (shape.hidden_size, shape.intermediate_size, shape.n_heads * shape.head_dim)
    return all(width % GROUP == 0 for width in widths) and shape.head_dim % 16 == 0


class Int8Network:
    """See `network.Network`. matrices and norms: by the decoder's names, without ".weight"."""

    joins = True
    chunk = 32  # 50 ms of a 135M model on two cores; longer ones are no faster

    def __init__(
        self,
        shape: Shape,
        matrices: dict[str, Matrix],
        norms: dict[str, NDArray[np.float32]],
        n_threads: int,
        loops: int = FOR_THIS,
    ) -> None:
        """loops: that the matrices were made for, see int8.py."""
        self.device = torch.device("cpu")
        self.vocab_size = shape.vocab_size
        self.context = shape.context
        self._n_layers = shape.n_layers
        self._like = torch.empty(1, shape.n_kv_heads, 0, shape.head_dim)
        self._frequencies = shape.rope.frequencies(shape.head_dim).numpy()
        self._matrices, self._norms = matrices, norms  # kept: the native decoder has their addresses only
        embedding = matrices[EMBEDDING].addresses()
        self._native = NativeDecoder(
            (shape.vocab_size, shape.hidden_size, shape.intermediate_size, shape.n_heads, shape.n_kv_heads,
             shape.head_dim),
            shape.norm_eps,
            address(self._frequencies),
            address(norms[NORM]),
            embedding,
            embedding if shape.tied else matrices[HEAD].addresses(),
            [
                (
                    address(norms[f"model.layers.{n}.input_layernorm"]),
                    address(norms[f"model.layers.{n}.post_attention_layernorm"]),
                    *(matrices[f"model.layers.{n}.{name}"].addresses() for name in MATRICES),
                )
                for n in range(shape.n_layers)
            ],
            n_threads,
            loops,
        )  # fmt: skip

    def next_logits(self, ids: Tensor, span: Span | Joined) -> Tensor:
        """See `Network`."""
        return self._step(ids, span, 1)[:, 0]

    def all_logits(self, ids: Tensor, n_last: int | None = None) -> Tensor:
        """See `Network`."""
        arena, found = Arena(), []
        for start in range(0, len(ids), self.chunk):  # as in service
            piece = ids[start : start + self.chunk]
            wanted = max(min((n_last or len(ids)) - (len(ids) - start - len(piece)), len(piece)), 1)
            found.append(self._step(piece[None], arena.read(piece.tolist()), wanted)[0])
        return torch.cat(found)[-(n_last or len(ids)) :]

    def _step(self, ids: Tensor, span: Span | Joined, n_last: int) -> Tensor:
        """Logits [rows, n_last, vocab_size] after the last tokens of each row."""
        n_rows, n_tokens = ids.shape
        if not 0 <= int(ids.min()) <= int(ids.max()) < self.vocab_size:
            raise IndexError("a token that the model does not have")
        read = ids.to(torch.int32).contiguous()
        logits = torch.empty(n_rows, n_last, self.vocab_size)
        parts = [self._part(part) for part in parts_of(span)]
        self._native.step(read.data_ptr(), n_tokens, parts, n_last, logits.data_ptr())
        return logits

    def _part(self, span: Span) -> Part:
        buffers = span.buffers(self._n_layers, self._like)
        prefix, _, tail, _ = buffers.layers[0]
        return Part(
            span.n_rows,
            [
                (k.data_ptr(), v.data_ptr(), tail_k.data_ptr(), tail_v.data_ptr())
                for k, v, tail_k, tail_v in buffers.layers
            ],
            capacity=prefix.shape[1],
            slots=tail.shape[2],
            n_prefix=buffers.n_prefix,
            n_before=buffers.before,
            first_row=buffers.first_row,
        )


def load_int8(
    folder: Path, shape: Shape, tell: Progress = unheard, n_threads: int = 0, loops: int = FOR_THIS
) -> Int8Network:
    """The decoder with the weights in `folder`, rounded as they are read. n_threads: 0 for torch's, up to MOST_THREADS.

    See `network.load_plain` for what it raises.
    """
    matrices: dict[str, Matrix] = {}
    arrays: dict[str, NDArray[np.float32]] = {}
    for name, tensor in weights_of(folder, shape, torch.device("cpu"), torch.float32, tell):
        wide = np.ascontiguousarray(tensor.numpy())
        if wide.ndim == 2:
            matrices[name.removesuffix(".weight")] = matrix(*rounded(wide), loops=loops)
        else:
            arrays[name] = wide.copy()
    for name, bias in arrays.items():
        if name.endswith(".bias"):
            place = name.removesuffix(".bias")
            matrices[place] = replace(matrices[place], bias=bias)
    norms = {name.removesuffix(".weight"): one for name, one in arrays.items() if name.endswith(".weight")}
    return Int8Network(shape, matrices, norms, n_threads or min(torch.get_num_threads(), MOST_THREADS), loops)
