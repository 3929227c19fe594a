from collections.abc import Sequence
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

class Matches: ...

Following = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]

class Index:
    def __init__(
        self,
        tokens: NDArray[np.uint32],
        line_keys: NDArray[np.int64],
        above: NDArray[np.int64],
        below: NDArray[np.int64],
        n_vocabulary: int,
        cursor: int,
        weight_at: NDArray[np.float64],
        level_of: NDArray[np.intp],
    ) -> None: ...
    def step(self, earlier: Matches, token: int) -> Matches: ...
    def follow(self, matches: Matches, around: tuple[int, int, int, int]) -> Following | None: ...
    def follow_skipped(self, earlier: Matches) -> Following | None: ...

class Ngrams:
    def __init__(self, orders: list[Any], ratios: NDArray[np.float64]) -> None: ...
    def find(
        self, context: Sequence[int]
    ) -> list[tuple[int, NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]]: ...

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
