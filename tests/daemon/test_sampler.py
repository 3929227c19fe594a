"""The sampler: exactly on five tokens, by statistics on large laws, against controls that must fail."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator
from fractions import Fraction
from itertools import chain, combinations, permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from treegraft_daemon.engine.model.draws import gumbel_order, probability_order
from treegraft_daemon.engine.model.law import Draws
from treegraft_daemon.engine.sampler import MAX_CHECKS, Choice, choose, sample

# Exact enumeration ---------------------------------------------------------------------------------------------------

FIVE = [Fraction(n, 100) for n in (45, 30, 15, 9, 1)]
PEAKED = [Fraction(n, 10**9) for n in (999_998_900, 600, 300, 199, 1)]
ACCEPTED_SETS = [frozenset(c) for c in chain.from_iterable(combinations(range(5), n) for n in range(6))]
Estimator = Callable[[tuple[int, ...], frozenset[int], list[Fraction]], Iterator[tuple[Fraction, int, float]]]


class Coin:
    """Stands for the generator: falls as told, and remembers whether it was asked."""

    def __init__(self, value: float) -> None:
        self.value, self.asked = value, False

    def random(self) -> float:
        assert not self.asked, "one coin per choice"
        self.asked = True
        return self.value


def scripted(order: tuple[int, ...], p: list[Fraction], portion: int = 2) -> Draws:
    """The draws of one given order, handed out in small portions."""
    now, rest = order[:portion], order[portion:]
    more = (lambda: scripted(rest, p, portion)) if rest else None
    return Draws(np.array(now, dtype=np.int32), np.array([math.log(p[i]) for i in now]), 0.0, more)


def ours(max_checks: int) -> Estimator:
    """`choose` on one order; both outcomes of the coin: (probability, token, weight)."""

    def outcomes(
        order: tuple[int, ...], fits: frozenset[int], p: list[Fraction]
    ) -> Iterator[tuple[Fraction, int, float]]:
        def run(value: float) -> tuple[Choice[bool] | None, bool]:
            coin = Coin(value)
            step = lambda token: token in fits or None  # noqa: E731
            choice = choose(scripted(order, p), step, max_checks=max_checks, rng=coin)  # type: ignore[arg-type]
            return choice, coin.asked

        stop, asked = run(1.0)
        if stop is None:
            return
        assert stop.log_lower <= math.log(float(sum(p[i] for i in fits))) + 1e-8
        assert stop.log_upper >= math.log(float(sum(p[i] for i in fits))) - 1e-8
        if not asked:
            yield Fraction(1), stop.token, math.exp(stop.log_weight)
            return
        # The coin says "check once more" with probability d / (L / 1000).
        lower = math.exp(stop.log_lower)
        q = Fraction((math.exp(stop.log_upper) - lower) / (1e-3 * lower))
        go, _ = run(0.0)
        assert go is not None
        yield 1 - q, stop.token, math.exp(stop.log_weight)
        yield q, go.token, math.exp(go.log_weight)

    return outcomes


def probability_of(order: tuple[int, ...], p: list[Fraction]) -> Fraction:
    """Of this order, drawing without replacement."""
    left, result = Fraction(1), Fraction(1)
    for token in order:
        result, left = result * p[token] / left, left - p[token]
    return result


def expectation(estimator: Estimator, fits: frozenset[int], p: list[Fraction]) -> list[float]:
    """E[weight * 1[token = i]] for each i, over all orders."""
    sums = [Fraction(0)] * len(p)
    for order in permutations(range(len(p))):
        q = probability_of(order, p)
        for share, token, weight in estimator(order, fits, p):
            sums[token] += q * share * Fraction(weight)
    return [float(total) for total in sums]


def is_proper(estimator: Estimator, p: list[Fraction]) -> bool:
    for fits in ACCEPTED_SETS:
        truth = [float(p[i]) if i in fits else 0.0 for i in range(len(p))]
        if not np.allclose(expectation(estimator, fits, p), truth, rtol=1e-7, atol=1e-15):
            return False
    return True


@pytest.mark.parametrize("p", [FIVE, PEAKED], ids=["five", "peaked"])
@pytest.mark.parametrize("max_checks", [1, 2, 3, MAX_CHECKS])
def test_weights_are_proper_for_every_accepted_set(p: list[Fraction], max_checks: int) -> None:
    assert is_proper(ours(max_checks), p)


def _first(order: tuple[int, ...], fits: frozenset[int], p: list[Fraction]) -> tuple[int, Fraction] | None:
    """Where in the order the first accepted token is, and the mass left before it."""
    left = Fraction(1)
    for at, token in enumerate(order):
        if token in fits:
            return at, left
        left -= p[token]
    return None


def recursive(order: tuple[int, ...], fits: frozenset[int], p: list[Fraction]) -> Iterator[tuple[Fraction, int, float]]:
    """Literature: look at the next draw only; all that is left if it fits, else the token's own mass."""
    if found := _first(order, fits, p):
        at, left = found
        after = order[at + 1 : at + 2]
        yield Fraction(1), order[at], float(left if after and after[0] in fits else p[order[at]])


