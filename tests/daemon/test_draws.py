"""Draws in numpy: order, normalisation, laziness, and the law of what comes first."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from treegraft_daemon.engine.model.draws import draws_from_row, log_sum_exp
from treegraft_daemon.engine.model.law import Draws, Sampling


def row(*weights: float) -> NDArray[np.float64]:
    with np.errstate(divide="ignore"):
        return np.log(np.array(weights) / sum(weights))


def greedy() -> Sampling:
    return Sampling(0.0, np.random.default_rng(0))


def everything(draws: Draws) -> tuple[list[int], list[float]]:
    ids, logprobs = [], []
    at: Draws | None = draws
    while at is not None:
        ids += at.ids.tolist()
        logprobs += at.logprobs.tolist()
        at = at.more() if at.more else None
    return ids, logprobs


def test_temperature_zero_draws_by_probability_and_equal_ones_by_id() -> None:
    draws = draws_from_row(row(1, 3, 2, 3), greedy())
    assert draws.ids.tolist() == [1, 3, 2, 0]
    assert draws.ids.dtype == np.int32 and draws.logprobs.dtype == np.float64
    assert np.exp(draws.logprobs) == pytest.approx([3 / 9, 3 / 9, 2 / 9, 1 / 9])
    assert draws.log_total == 0.0 and draws.more is None


def test_impossible_tokens_are_never_drawn() -> None:
    assert draws_from_row(row(1, 0, 2), greedy()).ids.tolist() == [2, 0]


def test_only_allowed_tokens_are_drawn_and_their_mass_is_told() -> None:
    draws = draws_from_row(row(1, 3, 2, 4), greedy(), allowed=np.array([3, 0], dtype=np.int32))
    assert draws.ids.tolist() == [3, 0]
    assert np.exp(draws.logprobs) == pytest.approx([0.4, 0.1])
    assert np.exp(draws.log_total) == pytest.approx(0.5)


def test_nothing_allowed_is_an_empty_law() -> None:
    draws = draws_from_row(row(1, 2), greedy(), allowed=np.array([], dtype=np.int32))
    assert draws.ids.tolist() == [] and draws.log_total == -np.inf and draws.more is None


def test_temperature_bends_the_law_that_is_reported() -> None:
    draws = draws_from_row(row(1, 3), Sampling(0.5, np.random.default_rng(1)))
    assert dict(zip(draws.ids.tolist(), np.exp(draws.logprobs), strict=True)) == pytest.approx({0: 0.1, 1: 0.9})


@given(st.integers(1, 300), st.integers(1, 70), st.sampled_from([0.0, 0.7, 1.0]), st.integers(0, 2**32))
@settings(max_examples=60, deadline=None)
def test_asking_for_more_walks_every_token_once_in_one_order(n: int, k: int, temperature: float, seed: int) -> None:
    law = np.random.default_rng(seed).normal(0, 3, n)
    law -= log_sum_exp(law)
    lazy = everything(draws_from_row(law, Sampling(temperature, np.random.default_rng(seed)), k=k))
    whole = everything(draws_from_row(law, Sampling(temperature, np.random.default_rng(seed)), k=n))
    assert lazy == whole
    assert sorted(lazy[0]) == list(range(n))
    if temperature != 0.7:
        assert lazy[1] == pytest.approx(law[lazy[0]].tolist())
    if temperature == 0:
        assert lazy[1] == sorted(lazy[1], reverse=True)


def test_asking_twice_gives_the_same_draws() -> None:
    draws = draws_from_row(row(*range(1, 30)), Sampling(1.0, np.random.default_rng(3)), k=4)
    assert draws.more is not None
    assert draws.more().ids.tolist() == draws.more().ids.tolist()


def test_order_is_that_of_sampling_without_replacement() -> None:
    p = np.array([0.5, 0.3, 0.15, 0.05])
    rng = np.random.default_rng(7)
    n = 20_000
    counts = dict.fromkeys(permutations(range(4), 2), 0)
    for _ in range(n):
        first, second = draws_from_row(np.log(p), Sampling(1.0, rng), k=2).ids.tolist()
        counts[first, second] += 1
    expected = {(a, b): n * p[a] * p[b] / (1 - p[a]) for a, b in counts}
    chi2 = sum((counts[pair] - expected[pair]) ** 2 / expected[pair] for pair in counts)
    assert chi2 < 31.3  # 11 degrees of freedom, one false alarm in 1000 for a new seed
