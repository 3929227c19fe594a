"""What the embedded law costs: `python tests/bench/embedded.py`.

At random places of held-out files: the law where nothing near was read before, the law one key later, and 24 tokens
written one after the other, in milliseconds, median / 95th percentile; what of these is the transformer's, and how many
bytes of its weights a step of one row reads per second, beside how fast one thread of this machine reads memory in the same
run. No constraint, no wire: `latency.py` has those. The files come from `python tests/sources.py`.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import ParamSpec, TypeVar

sys.path.insert(0, str(Path(__file__).parent.parent))  # the helpers of the tests, when run as a script

import numpy as np

import sources
from treegraft_daemon.engine.model.embedded_network import Network
from treegraft_daemon.engine.model.law import Context, Sampling, alone
from treegraft_daemon.engine.model.mixture import MixtureRows, load_embedded

LANGUAGES = ("python", "javascript", "typescript", "go", "rust", "java", "c", "cpp")
N_TOKENS = 24
P = ParamSpec("P")
T = TypeVar("T")


def timed(function: Callable[P, T], spent: list[float]) -> Callable[P, T]:
    """The function, which adds its milliseconds to the last of `spent`."""

    def measured(*args: P.args, **kwargs: P.kwargs) -> T:
        start = perf_counter()
        try:
            return function(*args, **kwargs)
        finally:
            spent[-1] += (perf_counter() - start) * 1000

    return measured


def memory_gb_per_s(n_times: int = 7) -> float:
    """How fast one thread reads what is in no cache."""
    numbers, times = np.ones(50_000_000), []
    for _ in range(n_times):
        start = perf_counter()
        numbers.max()
        times.append(perf_counter() - start)
    return numbers.nbytes / min(times) / 1e9


def spread(ms: list[float]) -> str:
    ordered = sorted(ms)
    return f"{statistics.median(ordered):.2f} / {ordered[len(ordered) * 95 // 100]:.2f}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("-n", type=int, default=25, help="places per language")
    options = parser.parse_args()
    start = perf_counter()
    law = load_embedded()
    loaded = (perf_counter() - start) * 1000
    network, sampling = law.network, Sampling(0.0, np.random.default_rng(0))
    assert network is not None, "it ships with its transformer"
    inside: list[float] = [0.0]
    network._step = timed(network._step, inside)  # type: ignore[method-assign]
    rows: dict[str, tuple[list[float], list[float]]] = {}
    prefilled: list[MixtureRows] = []

    def note(name: str, work: Callable[[], object]) -> None:
        inside.append(0.0)
        start = perf_counter()
        work()
        for column, ms in zip(
            rows.setdefault(name, ([], [])), ((perf_counter() - start) * 1000, inside[-1]), strict=True
        ):
            column.append(ms)

    rng = random.Random(0)
    for language in LANGUAGES:
        for path in sources.files(language, options.n):
            text = path.read_bytes()
            at = rng.randrange(len(text) // 4, len(text))
            end = text.find(b"\n", at) % (len(text) + 1)

            def prefill(at: int) -> None:
                context = Context(str(path), str(path), language, text[:at], text[end:], ())  # noqa: B023
                prefilled.append(alone(law, law.prefill(context, sampling, lambda: False)))

            def write() -> None:
                state = prefilled[-1].states[0][-1]
                for _ in range(N_TOKENS):
                    state = state.step(int(state.law().argmax()))

            note("first look", lambda: prefill(at - 1))  # noqa: B023
            note("one key later", lambda: prefill(at))  # noqa: B023
            note(f"{N_TOKENS} tokens", write)
    print(f"loaded in {loaded:.0f} ms; {len(rows['one key later'][0])} places\n")
    print("| ms | all | of the transformer |\n|---|---|---|")
    for name, (whole, part) in rows.items():
        print(f"| {name} | {spread(whole)} | {spread(part)} |")
    print(f"\n{told(network)}")
    return 0


def told(network: Network) -> str:
    """A step of one row, as bytes of weights per second."""
    passage = network.read(np.arange(1, 300, dtype=np.int32), lambda: False)
    tails, ids, times = network._room(1, 1), np.array([[7]], dtype=np.int32), []
    for _ in range(300):
        start = perf_counter()
        network._step(ids, passage.memory, tails, len(passage.ids), 0)
        times.append(perf_counter() - start)
    size, ms = sum(one.nbytes for one in network._matrices.values()), statistics.median(times) * 1000
    used, there = size / ms / 1e6, memory_gb_per_s()
    return f"{size / 1e6:.1f} MB of weights in {ms:.2f} ms: {used:.1f} GB/s, {used / there:.0%} of {there:.1f} GB/s"


if __name__ == "__main__":
    sys.exit(main())
