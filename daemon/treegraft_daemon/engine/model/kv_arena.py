"""Keys and values of one document: a prefix that all rows share, and a short tail for each row.

All rows append the same number of tokens at a time, so one position serves every row: resampling indexes tails, taking
tokens back decreases a number, and the prefix is kept and read once, however many rows there are. Buffers are allocated
at the first use and grow by doubling. Knows attention; no model, no tokenizer.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

# A completion is rarely longer than 48 tokens; a file with its context is some thousands.
FIRST_PREFIX, FIRST_SLOTS, FIRST_ROWS = 512, 64, 4
KEPT_ARENAS = 4


class Span(Protocol):
    """Where the tokens of one forward pass are written, and what they attend to.

    A layer stores its keys and values [rows, kv_heads, n_tokens, dim], then attends. Each token sees itself, the
    tokens of its row before it, and the whole prefix before them.
    """

    start: int  # position of the first token of every row
    n_rows: int

    def store(self, layer: int, k: Tensor, v: Tensor) -> None:
        """Keep keys and values of the new tokens, [rows, kv_heads, n_tokens, dim]."""
        ...

    def attend(self, layer: int, q: Tensor) -> Tensor:
        """Attention of q [rows, heads, n_tokens, dim] over all that is stored; the same shape."""
        ...

    def whole(self, layer: int) -> tuple[Tensor, Tensor]:
        """Keys and values of all tokens up to the new ones, [rows, kv_heads, position, dim]; copied for each row."""
        ...

    def buffers(self, n_layers: int, like: Tensor) -> Buffers:
        """The memory itself. like: keys of no tokens, [rows, kv_heads, 0, dim], of the type that is kept."""
        ...


@dataclass(frozen=True, slots=True)
class Buffers:
    """A span's memory for code that stores keys and values, and attends, by itself.

    layers: prefix k and v [kv_heads, capacity, dim], tail k and v [rows, kv_heads, slots, dim] of each.
    before: tokens in the tails before the span's own; -1 when these go into the prefix.
    """

    layers: list[tuple[Tensor, Tensor, Tensor, Tensor]]
    n_prefix: int  # tokens of the prefix before the span's own
    before: int
    first_row: int


class Arena:
    """One prefix, `n_rows` tails of `n_tail` tokens. Owned by one thread; a span is valid until the next change.

    prefix k, v: [kv_heads, capacity, dim] of each layer; tail k, v: [rows, kv_heads, slots, dim] of each layer.
    """

    def __init__(self) -> None:
        self.ids: list[int] = []  # tokens of the prefix
        self.n_rows = 1
        self.n_tail = 0
        self.in_use = False  # by a request that is under way
        self._prefix: list[tuple[Tensor, Tensor]] = []
        self._tails: list[tuple[Tensor, Tensor]] = []
        self._capacity, self._rows, self._slots = FIRST_PREFIX, FIRST_ROWS, FIRST_SLOTS

    @property
    def position(self) -> int:
        """How many tokens come before the next one of each row."""
        return len(self.ids) + self.n_tail

    def keep(self, n_tokens: int) -> None:
        """Forget the tails and all of the prefix but its first `n_tokens`."""
        del self.ids[n_tokens:]
        self.n_rows, self.n_tail = 1, 0

    @torch.inference_mode()  # its buffers are made in one
    def read(self, ids: Sequence[int]) -> Span:
        """Append `ids` to the prefix; the span that their forward pass must fill. There must be no tail."""
        assert self.n_tail == 0, "the prefix grows while there is no tail"
        start = len(self.ids)
        self.ids.extend(ids)
        if len(self.ids) > self._capacity:
            self._capacity = _doubled(self._capacity, len(self.ids))
            self._prefix = [(_grown(k, 1, self._capacity), _grown(v, 1, self._capacity)) for k, v in self._prefix]
        return _PrefixSpan(self, start, len(self.ids))

    @torch.inference_mode()
    def fork(self, n_rows: int) -> None:
        """Begin `n_rows` empty tails."""
        self.n_rows, self.n_tail = n_rows, 0
        self._reserve(n_rows, 1)

    @torch.inference_mode()
    def append(self) -> Span:
        """Lengthen each tail by one token; the span that its forward pass must fill."""
        self._reserve(self.n_rows, self.n_tail + 1)
        self.n_tail += 1
        return _TailSpan(self, 0, self.n_rows, self.n_tail - 1, self.n_tail)

    @torch.inference_mode()
    def try_out(self, row: int, n_paths: int, n_tokens: int) -> Span:
        """Room for `n_paths` continuations of `row` by `n_tokens` each, beside the rows; forgotten by the next change."""
        first, last = self.n_rows, self.n_rows + n_paths
        self._reserve(last, self.n_tail + n_tokens)
        for k, v in self._tails:
            k[first:last, :, : self.n_tail] = k[row, :, : self.n_tail]
            v[first:last, :, : self.n_tail] = v[row, :, : self.n_tail]
        return _TailSpan(self, first, last, self.n_tail, self.n_tail + n_tokens)

    @torch.inference_mode()
    def select(self, rows: Sequence[int]) -> None:
        """Row i becomes a copy of what was row `rows[i]`; there may be more or fewer rows than before."""
        if list(rows) != list(range(len(rows))):
            self._reserve(len(rows), self.n_tail)
            for k, v in self._tails:
                index = torch.tensor(rows, device=k.device)
                k[: len(rows), :, : self.n_tail] = k[index, :, : self.n_tail]
                v[: len(rows), :, : self.n_tail] = v[index, :, : self.n_tail]
        self.n_rows = len(rows)

    def rewind(self, n_tokens: int) -> None:
        """Take the last `n_tokens` of each tail back."""
        assert 0 <= n_tokens <= self.n_tail, "no more can be taken back than was appended"
        self.n_tail -= n_tokens

    def _reserve(self, n_rows: int, n_slots: int) -> None:
        if n_rows > self._rows or n_slots > self._slots:
            self._rows, self._slots = _doubled(self._rows, n_rows), _doubled(self._slots, n_slots)
            grown = [[_grown(_grown(one, 0, self._rows), 2, self._slots) for one in pair] for pair in self._tails]
            self._tails = [(k, v) for k, v in grown]

    # Layers store in their order, so that a layer's buffers are made when it stores first.

    def _prefix_of(self, layer: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        if layer == len(self._prefix):
            (_, heads, _, k_dim), v_dim = k.shape, v.shape[-1]
            self._prefix.append(
                (k.new_empty(heads, self._capacity, k_dim), v.new_empty(heads, self._capacity, v_dim))
            )  # fmt: skip
        return self._prefix[layer]

    def _tail_of(self, layer: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        if layer == len(self._tails):
            (_, heads, _, k_dim), v_dim = k.shape, v.shape[-1]
            shape = (self._rows, heads, self._slots)
            # Zeros, not garbage: a NaN in a slot never used would spoil sums even with weight 0.
            self._tails.append((k.new_zeros(*shape, k_dim), v.new_zeros(*shape, v_dim)))
        return self._tails[layer]

    @torch.inference_mode()
    def _buffers(self, n_layers: int, like: Tensor, n_prefix: int, before: int, first_row: int) -> Buffers:
        layers = [(*self._prefix_of(n, like, like), *self._tail_of(n, like, like)) for n in range(n_layers)]
        return Buffers(layers, n_prefix, before, first_row)


class _PrefixSpan:
    """Tokens [start, end) of the prefix; one row."""

    n_rows = 1

    def __init__(self, arena: Arena, start: int, end: int) -> None:
        self.start, self.end = start, end
        self._arena = arena
        self._mask: Tensor | None = None

    def store(self, layer: int, k: Tensor, v: Tensor) -> None:
        keys, values = self._arena._prefix_of(layer, k, v)
        keys[:, self.start : self.end] = k[0]
        values[:, self.start : self.end] = v[0]

    def attend(self, layer: int, q: Tensor) -> Tensor:
        k, v = self.whole(layer)
        # Query heads that share a key head are laid one after the other along the tokens: no key is copied.
        _, heads, n_tokens, dim = q.shape
        folded = q.reshape(1, k.shape[1], -1, dim)
        out = F.scaled_dot_product_attention(folded, k, v, attn_mask=self._visible(q, heads // k.shape[1]))
        return out.reshape(1, heads, n_tokens, -1)

    def whole(self, layer: int) -> tuple[Tensor, Tensor]:
        k, v = self._arena._prefix[layer]
        return k[None, :, : self.end], v[None, :, : self.end]

    def buffers(self, n_layers: int, like: Tensor) -> Buffers:
        return self._arena._buffers(n_layers, like, self.start, -1, 0)

    def _visible(self, q: Tensor, n_folded: int) -> Tensor:
        """[n_folded * n_tokens, end]: token i sees all positions up to its own. The same for all layers."""
        if self._mask is None:
            positions = torch.arange(self.end, device=q.device)
            self._mask = (positions[None, :] <= positions[self.start :, None]).repeat(n_folded, 1)
        return self._mask


class _TailSpan:
    """Slots [before, after) of the tails of rows [first, last)."""

    def __init__(self, arena: Arena, first: int, last: int, before: int, after: int) -> None:
        self.start = len(arena.ids) + before
        self.n_rows = last - first
        self._arena = arena
        self._first, self._last, self._before, self._after = first, last, before, after

    def store(self, layer: int, k: Tensor, v: Tensor) -> None:
        keys, values = self._arena._tail_of(layer, k, v)
        keys[self._first : self._last, :, self._before : self._after] = k
        values[self._first : self._last, :, self._before : self._after] = v

    def attend(self, layer: int, q: Tensor) -> Tensor:
        rows, heads, n_tokens, dim = q.shape
        k, v = self._tail(layer)
        prefix_k, prefix_v = (one[:, : len(self._arena.ids)] for one in self._arena._prefix[layer])
        kv_heads = k.shape[1]
        q = q.reshape(rows, kv_heads, -1, dim) * dim**-0.5  # [rows, kv_heads, group * n_tokens, dim]
        # All rows' queries meet the prefix in one product, so that it is read once.
        together = q.transpose(0, 1).reshape(kv_heads, -1, dim)
        on_prefix = (together @ prefix_k.transpose(1, 2)).view(kv_heads, rows, -1, prefix_k.shape[1]).transpose(0, 1)
        on_tail = q @ k.transpose(2, 3)
        if n_tokens > 1:
            slots = torch.arange(self._after, device=q.device)
            hidden = slots[None, :] > slots[self._before :, None]
            on_tail = on_tail.masked_fill(hidden.repeat(heads // kv_heads, 1), -torch.inf)
        shares = torch.cat([on_prefix, on_tail], dim=-1).softmax(dim=-1, dtype=torch.float32).to(q.dtype)
        of_prefix, of_tail = shares.split([on_prefix.shape[-1], on_tail.shape[-1]], dim=-1)
        gathered = of_prefix.transpose(0, 1).reshape(kv_heads, -1, prefix_k.shape[1]) @ prefix_v
        out = gathered.view(kv_heads, rows, -1, v.shape[-1]).transpose(0, 1) + of_tail @ v
        return out.reshape(rows, heads, n_tokens, -1)

    def whole(self, layer: int) -> tuple[Tensor, Tensor]:
        n_prefix, n_rows = len(self._arena.ids), self._last - self._first
        k, v = (
            torch.cat([prefix[None, :, :n_prefix].expand(n_rows, -1, -1, -1), tail], dim=2)
            for prefix, tail in zip(self._arena._prefix[layer], self._tail(layer), strict=True)
        )
        return k, v

    def buffers(self, n_layers: int, like: Tensor) -> Buffers:
        return self._arena._buffers(n_layers, like, len(self._arena.ids), self._before, self._first)

    def _tail(self, layer: int) -> tuple[Tensor, Tensor]:
        k, v = self._arena._tails[layer]
        rows, slots = slice(self._first, self._last), slice(0, self._after)
        return k[rows, :, slots], v[rows, :, slots]


class Joined:
    """The spans of several arenas as one: the rows of the first, then those of the next. Each adds one token to its rows."""

    def __init__(self, parts: Sequence[Span]) -> None:
        self.parts = parts
        self.n_rows = sum(part.n_rows for part in parts)

    def store(self, layer: int, k: Tensor, v: Tensor) -> None:
        """See `Span`."""
        for part, its_k, its_v in zip(self.parts, self._split(k), self._split(v), strict=True):
            part.store(layer, its_k, its_v)

    def attend(self, layer: int, q: Tensor) -> Tensor:
        """See `Span`."""
        return torch.cat([part.attend(layer, its) for part, its in zip(self.parts, self._split(q), strict=True)])

    def _split(self, x: Tensor) -> Sequence[Tensor]:
        return x.split([part.n_rows for part in self.parts])


def joined(spans: Sequence[Span]) -> Span | Joined:
    """One for all rows of these spans."""
    return spans[0] if len(spans) == 1 else Joined(spans)


def parts_of(span: Span | Joined) -> Sequence[Span]:
    """The spans of one arena each that are in it."""
    return span.parts if isinstance(span, Joined) else [span]


class Arenas:
    """The arenas of the documents read last."""

    def __init__(self, n_kept: int = KEPT_ARENAS) -> None:
        self._n_kept = n_kept
        self._arenas: OrderedDict[str, Arena] = OrderedDict()

    def of(self, document: str) -> Arena:
        """This document's arena as it was left, in use from now on. A new one gets the room of the one that was not used
        for longest, if that is not in use; more than `n_kept` there are only while as many are in use.
        """
        arena = self._arenas.pop(document, None)
        if arena is None:
            free = [name for name, one in self._arenas.items() if not one.in_use]
            n_over = len(self._arenas) - self._n_kept + 1
            left = [self._arenas.pop(name) for name in free[: max(n_over, 0)]]
            arena = left[-1] if left else Arena()
            arena.keep(0)
        self._arenas[document] = arena
        arena.in_use = True
        return arena

    def forget(self) -> int:
        """Give up all that are not in use; how many these were."""
        kept = {name: one for name, one in self._arenas.items() if one.in_use}
        n_before, self._arenas = len(self._arenas), OrderedDict(kept)
        return n_before - len(kept)


def n_common(left: Sequence[int], right: Sequence[int]) -> int:
    """Length of the longest common beginning."""
    for place, (one, other) in enumerate(zip(left, right, strict=False)):
        if one != other:
            return place
    return min(len(left), len(right))


def _doubled(size: int, needed: int) -> int:
    while size < needed:
        size *= 2
    return size


def _grown(buffer: Tensor, axis: int, size: int) -> Tensor:
    """The buffer with `size` places along `axis`; what was in it stays."""
    if buffer.shape[axis] >= size:
        return buffer
    shape = list(buffer.shape)
    shape[axis] = size
    grown = buffer.new_zeros(shape)
    grown.narrow(axis, 0, buffer.shape[axis]).copy_(buffer)
    return grown
