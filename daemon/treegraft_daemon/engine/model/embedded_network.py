"""The small transformer of the embedded law: what it says of the next token behind a window of the text.

A `Passage` is what was read of a document (see `window`), with its keys and values; a `Branch` the tokens written behind
it. Both are values: a branch keeps the memory of its own tokens only, so that rows which part later share what is before.
A new passage takes over what it has in common with one read lately: a keystroke costs a few tokens. numpy and the native
decoder only, no torch; `training.network` makes the weights.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from treegraft_daemon.engine.model.int8 import FOR_THIS, GROUP, Matrix, NativeDecoder, Part, address, matrix
from treegraft_daemon.engine.model.law import Cancelled
from treegraft_daemon.engine.model.window import CONTEXT, END, FIRST_MARK, SUFFIX, moved

KEPT_PASSAGES = 12  # half a megabyte each
PIECE = 128  # tokens read between two looks at whether the request was cancelled
# What is taken over from another passage ends at a multiple of so many tokens, and what is left beyond the last multiple is
# read alone. Sums are rounded alike then, whatever was read before: the same text gets the same suggestion.
BLOCK = 16
MOST_THREADS = 4
MATRICES = ("q", "k", "v", "o", "gate", "up", "down")

Memory = NDArray[np.float32]  # keys and values [layers, 2, rows, kv_heads, tokens, head_dim]
Shares = NDArray[np.float64]  # probabilities [vocabulary]; they sum to 1


@dataclass(frozen=True, slots=True)
class Shape:
    """As `training.network` writes it."""

    n_ids: int
    hidden: int
    inner: int
    n_layers: int
    n_heads: int
    n_kv_heads: int
    theta: float
    eps: float

    @property
    def head_dim(self) -> int:
        """Of one head."""
        return self.hidden // self.n_heads


@dataclass(frozen=True, slots=True, eq=False)
class Passage:
    """Ids that were read, int32 [n]; their memory; and the shares of the next token."""

    ids: NDArray[np.int32]
    memory: Memory
    shares: Shares


class Branch:
    """A place behind a passage: one token more than the branch before it. What the network says there is filled in by
    `Network.decode`. Where more was written than the network was trained on, a new passage ends here, and the memory is empty.
    """

    __slots__ = ("before", "memory", "passage", "shares", "token")

    def __init__(self, passage: Passage, before: Branch | None = None, token: int = END) -> None:
        """Without a branch before it, the end of the passage."""
        self.passage, self.before, self.token = passage, before, token
        self.memory: Memory | None = passage.memory[:, :, :, :, :0] if before is None else None
        self.shares: Shares | None = passage.shares if before is None else None

    def step(self, token: int) -> Branch:
        """The place after one more token."""
        return Branch(self.passage, self, token)


class Network:
    """The transformer; used by one thread."""

    def __init__(
        self,
        shape: Shape,
        weights: dict[str, NDArray[np.generic]],
        n_threads: int = 0,
        loops: int = FOR_THIS,
    ) -> None:
        """weights: by `training.network`'s names: matrices int8 with "<name>.scales", norms float32. n_threads: that read a
        passage, 0 for what this machine has, up to MOST_THREADS. loops: see int8.py. Raises ValueError for other sizes,
        KeyError for a missing array."""
        self.shape = shape
        # In double precision: numpy's power of float32 differs from CPU to CPU, and so would the law.
        self._frequencies = (shape.theta ** -(np.arange(0, shape.head_dim, 2) / shape.head_dim)).astype(np.float32)
        self._matrices, self._norms = _arranged(shape, weights, loops)
        self._reader = self._decoder(n_threads or min(os.cpu_count() or 1, MOST_THREADS), loops)
        self._writer = self._decoder(1, loops)  # a step is so short that threads would only wait for each other
        self._passages: list[Passage] = []  # the latest last

    @classmethod
    def load(cls, folder: Path, n_threads: int = 0, loops: int = FOR_THIS) -> Network | None:
        """From what `training.network` wrote, None where it wrote nothing. Raises OSError, ValueError or KeyError."""
        if not (folder / "shape.json").exists():
            return None
        stored = json.loads((folder / "shape.json").read_text())
        weights: dict[str, NDArray[np.generic]] = {}
        for path in sorted(folder.glob("network-*.npz")):
            with np.load(path) as arrays:
                weights.update({name: arrays[name] for name in arrays.files})
        return cls(Shape(**{one.name: stored[one.name] for one in fields(Shape)}), weights, n_threads, loops)

    def read(self, ids: NDArray[np.int32], cancelled: Callable[[], bool]) -> Passage:
        """The passage of these ids, as `window` makes them. Raises Cancelled."""
        alike = [(common(one.ids, ids), one) for one in self._passages]
        n, known = max(alike, key=lambda it: it[0], default=(0, None))
        if known is not None and n == len(ids) == len(known.ids):
            self._keep(known, known)
            return known
        whole = (len(ids) - 1) // BLOCK * BLOCK  # the last token is read in any case, for what follows it
        n = min(n // BLOCK * BLOCK, whole)
        memory = self._room(1, len(ids))
        if known is not None:
            memory[:, :, :, :, :n] = known.memory[:, :, :, :, :n]
        logits = None
        for low in [*range(n, whole, PIECE), whole]:
            if cancelled():
                raise Cancelled
            piece = np.ascontiguousarray(ids[low : min(low + PIECE, whole) if low < whole else len(ids)])
            logits = self._step(piece[None], memory, self._room(1, 1), low, -1)
        assert logits is not None, "a passage has at least one id"
        passage = Passage(ids, memory, _shares(logits, ids)[0])
        # One of the same window takes the other's place.
        self._keep(passage, known if known is not None and 2 * n > len(known.ids) else None)
        return passage

    def decode(self, branches: Sequence[Branch]) -> None:
        """Fill in what the network says at these branches and before them."""
        wanted = {id(one): one for one in branches if one.shares is None}
        for one in list(wanted.values()):
            if one.before is not None and one.before.memory is None:
                self.decode([one.before])
        alike: dict[tuple[int, int], list[Branch]] = {}
        for one in wanted.values():
            assert one.before is not None and one.before.memory is not None, "filled in above"
            one.passage, n_before = one.before.passage, one.before.memory.shape[4]
            if len(one.passage.ids) + n_before < CONTEXT:
                alike.setdefault((id(one.passage), n_before), []).append(one)
            else:
                self._begin_anew(one, n_before + 1)
        for (_, n_before), rows in alike.items():
            passage = rows[0].passage
            tails = self._room(len(rows), n_before + 1)
            for row, one in enumerate(rows):
                tails[:, :, row, :, :n_before] = one.before.memory[:, :, 0]  # type: ignore[union-attr, index]
            ids = np.array([[one.token] for one in rows], dtype=np.int32)
            logits = self._step(ids, passage.memory, tails, len(passage.ids), n_before)
            shares = _shares(logits, passage.ids)
            for row, one in enumerate(rows):
                one.memory, one.shares = tails[:, :, row : row + 1], shares[row]

    def _begin_anew(self, branch: Branch, n_written: int) -> None:
        written, at = [], branch
        for _ in range(n_written):
            assert at.before is not None, "behind the passage stand as many branches"
            written.append(at.token)
            at = at.before
        branch.passage = self.read(moved(branch.passage.ids, written[::-1]), lambda: False)
        branch.memory, branch.shares = branch.passage.memory[:, :, :, :, :0], branch.passage.shares

    def _keep(self, passage: Passage, instead: Passage | None) -> None:
        others = [one for one in self._passages if one is not instead]
        self._passages = [*others[-KEPT_PASSAGES + 1 :], passage]

    def _step(
        self, ids: NDArray[np.int32], prefix: Memory, tails: Memory, n_prefix: int, n_before: int
    ) -> NDArray[np.float32]:
        """Logits [rows, ids] after the last tokens of each row. See `Part` in decoder.h."""
        n_rows, n_tokens = ids.shape
        if not 0 <= int(ids.min()) <= int(ids.max()) < self.shape.n_ids:
            raise IndexError("a token that the network does not have")
        logits = np.empty((n_rows, self.shape.n_ids), dtype=np.float32)
        layers = [
            (address(prefix[n, 0]), address(prefix[n, 1]), address(tails[n, 0]), address(tails[n, 1]))
            for n in range(self.shape.n_layers)
        ]
        part = Part(n_rows, layers, prefix.shape[4], tails.shape[4], n_prefix, n_before, first_row=0)
        decoder = self._reader if n_tokens > BLOCK else self._writer
        decoder.step(
            address(ids),
            n_tokens,
            [part],
            1,
            address(logits),
        )
        return logits

    def _room(self, n_rows: int, n_tokens: int) -> Memory:
        shape = self.shape
        return np.empty((shape.n_layers, 2, n_rows, shape.n_kv_heads, n_tokens, shape.head_dim), dtype=np.float32)

    def _decoder(self, n_threads: int, loops: int) -> NativeDecoder:
        """With the addresses of the arrays that this keeps."""
        shape = self.shape
        matrices = {name: one.addresses() for name, one in self._matrices.items()}
        norms = {name: address(one) for name, one in self._norms.items()}
        layers = [
            (
                norms[f"layers.{n}.attention_norm"],
                norms[f"layers.{n}.mlp_norm"],
                *(matrices[f"layers.{n}.{name}"] for name in MATRICES),
            )
            for n in range(shape.n_layers)
        ]
        sizes = (shape.n_ids, shape.hidden, shape.inner, shape.n_heads, shape.n_kv_heads, shape.head_dim)
        embedding = matrices["embedding"]
        return NativeDecoder(
            sizes, shape.eps, address(self._frequencies), norms["norm"], embedding, embedding, layers, n_threads, loops
        )


def _arranged(
    shape: Shape, weights: dict[str, NDArray[np.generic]], loops: int
) -> tuple[dict[str, Matrix], dict[str, NDArray[np.float32]]]:
    """Matrices and norms as the decoder reads them. Raises as `Network` does."""
    kv = shape.n_kv_heads * shape.head_dim
    rows = {"q": shape.hidden, "k": kv, "v": kv, "o": shape.hidden, "gate": shape.inner, "up": shape.inner,
            "down": shape.hidden}  # fmt: skip
    sizes = {"embedding": (shape.n_ids, shape.hidden)} | {
        f"layers.{n}.{name}": (rows[name], shape.inner if name == "down" else shape.hidden)
        for n in range(shape.n_layers)
        for name in MATRICES
    }
    names = ["norm", *(f"layers.{n}.{name}_norm" for n in range(shape.n_layers) for name in ("attention", "mlp"))]
    matrices, norms = {}, {}
    for name, (n_rows, n_columns) in sizes.items():
        codes, scales = weights[name], weights[f"{name}.scales"]
        if codes.shape != (n_rows, n_columns) or scales.shape != (n_rows, n_columns // GROUP) or n_columns % GROUP:
            raise ValueError(f"{name} of shape {codes.shape} where {(n_rows, n_columns)} is wanted")
        kept = np.ascontiguousarray(codes, dtype=np.int8), np.ascontiguousarray(scales, dtype=np.float32)
        matrices[name] = matrix(*kept, loops=loops)
    for name in names:
        if weights[name].shape != (shape.hidden,):
            raise ValueError(f"{name} of shape {weights[name].shape}")
        norms[name] = np.ascontiguousarray(weights[name], dtype=np.float32)
    return matrices, norms


def _shares(logits: NDArray[np.float32], ids: NDArray[np.int32]) -> Shares:
    """[rows, vocabulary], of logits [rows, ids] behind this passage; marks are left out.

    END says that the middle is finished, and then what follows is the suffix.
    """
    wide = logits[:, :FIRST_MARK].astype(np.float64)
    p = np.exp(wide - wide.max(axis=1, keepdims=True))
    if ids[1] == SUFFIX:
        p[:, ids[2]] += p[:, END]
    p[:, END] = 0
    return p / p.sum(axis=1, keepdims=True)


def common(left: NDArray[np.int32], right: NDArray[np.int32]) -> int:
    """How many ids two passages begin with alike."""
    n = min(len(left), len(right))
    differs = np.flatnonzero(left[:n] != right[:n])
    return int(differs[0]) if len(differs) else n
