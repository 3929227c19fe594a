"""The global part of the embedded law: pruned n-gram counts, packed so that loading is one read.

Answers "after these tokens, which follow, and how sure is the table" for contexts of 1 to 5 tokens of one family of
languages. Contexts are told apart by so many hash bits that about one lookup in 10^4 of an unseen context is answered
wrongly; the mixture's weights, fitted with that, absorb it. Knows nothing of documents.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from treegraft_daemon.engine.model._mixing import Ngrams

N_ORDERS = 5
STORED = ("offsets", "tags", "sizes", "buckets", "entries")
TOKEN_BITS = 13
N_BUCKETS = 128  # (log2 of the total: 8) x (kept share: 4) x (log2 of the kept entries: 4)
RATIO_STEP = 6 / 7  # Octaves per step of the three bits that say how much less than the best an entry is.
_RATIOS: NDArray[np.float64] = np.exp2(-RATIO_STEP * np.arange(8))
# The hash of contexts, here and in `mixing/ngrams.c`.
_LEFT, _SPREAD = 0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F


@dataclass(frozen=True, slots=True, eq=False)
class Order:
    """All contexts of one length, sorted by hash.

    offsets: uint32 [2^n + 1], first context of each value of the hash's top n bits; starts: first entry of the same.
    tags: uint16 [contexts], the next 16 bits. sizes: uint8 or uint16, entries of each context. buckets: uint8.
    entries: uint16, token << 3 | steps below the best entry.
    """

    offsets: NDArray[np.uint32]
    tags: NDArray[np.uint16]
    sizes: NDArray[np.uint8] | NDArray[np.uint16]
    buckets: NDArray[np.uint8]
    entries: NDArray[np.uint16]
    starts: NDArray[np.int64]

    @classmethod
    def of(cls, arrays: Mapping[str, NDArray[Any]], prefix: str = "") -> Order:
        """From the arrays that are stored; `starts` follows from them."""
        stored = {name: arrays[prefix + name] for name in STORED}
        starts = np.concatenate([[0], np.cumsum(stored["sizes"], dtype=np.int64)])[stored["offsets"]]
        return cls(**stored, starts=starts)


class NgramTable:
    """The contexts of one family of languages: `orders[k - 1]` holds those of k tokens."""

    def __init__(self, orders: tuple[Order, ...]) -> None:
        self.orders = orders
        packed = [(it.offsets, it.tags, it.sizes, it.buckets, it.entries, it.starts) for it in orders]
        self._native = Ngrams(packed, _RATIOS)

    def find(
        self, context: Sequence[int]
    ) -> list[tuple[int, NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]]:
        """(k - 1, [bucket], tokens, [their shares of 1]) of each order k that knows the end of `context`, shortest first."""
        return self._native.find(context)

    def save(self, path: Path) -> None:
        """One uncompressed archive: reading it back costs little more than its bytes."""
        arrays = {f"{k}.{name}": getattr(order, name) for k, order in enumerate(self.orders, 1) for name in STORED}
        np.savez(path, allow_pickle=False, **arrays)

    @classmethod
    def load(cls, path: Path) -> NgramTable:
        """Read what `save` wrote."""
        with np.load(path) as arrays:
            return cls(tuple(Order.of(arrays, f"{k}.") for k in range(1, N_ORDERS + 1)))

    @classmethod
    def empty(cls) -> NgramTable:
        """A table that knows nothing."""
        none = np.zeros(0, dtype=np.int64)
        return cls((pack(none.astype(np.uint64), none, none.astype(float), none, none.astype(float)),) * N_ORDERS)


def extend_all(keys: NDArray[np.uint64], tokens: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The hashes of contexts made one token longer on their left."""
    mixed = (keys * np.uint64(_LEFT) + tokens + np.uint64(1)) * np.uint64(_SPREAD)
    return mixed ^ (mixed >> np.uint64(29))


def pack(
    keys: NDArray[np.uint64],
    sizes: NDArray[np.int64],
    totals: NDArray[np.float64],
    tokens: NDArray[np.int64],
    weights: NDArray[np.float64],
) -> Order:
    """One order from contexts sorted by key: sizes, totals (of dropped entries too), and all entries in turn."""
    starts = np.cumsum(sizes) - sizes
    kept = np.add.reduceat(weights, starts) if len(sizes) else np.zeros(0)
    best = np.maximum.reduceat(weights, starts) if len(sizes) else np.zeros(0)
    steps = np.round(np.log2(np.repeat(best, sizes) / weights) / RATIO_STEP).clip(0, 7).astype(np.uint16)
    # About eight contexts share an offset.
    n_bits = max(len(sizes) // 8, 1).bit_length()
    tops = np.searchsorted(keys >> np.uint64(64 - n_bits), np.arange((1 << n_bits) + 1, dtype=np.uint64))
    stored: dict[str, NDArray[Any]] = {
        "offsets": tops.astype(np.uint32),
        "tags": ((keys >> np.uint64(48 - n_bits)) & np.uint64(0xFFFF)).astype(np.uint16),
        "sizes": sizes.astype(np.uint8 if sizes.max(initial=0) < 256 else np.uint16),
        "buckets": bucket(totals, kept / totals, sizes).astype(np.uint8),
        "entries": (tokens.astype(np.uint16) << np.uint16(3)) | steps,
    }
    return Order.of(stored)


def bucket(totals: NDArray[np.float64], kept: NDArray[np.float64], sizes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Which of the 128 kinds of context each one is: seen how often, kept how much of, how many ways to go on."""
    often = np.log2(np.maximum(totals, 1)).astype(np.int64).clip(0, 7)
    share = (kept * 4).astype(np.int64).clip(0, 3)
    ways = np.log2(np.maximum(sizes, 1)).astype(np.int64).clip(0, 3)
    found: NDArray[np.int64] = (often * 4 + share) * 4 + ways
    return found
