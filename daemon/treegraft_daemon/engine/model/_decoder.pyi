from collections.abc import Sequence

from treegraft_daemon.engine.model.int8 import Part

SOURCE_DIGEST: str
GROUP: int
FOR_ANY: int
FOR_AVX2: int
FOR_THIS: int

def packs(loops: int) -> bool: ...
def quantise(weights: int, n: int, codes: int, scales: int) -> None: ...

class NativeDecoder:
    def __init__(
        self,
        sizes: tuple[int, int, int, int, int, int],
        eps: float,
        frequencies: int,
        norm: int,
        embedding: tuple[int, int, int, int, int],
        head: tuple[int, int, int, int, int],
        layers: list[tuple[object, ...]],
        n_threads: int,
        loops: int,
    ) -> None: ...
    def step(
        self,
        ids: int,
        n_tokens: int,
        parts: Sequence[Part],
        n_last: int,
        logits: int,
    ) -> None: ...
