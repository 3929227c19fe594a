"""A law that knows nothing: every token of a real vocabulary is as likely as any other, in real files."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from time import perf_counter

import numpy as np
import pytest
from numpy.typing import NDArray

from reading import texts
from treegraft_daemon.engine.completion import suggest
from treegraft_daemon.engine.model.draws import gumbel_order, probability_order
from treegraft_daemon.engine.model.law import Calibration, Context, Draws, Sampling, Step, alone
from treegraft_daemon.engine.model.linewise import END
from treegraft_daemon.engine.model.mixture import load_embedded
from treegraft_daemon.engine.sampler import choose
from treegraft_protocol.messages import Complete

DEADLINE_MS = 250


class UniformLaw:
    name = "uniform"
    end_tokens = frozenset({END})
    calibration = Calibration()
    n_together = free_rows = 1

    def __init__(self) -> None:
        self.vocabulary = load_embedded().vocabulary
        self._row = np.full(len(self.vocabulary), -np.log(len(self.vocabulary)))

    async def prefill(self, context: Context, sampling: Sampling, cancelled: Callable[[], bool]) -> UniformRows:
        return UniformRows(self._row, sampling)

    def step(self, steps: Sequence[Step]) -> list[list[Draws]]:
        return [step.rows.fork(len(step.tokens)) for step in steps]


class UniformRows:
    owed = b""

    def __init__(self, row: NDArray[np.float64], sampling: Sampling) -> None:
        self._row = row
        self._sampling = sampling
        [self.draws] = self.fork(1)

    def fork(self, n: int) -> list[Draws]:
        if self._sampling.temperature == 0:
            return [probability_order(self._row) for _ in range(n)]
        return [gumbel_order(self._row, self._sampling.rng) for _ in range(n)]

    def select(self, rows: Sequence[int]) -> None:
        pass

    def rewind(self, n_tokens: int) -> None:
        pass

    def close(self) -> None:
        pass


@pytest.mark.parametrize("n", [1, 5])
@pytest.mark.parametrize("language", ["python", pytest.param("json", marks=pytest.mark.slow)])
def test_a_request_keeps_its_deadline(language: str, n: int) -> None:
    rng, law, times = random.Random(8), UniformLaw(), []
    documents = list(texts(language, 8, seed=3))
    for idx in range(15):
        _, text = documents[idx % len(documents)]
        at = rng.randrange(len(text))
        context = Context("a", "a", language, text[:at], text[at:])
        request = Complete(
            id=idx, document="a", version=idx, offset=at, n=n, temperature=1.0, seed=idx, max_tokens=500,
            deadline_ms=DEADLINE_MS,
        )  # fmt: skip
        began = perf_counter()
        alone(law, suggest(request, context, law))
        times.append((perf_counter() - began) * 1000)
    # Other work on the machine may stretch a step or a final parse, for which there is a reserve; not three in fifteen.
    assert sorted(times)[-3] < DEADLINE_MS + 50, times
    assert np.median(times) < DEADLINE_MS


def test_checks_follow_the_mass_that_is_left() -> None:
    rng = np.random.default_rng(5)
    row = np.zeros(20_000)
    for share in (0.5, 0.1, 0.01):
        n_checks = []
        for _ in range(150):
            fits = rng.random(len(row)) < share
            choice = choose(gumbel_order(row, rng), lambda token, fits=fits: fits[token] or None)
            assert choice is not None
            n_checks.append(choice.n_checks)
        assert np.mean(n_checks) == pytest.approx(1 / share, rel=0.35)
