"""The door to the native decoder (`native/decoder.c`): its matrices of 8 bits, and what they are made of.

Whoever calls it keeps the arrays: the decoder has their addresses only. numpy only, no torch.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from treegraft_daemon.engine.model._decoder import GROUP, SOURCE_DIGEST, NativeDecoder, quantise
from treegraft_grammars.native import check_freshness, source_digest

__all__ = ["GROUP", "Matrix", "NativeDecoder", "address", "matrix", "rounded"]

FOLDER = Path(__file__).parent
check_freshness(SOURCE_DIGEST, source_digest(FOLDER / "_decoder.pyx", FOLDER / "native"))

Matrix = tuple[int, int, int, int, int]  # addresses of codes, scales and bias (0 for none), rows, columns


def matrix(codes: NDArray[np.generic], scales: NDArray[np.generic], bias: NDArray[np.generic] | None = None) -> Matrix:
    """codes: int8 [rows, columns]; scales: float32 [rows, columns / GROUP]; bias: float32 [rows]."""
    return address(codes), address(scales), 0 if bias is None else address(bias), codes.shape[0], codes.shape[1]


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
