"""Draws in numpy: order, normalisation, laziness, and the law of what comes first."""

from __future__ import annotations

from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from sanitizers import CLEAN, drive
from treegraft_daemon.engine.model import draws as module
from treegraft_daemon.engine.model._urn import Urn
from treegraft_daemon.engine.model.draws import draws_from_masses, draws_from_row, draws_in_order, log_sum_exp
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


# Around the sizes of a group (64) and of a block of groups (4,096).
SIZES = [1, 2, 63, 64, 65, 127, 4095, 4096, 4097, 9000]


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_by_probability_is_a_stable_sort(n: int, dtype: type[np.floating]) -> None:
    law = np.random.default_rng(n).normal(0, 2, n).round(1).astype(dtype)  # many are equal
    law[n // 2] = -np.inf
    ids, logprobs = everything(draws_in_order(law, None))
    possible = np.flatnonzero(law > -np.inf)
    assert ids == possible[np.argsort(-law[possible], kind="stable")].tolist()
    assert logprobs == law[ids].tolist()


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_at_random_every_possible_token_comes_once(n: int, dtype: type[np.floating]) -> None:
    law = np.random.default_rng(n).normal(0, 30, n).astype(dtype)
    law[n // 3] = -np.inf
    ids, logprobs = everything(draws_in_order(law, np.random.default_rng(1)))
    assert sorted(ids) == np.flatnonzero(law > -np.inf).tolist()
    assert logprobs == law[ids].tolist()


@pytest.mark.parametrize("temperature", [0.0, 0.5, 1.0])
def test_a_law_in_probabilities_is_drawn_as_in_logarithms(temperature: float) -> None:
    p = np.random.default_rng(1).dirichlet(np.full(700, 0.1))
    with np.errstate(divide="ignore"):
        one = everything(draws_from_row(np.log(p), Sampling(temperature, np.random.default_rng(2))))
    other = everything(draws_from_masses(p, Sampling(temperature, np.random.default_rng(2))))
    # Two greatest masses that differ in the last bit may change places; what is told of a token may not.
    assert sorted(one[0]) == sorted(other[0])
    assert [a == b for a, b in zip(one[0], other[0], strict=True)].count(False) <= 4
    assert other[1][:50] == pytest.approx(one[1][:50])


def chi2_of_first(law: NDArray[np.float64], tokens: NDArray[np.int64], bins: NDArray[np.int64]) -> float:
    """How far tokens are from a law, by bins of them; in standard deviations of the statistic."""
    n_bins = int(bins.max()) + 1
    expected = np.bincount(bins, np.exp(law), n_bins) * len(tokens)
    found = np.bincount(bins[tokens], minlength=n_bins)
    return float((((found - expected) ** 2 / expected).sum() - (n_bins - 1)) / np.sqrt(2 * (n_bins - 1)))


def test_first_draws_of_a_large_law_follow_it_across_and_within_groups() -> None:
    rng = np.random.default_rng(11)
    law = np.log(rng.permutation(np.arange(1, 9001) ** -1.05))
    law -= log_sum_exp(law)
    tokens = np.array([draws_in_order(law, rng, k=1).ids[0] for _ in range(20_000)])
    by_place = np.arange(9000) // 90
    by_rank = np.empty(9000, dtype=np.int64)
    by_rank[np.argsort(-law)] = np.minimum(np.arange(9000) // 10, 99)
    assert abs(chi2_of_first(law, tokens, by_place)) < 4.5
    assert abs(chi2_of_first(law, tokens, by_rank)) < 4.5
    wrong = law + np.where(by_place < 50, 0.1, -0.1)
    assert chi2_of_first(wrong - log_sum_exp(wrong), tokens, by_place) > 10, "the statistic must tell a wrong law"


def test_what_is_left_beside_a_great_mass_keeps_its_proportions() -> None:
    """1e-12 of the law, and 1e-200 after that: neither is lost to rounding beside what was drawn before."""
    few, fewer = 1e-12, 1e-200
    p = np.array([1.0, 0.5 * few, 0.3 * few, 0.2 * few, 0.75 * fewer, 0.25 * fewer])
    rng = np.random.default_rng(3)
    n = 8000
    second, fifth = np.zeros(6), np.zeros(6)
    for _ in range(n):
        ids = everything(draws_in_order(np.log(p), rng))[0]
        assert ids[0] == 0 and sorted(ids[4:]) == [4, 5]
        second[ids[1]] += 1
        fifth[ids[4]] += 1
    assert np.abs(second[1:4] / n - [0.5, 0.3, 0.2]).max() < 0.025
    assert abs(fifth[4] / n - 0.75) < 0.02


def test_masses_next_to_nothing_are_still_a_law() -> None:
    p = np.array([1.0, 3e-310, 2e-310, 0.0, 1e-310])
    for seed in range(50):
        ids = everything(draws_in_order(p, np.random.default_rng(seed), masses=True))[0]
        assert ids[0] == 0 and sorted(ids[1:]) == [1, 2, 4]


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("at", [0, 70, 99])
def test_what_is_no_law_is_refused(bad: float, at: int) -> None:
    for dtype in (np.float32, np.float64):
        law = np.zeros(100, dtype=dtype)
        law[at] = bad
        with pytest.raises(ValueError, match="a law must hold log-probabilities"):
            draws_in_order(law, None)
    masses = np.ones(100)
    masses[at] = -bad
    with pytest.raises(ValueError, match="a law must hold log-probabilities"):
        draws_in_order(masses, np.random.default_rng(0), masses=True)


def test_laws_of_other_kinds_are_refused() -> None:
    for law, masses in (
        (np.zeros(8, np.float16), False),
        (np.zeros(8, np.int32), False),
        (np.ones(8, np.float32), True),
    ):
        with pytest.raises(ValueError, match="cannot be drawn from"):
            draws_in_order(law, None, masses=masses)  # type: ignore[arg-type]


def test_more_than_there_are_cannot_be_drawn() -> None:
    urn = Urn(np.zeros(5), by_probability=True)
    room = np.empty(6), np.empty(6, np.int32), np.empty(6)
    with pytest.raises(ValueError, match="more draws"):
        urn.draw(*room)
    with pytest.raises(ValueError, match="different lengths"):
        urn.draw(room[0], room[1][:5], room[2][:5])
    urn.draw(room[0][:5], room[1][:5], room[2][:5])
    assert urn.left() == 0 and room[1][:5].tolist() == [0, 1, 2, 3, 4]


@pytest.mark.slow
def test_sanitizers_find_nothing(tmp_path: Path) -> None:
    source = Path(module.__file__).parent / "urn" / "urn.c"
    assert drive(Path(__file__).parent / "drive_urn.c", source, tmp_path) == CLEAN
