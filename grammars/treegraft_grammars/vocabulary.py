"""Token id -> bytes, and which tokens agree with bytes that are already typed (token healing)."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray


class Vocabulary:
    """The bytes of every token. Special tokens have no bytes (b"") and agree with nothing."""

    def __init__(self, tokens: Sequence[bytes], special: Iterable[int] = ()) -> None:
        """`tokens[id]` is the byte string of token `id`; ids in `special` are treated as b""."""
        hidden = frozenset(special)
        self.tokens: tuple[bytes, ...] = tuple(b"" if idx in hidden else data for idx, data in enumerate(tokens))
        order = sorted((data, idx) for idx, data in enumerate(self.tokens) if data)
        self._sorted = [data for data, _ in order]
        self._ids = np.array([idx for _, idx in order], dtype=np.int32)

    def __len__(self) -> int:
        return len(self.tokens)

    def __getitem__(self, token: int) -> bytes:
        return self.tokens[token]

    def agreeing(self, owed: bytes) -> NDArray[np.int32]:
        """Ids of tokens whose bytes start with `owed` or are a proper prefix of it. int32 [n], by bytes."""
        low = bisect_left(self._sorted, owed)
        high = bisect_left(self._sorted, _after(owed)) if owed and _after(owed) else len(self._sorted)
        shorter = [i for n in range(1, len(owed)) for i in self._equal(owed[:n])]
        return np.concatenate([self._ids[low:high], self._ids[np.array(shorter, dtype=np.intp)]])

    def _equal(self, data: bytes) -> range:
        low = bisect_left(self._sorted, data)
        high = low
        while high < len(self._sorted) and self._sorted[high] == data:
            high += 1
        return range(low, high)


def _after(data: bytes) -> bytes:
    """The least byte string above every string that starts with `data`; b"" if there is none."""
    stem = data.rstrip(b"\xff")
    return stem[:-1] + bytes([stem[-1] + 1]) if stem else b""