def two_trace(order: tuple[int, ...], fits: frozenset[int], p: list[Fraction]) -> Iterator[tuple[Fraction, int, float]]:
    """Literature: draw anew from the tokens not yet refused until one fits; mass left / (refusals + 1)."""
    if found := _first(order, fits, p):
        at, left = found
        for second in permutations(order[at:]):
            q = Fraction(1)
            rest = left
            for token in second:
                q, rest = q * p[token] / rest, rest - p[token]
            again = next(i for i, token in enumerate(second) if token in fits)
            yield q, order[at], float(left / (at + again + 1))


def geometric(order: tuple[int, ...], fits: frozenset[int], p: list[Fraction]) -> Iterator[tuple[Fraction, int, float]]:
    """Literature: with replacement until two fit, (2 - 1) / (trials - 1); refusals before the second are 1 - Z each."""
    if found := _first(order, fits, p):
        z = float(sum(p[i] for i in fits))
        # E[1 / (N - 1)] for the second success of Bernoulli(z) trials, term by term.
        trials = range(2, 2000)
        mean = sum((n - 1) * z * z * (1 - z) ** (n - 2) / (n - 1) for n in trials) if z < 1 else 1.0
        yield Fraction(1), order[found[0]], mean


# The enumeration of two traces takes a quarter of a minute.
@pytest.mark.parametrize("estimator", [recursive, pytest.param(two_trace, marks=pytest.mark.slow), geometric])
def test_estimators_of_the_literature_are_proper(estimator: Estimator) -> None:
    assert is_proper(estimator, FIVE)


def upper_bound(
    order: tuple[int, ...], fits: frozenset[int], p: list[Fraction]
) -> Iterator[tuple[Fraction, int, float]]:
    if found := _first(order, fits, p):
        yield Fraction(1), order[found[0]], float(found[1])


def one_trace(order: tuple[int, ...], fits: frozenset[int], p: list[Fraction]) -> Iterator[tuple[Fraction, int, float]]:
    if found := _first(order, fits, p):
        yield Fraction(1), order[found[0]], 1 / (found[0] + 1)


def token_dependent(
    order: tuple[int, ...], fits: frozenset[int], p: list[Fraction]
) -> Iterator[tuple[Fraction, int, float]]:
    """Right on the whole (the weights sum to Z), wrong for each token."""
    if found := _first(order, fits, p):
        z, token = sum(p[i] for i in fits), order[found[0]]
        mean = sum(p[i] * p[i] / z for i in fits)
        yield Fraction(1), token, float(z * p[token] / mean)


def top_three(order: tuple[int, ...], fits: frozenset[int], p: list[Fraction]) -> Iterator[tuple[Fraction, int, float]]:
    yield from ours(MAX_CHECKS)(order, fits & {0, 1, 2}, p)


def peeking(order: tuple[int, ...], fits: frozenset[int], p: list[Fraction]) -> Iterator[tuple[Fraction, int, float]]:
    """Decides after looking whether a draw was the last one."""
    if found := _first(order, fits, p):
        at, left = found
        token, after = order[at], order[at + 1 :]
        seen, unseen = p[token], left - p[token]
        for other in after:
            if other in fits:
                yield Fraction(1), token, float(seen + unseen)
                return
            unseen -= p[other]
        yield Fraction(1), token, float(seen)


@pytest.mark.parametrize("estimator", [upper_bound, one_trace, token_dependent, top_three, peeking])
def test_controls_fail(estimator: Estimator) -> None:
    assert not is_proper(estimator, FIVE)


# Statistics on large laws --------------------------------------------------------------------------------------------


def uniform(n: int) -> NDArray[np.float64]:
    return np.full(n, 1.0 / n)


def zipf(n: int) -> NDArray[np.float64]:
    p = np.arange(1, n + 1) ** -1.1
    return np.random.default_rng(n).permutation(p / p.sum())


