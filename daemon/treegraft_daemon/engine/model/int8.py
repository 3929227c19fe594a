"""The door to the native decoder (`native/decoder.c`): its matrices of 8 bits, and what they are made of.

Whoever calls it keeps the arrays: the decoder has their addresses only. numpy only, no torch.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from treegraft_daemon.engine.model._decoder import (
    FOR_ANY,
    FOR_AVX2,
    FOR_THIS,
    GROUP,
    SOURCE_DIGEST,
    NativeDecoder,
    packs,
    quantise,
)
from treegraft_grammars.native import check_freshness, source_digest

__all__ = [
    "FOR_ANY",
    "FOR_AVX2",
    "FOR_THIS",
    "GROUP",
    "Matrix",
    "NativeDecoder",
    "Part",
    "address",
    "matrix",
    "rounded",
]

FOLDER = Path(__file__).parent
check_freshness(SOURCE_DIGEST, source_digest(FOLDER / "_decoder.pyx", FOLDER / "native"))

SIDE_BY_SIDE = 16  # rows of a packed matrix
LINE = 64  # bytes of a cache line: what is read in so many at a time must not lie across two


class Part(NamedTuple):
    """Rows of one step that share a prefix; as in decoder.h."""

    n_rows: int
    layers: list[tuple[int, int, int, int]]  # addresses: prefix k and v, tails k and v
    capacity: int
    slots: int
    n_prefix: int
    n_before: int
    first_row: int


@dataclass(frozen=True, slots=True, eq=False)
class Matrix:
    """As the loops of a decoder read it."""

    codes: NDArray[np.generic]
    scales: NDArray[np.generic]
    bias: NDArray[np.generic] | None
    rows: int
    columns: int

    @property
    def nbytes(self) -> int:
        """What a product reads of it."""
        return self.codes.nbytes + self.scales.nbytes

    def addresses(self) -> tuple[int, int, int, int, int]:
        """As `NativeDecoder` takes it."""
        bias = 0 if self.bias is None else address(self.bias)
        return address(self.codes), address(self.scales), bias, self.rows, self.columns


def matrix(
    codes: NDArray[np.int8],
    scales: NDArray[np.float32],
    bias: NDArray[np.float32] | None = None,
    loops: int = FOR_THIS,
) -> Matrix:
    """codes: [rows, columns]; scales: [rows, columns / GROUP]; bias: [rows]. Those that are not to be packed are kept."""
    rows, columns = codes.shape
    if not packs(loops):
        return Matrix(codes, scales, bias, rows, columns)
    missing = (0, -rows % SIDE_BY_SIDE), (0, 0)
    fours = np.pad(codes, missing).view(np.uint32) ^ np.uint32(0x80808080)
    return Matrix(_side_by_side(fours), _side_by_side(np.pad(scales, missing)), bias, rows, columns)


def _side_by_side(array: NDArray[np.generic]) -> NDArray[np.generic]:
    """[rows, n] to [rows / SIDE_BY_SIDE, n, SIDE_BY_SIDE], at the start of a line."""
    blocks = array.reshape(-1, SIDE_BY_SIDE, array.shape[1]).transpose(0, 2, 1)
    room = np.empty(blocks.nbytes + LINE, dtype=np.uint8)
    start = -address(room) % LINE
    made = room[start : start + blocks.nbytes].view(array.dtype).reshape(blocks.shape)
    made[:] = blocks
    return made


def rounded(wide: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Codes and scales of float32 [rows, columns]; columns: a multiple of GROUP."""
    rows, columns = wide.shape
    codes = np.empty((rows, columns), dtype=np.int8)
    scales = np.empty((rows, columns // GROUP), dtype=np.float32)
    quantise(address(wide), wide.size, address(codes), address(scales))
    return codes, scales


def address(array: NDArray[np.generic]) -> int:
    """Where the first element is."""
    return int(array.ctypes.data)
