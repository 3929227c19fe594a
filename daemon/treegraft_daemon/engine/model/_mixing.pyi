from typing import Any

import numpy as np
from numpy.typing import NDArray

SOURCE_DIGEST: str
CANDIDATES: int
LAST: int
KINDS: int
LANGUAGES: int

Found = tuple[NDArray[np.int64], NDArray[np.float64], float, NDArray[np.float32], NDArray[np.float32]]

def shapes(n_slots: int) -> dict[str, tuple[int, ...]]: ...
def follow(
    page: tuple[NDArray[np.uint32], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]],
    places: NDArray[np.intp],
    lengths: NDArray[np.intp],
    index: NDArray[np.intp],
    weights: NDArray[np.float64],
    n_ids: int,
    levels: NDArray[np.intp],
    n_orders: int,
    cursor: tuple[int, int, int, int],
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float64]]: ...
def follow_skipped(
    index: NDArray[np.intp], weights: NDArray[np.float64], n_ids: int
) -> tuple[int, NDArray[np.float64]]: ...

class Network:
    def __init__(
        self,
        weights: dict[str, NDArray[np.float32]],
        kinds: NDArray[np.uint8],
        closes: NDArray[np.uint8],
        lengths: NDArray[np.float32],
        n_slots: int,
    ) -> None: ...

class Mixture:
    p: NDArray[np.float64]
    def __init__(
        self, base: NDArray[np.float64], weights: NDArray[np.float64], evidence: list[tuple[Any, Any, Any, Any]]
    ) -> None: ...
    def tilted(self, network: Network, place: tuple[Any, ...]) -> NDArray[np.float64]: ...
    def seen(self, network: Network, place: tuple[Any, ...]) -> Found: ...