def peaked(n: int) -> NDArray[np.float64]:
    p = np.full(n, 0.1 / (n - 1))
    p[n // 3] = 0.9
    return p


def sparse(n: int) -> NDArray[np.float64]:
    p = np.zeros(n)
    p[:: n // 20] = uniform(len(p[:: n // 20]))
    return p


def logs(p: NDArray[np.float64]) -> NDArray[np.float64]:
    with np.errstate(divide="ignore"):
        return np.log(p)


class Watch:
    """Accepts a set; fails the test when a token is shown twice or has probability 0."""

    def __init__(self, p: NDArray[np.float64], fits: NDArray[np.bool_]) -> None:
        self.p, self.fits = p, fits
        self.shown: set[int] = set()

    def __call__(self, token: int) -> bool:
        assert token not in self.shown, "checked twice"
        assert self.p[token] > 0, "probability 0"
        self.shown.add(token)
        return bool(self.fits[token])


def runs(
    p: NDArray[np.float64], fits: NDArray[np.bool_], n: int, seed: int = 0
) -> tuple[list[int], NDArray[np.float64], float]:
    """Tokens, weights and the mean number of checks of `n` steps."""
    rng, law = np.random.default_rng(seed), logs(p)
    tokens, weights, checks = [], [], 0
    for _ in range(n):
        watch = Watch(p, fits)
        token, log_weight = sample(law, watch, rng)
        tokens.append(token)
        weights.append(math.exp(log_weight))
        checks += len(watch.shown)
    return tokens, np.array(weights), checks / n


LAWS = [uniform, zipf, peaked, sparse]


@pytest.mark.parametrize("make", LAWS)
@pytest.mark.parametrize("size", [50, 3000])  # noise and one sort; an urn
def test_tokens_follow_the_conditioned_law(make: Callable[[int], NDArray[np.float64]], size: int) -> None:
    p = make(size)
    fits = np.random.default_rng(1).random(size) < 0.4
    fits[np.argmax(p)] = False
    fits[np.argsort(p)[-3]] = True
    n = 3000
    counts = Counter(runs(p, fits, n)[0])
    expected = np.where(fits, p, 0) / p[fits].sum() * n
    assert set(counts) <= set(np.flatnonzero(expected).tolist())
    assert chi_square(counts, expected) < 4.5


@pytest.mark.parametrize("size", [50, 3000])
def test_a_flattened_law_is_noticed(size: int) -> None:
    p, n = zipf(size), 3000
    flat = p**0.8 / (p**0.8).sum()
    counts = Counter(runs(flat, np.ones(size, dtype=np.bool_), n)[0])
    assert chi_square(counts, p * n) > 4.5


def chi_square(counts: Counter[int], expected: NDArray[np.float64]) -> float:
    """Standard deviations by which the statistic exceeds its mean; small cells are pooled."""
    order = np.argsort(-expected)
    cells, pool = [], [0.0, 0.0]
    for token in order[expected[order] > 0]:
        pool = [pool[0] + counts[int(token)], pool[1] + float(expected[token])]
        if pool[1] >= 20:
            cells.append(pool)
            pool = [0.0, 0.0]
    if pool[1] > 0:
        cells[-1] = [cells[-1][0] + pool[0], cells[-1][1] + pool[1]]
    if len(cells) < 2:
        return 0.0
    statistic = sum((seen - mean) ** 2 / mean for seen, mean in cells)
    return (statistic - (len(cells) - 1)) / math.sqrt(2 * (len(cells) - 1))


@pytest.mark.parametrize("make", LAWS)
@pytest.mark.parametrize("share", [1.0, 0.5, 0.05])
def test_mean_weight_is_the_accepted_mass_token_by_token(
    make: Callable[[int], NDArray[np.float64]], share: float
) -> None:
    p = make(2000)
    fits = np.random.default_rng(2).random(2000) < share
    fits[np.argsort(p)[-2]] = True
    n = 1500 if share > 0.1 else 800
    tokens, weights, _ = runs(p, fits, n)
    for f in (np.ones(2000), (np.arange(2000) % 3 == 0) * 1.0, p / p.max()):
        truth = float((p * f)[fits].sum())
        values = weights * f[tokens]
        assert abs(values.mean() - truth) < 4.5 * values.std() / math.sqrt(n) + 1e-3 * truth


def test_checks_before_the_token_follow_the_formula() -> None:
    p = zipf(2000)
    fits = np.random.default_rng(3).random(2000) < 0.1
    z = p[fits].sum()
    formula = 1 + (p[~fits] / (p[~fits] + z)).sum()
    assert formula <= min(1 / z, 1 + (~fits).sum())
    rng, n = np.random.default_rng(4), 1500
    checks = []
    for _ in range(n):
        choice = choose(gumbel_order(logs(p), rng), lambda token: bool(fits[token]) or None)
        assert choice is not None
        checks.append(choice.n_checks)
    assert abs(np.mean(checks) - formula) < 4.5 * np.std(checks) / math.sqrt(n)


@pytest.mark.parametrize("make", LAWS)
@pytest.mark.parametrize("share", [1.0, 0.5, 0.02])
def test_the_weight_costs_as_many_checks_again_or_two(make: Callable[[int], NDArray[np.float64]], share: float) -> None:
    p, n = make(2000), 300
    fits = np.random.default_rng(5).random(2000) < share
    fits[np.argsort(p)[-2]] = True
    rng = np.random.default_rng(6)
    for _ in range(n):
        state = rng.bit_generator.state
        first = choose(gumbel_order(logs(p), rng), lambda token: bool(fits[token]) or None)
        rng.bit_generator.state = state
        watch = Watch(p, fits)
        sample(logs(p), watch, rng)
        assert first is not None
        assert len(watch.shown) <= first.n_checks + max(2, first.n_checks)


def test_a_sure_step_costs_one_check() -> None:
    p = np.array([1 - 1e-7, *[1e-7 / 999] * 999])
    _, weights, checks = runs(p, np.ones(1000, dtype=np.bool_), 200)
    assert checks < 1.01
    assert np.allclose(weights, 1, atol=2e-3)


@pytest.mark.parametrize("size", [50, 150_000])
@pytest.mark.parametrize("mass", [1e-12, 1e-40, 1e-300])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_a_forced_token_of_tiny_mass_is_found_and_weighed(size: int, mass: float, dtype: type) -> None:
    law = logs(np.full(size, 1.0 / size))
    law[size // 2] = math.log(mass)
    watch = Watch(np.full(size, 1.0), np.arange(size) == size // 2)
    token, log_weight = sample(law.astype(dtype), watch, np.random.default_rng(0))
    assert token == size // 2
    assert log_weight == pytest.approx(math.log(mass), rel=1e-6)


def test_two_forced_tokens_share_their_tiny_mass() -> None:
    p = np.full(4000, 1e-3)
    p[:1000] = 1e-3 - 1e-15
    p[1000:] = 1e-30
    p[1234], p[2345] = 3e-14, 1e-14
    fits = np.isin(np.arange(4000), [1234, 2345])
    tokens, weights, _ = runs(p, fits, 120)
    assert set(tokens) == {1234, 2345}
    assert abs(weights.mean() - 4e-14) < 4.5 * weights.std() / math.sqrt(120) + 1e-17


def test_nothing_accepted_checks_all_of_positive_probability_once() -> None:
    p = sparse(5000)
    watch = Watch(p, np.zeros(5000, dtype=np.bool_))
    assert sample(logs(p), watch, np.random.default_rng(0)) == (-1, -math.inf)
    assert watch.shown == set(np.flatnonzero(p).tolist())
    assert sample(np.full(60, -np.inf), watch, np.random.default_rng(0)) == (-1, -math.inf)


@pytest.mark.parametrize("size", [60, 5000])
@pytest.mark.parametrize("factor", [1e-3, 0.999, 2.0])
def test_weights_are_in_the_units_of_the_masses_given(size: int, factor: float) -> None:
    token, log_weight = sample(logs(uniform(size) * factor), lambda _: True, np.random.default_rng(0))
    assert 0 <= token < size
    assert log_weight == pytest.approx(math.log(factor), abs=2e-3)


def test_a_law_that_is_not_a_number_is_refused() -> None:
    for bad in (math.nan, math.inf):
        for size in (5, 5000):
            law = logs(uniform(size))
            law[3] = bad
            with pytest.raises(ValueError, match="log-probabilities"):
                sample(law, lambda _: True, np.random.default_rng(0))


@given(st.lists(st.floats(-60, 0), min_size=1, max_size=30), st.data())
def test_bounds_hold_whatever_the_law(law: list[float], data: st.DataObject) -> None:
    fits = data.draw(st.sets(st.integers(0, len(law) - 1), min_size=1))
    logprobs = np.array(law)
    z = float(np.logaddexp.reduce(logprobs[sorted(fits)]))
    rng = np.random.default_rng(data.draw(st.integers(0, 9)))
    step = lambda token: True if token in fits else None  # noqa: E731
    for draws, coin in (
        (gumbel_order(logprobs, rng), rng),
        (gumbel_order(logprobs, rng), None),
        (probability_order(logprobs), None),
    ):
        choice = choose(draws, step, rng=coin)
        assert choice is not None and choice.token in fits
        total = float(np.logaddexp.reduce(logprobs))
        slack = 1e-9 + math.exp(min(total - z, 60.0)) * 1e-14
        assert choice.log_lower <= z + slack
        assert choice.log_upper >= z - slack


def test_by_probability_the_most_probable_that_fits_comes_first() -> None:
    p = zipf(5000)
    fits = np.random.default_rng(0).random(5000) < 0.1
    choice = choose(probability_order(logs(p)), lambda token: bool(fits[token]) or None)
    assert choice is not None
    assert choice.token == int(np.argmax(np.where(fits, p, 0)))
    assert choice.n_checks == 1 + int((p[~fits] > p[choice.token]).sum())


def test_checks_are_bounded() -> None:
    shown: list[int] = []
    assert choose(gumbel_order(logs(uniform(100)), np.random.default_rng(0)), shown.append, max_checks=7) is None
    assert len(shown) == 7
