"""Particles against exact enumeration of a toy language; the beam against the list of all its texts."""

from __future__ import annotations

import math
from collections.abc import Callable, Coroutine, Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise, product
from typing import Any

import numpy as np
import pytest

from treegraft_daemon.engine import particles as moving
from treegraft_daemon.engine.model.draws import gumbel_order, probability_order
from treegraft_daemon.engine.model.law import Draws
from treegraft_daemon.engine.particles import Particle, World, effective_size, posterior, systematic

# Brackets that must balance: token 0 opens, 1 closes, 2 ends. The model is fond of closing and knows nothing of depth.
LAW = {0: (0.5, 0.3, 0.2), 1: (0.2, 0.5, 0.3), None: (0.4, 0.4, 0.2)}
LONGEST = 6


def law_after(text: tuple[int, ...]) -> np.ndarray:
    return np.log(np.array(LAW[text[-1] if text else None]))


def fits(text: tuple[int, ...]) -> bool:
    depth = 0
    for token in text:
        depth += (1, -1, 0)[token]
        if depth < 0:
            return False
    room = LONGEST - len(text)
    return depth == 0 if text and text[-1] == 2 else depth <= room - 1


def exact() -> dict[tuple[int, ...], float]:
    """The probability of every whole text under the unconstrained law."""
    found = {}
    for n in range(LONGEST):
        for body in product((0, 1), repeat=n):
            text = (*body, 2)
            if all(fits(text[:i]) for i in range(len(text) + 1)):
                steps = [math.exp(law_after(text[:i])[token]) for i, token in enumerate(text)]
                found[text] = math.prod(steps)
    return found


def explore(*arguments: Any) -> list[Particle[Any]]:
    return finished(moving.explore(*arguments))


def beam(*arguments: Any, **options: Any) -> list[Particle[Any]]:
    return finished(moving.beam(*arguments, **options))


def finished(work: Coroutine[Any, Any, list[Particle[Any]]]) -> list[Particle[Any]]:
    """What comes of it in a world that answers at once."""
    try:
        work.send(None)
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]
    raise AssertionError("nothing here waits")


class Rows:
    """What the model would hold: the text of each row."""

    def __init__(self, order: Callable[[np.ndarray], Draws]) -> None:
        self.order = order
        self.texts: list[tuple[int, ...]] = []

    def start(self, n: int) -> list[Draws]:
        self.texts = [()] * n
        return [self.order(law_after(())) for _ in range(n)]

    async def advance(
        self, parents: Sequence[int], tokens: Sequence[int], states: Sequence[tuple[int, ...]]
    ) -> list[Draws]:
        self.texts = [(*self.texts[parent], token) for parent, token in zip(parents, tokens, strict=True)]
        assert self.texts == list(states), "rows and particles must not part"
        return [self.order(law_after(text)) for text in self.texts]

    def world(self, spent: Callable[[], bool] = lambda: False) -> World[tuple[int, ...]]:
        return World(
            step=lambda text: lambda token: (*text, token) if fits((*text, token)) else None,
            is_whole=lambda text: bool(text) and text[-1] == 2,
            advance=self.advance,
            spent=spent,
            max_checks=100,
        )


def particles(n: int, rng: np.random.Generator) -> list[Particle[tuple[int, ...]]]:
    rows = Rows(lambda law: gumbel_order(law, rng))
    return explore((), rows.start(n), rows.world(), rng)


@pytest.mark.parametrize("n", [1, 2, 5])
def test_mean_weights_are_the_probabilities_of_the_texts(n: int) -> None:
    rng = np.random.default_rng(n)
    runs = 4000 // n
    sums: dict[tuple[int, ...], list[float]] = {text: [] for text in exact()}
    for _ in range(runs):
        one_run = dict.fromkeys(sums, 0.0)
        for particle in particles(n, rng):
            assert particle.finished
            one_run[particle.state] += math.exp(particle.log_weight) / n
        for text, weight in one_run.items():
            sums[text].append(weight)
    for text, probability in exact().items():
        weights = np.array(sums[text])
        assert abs(weights.mean() - probability) < 4.5 * weights.std() / math.sqrt(runs) + 1e-4, text


# Three tokens, each 0 or 1, of a law that depends on the token before, and a constraint on what may follow what.
STEPS = 3
BIT_LAW = {
    (): Fraction(3, 5),
    (0,): Fraction(19, 20),
    (1,): Fraction(1, 2),
    (0, 1): Fraction(1, 5),
    (1, 0): Fraction(9, 10),
    (1, 1): Fraction(1, 3),
}  # of a 0
MAY_FOLLOW = {(): {0, 1}, (0,): {1}, (1,): {0, 1}, (0, 1): {0}, (1, 0): {0, 1}, (1, 1): {1}}


def share(text: tuple[int, ...], token: int) -> Fraction:
    return BIT_LAW[text] if token == 0 else 1 - BIT_LAW[text]


class Branches:
    """Runs a program once for each way its choices can fall; `probability` is that of the run so far."""

    def __init__(self) -> None:
        self._script: list[tuple[int, int]] = []  # (which, of how many)

    def __iter__(self) -> Iterator[Branches]:
        while True:
            self._at, self.probability = 0, Fraction(1)
            yield self
            while self._script and self._script[-1][0] + 1 == self._script[-1][1]:
                self._script.pop()
            if not self._script:
                return
            which, n = self._script[-1]
            self._script[-1] = (which + 1, n)

    def choose(self, shares: Sequence[Fraction]) -> int:
        if self._at == len(self._script):
            self._script.append((0, len(shares)))
        which, _ = self._script[self._at]
        self._at += 1
        self.probability *= shares[which]
        return which


class Middle:
    """Stands for the generator where any number in an interval does the same."""

    def __init__(self, value: Fraction) -> None:
        self.random = lambda: float(value)


@pytest.mark.parametrize("resamples", [True, False])
def test_mean_weights_are_exact_over_all_outcomes(monkeypatch: pytest.MonkeyPatch, resamples: bool) -> None:
    """Three particles, three steps: every order of draws and every interval of the resampler's uniform number."""
    branches, n = Branches(), 3
    n_resampled = 0

    def draws(text: tuple[int, ...]) -> Draws:
        first = branches.choose([share(text, 0), share(text, 1)])
        order = [first, 1 - first]
        return Draws(np.array(order, dtype=np.int32), np.log([float(share(text, t)) for t in order]), 0.0, None)

    def enumerated(log_weights: Sequence[float], _: object) -> list[int]:
        nonlocal n_resampled
        n_resampled += 1
        w = [Fraction(math.exp(log_weight - max(log_weights))) for log_weight in log_weights]
        edges = {n * sum(w[: i + 1], Fraction()) / sum(w) % 1 for i in range(n)} | {Fraction(0), Fraction(1)}
        ends = sorted(edges)
        which = branches.choose([high - low for low, high in pairwise(ends)])
        return systematic(log_weights, Middle((ends[which] + ends[which + 1]) / 2))  # type: ignore[arg-type]

    async def advance(parents: object, tokens: object, texts: Sequence[tuple[int, ...]]) -> list[Draws]:
        return [draws(text) for text in texts]

    monkeypatch.setattr("treegraft_daemon.engine.particles.systematic", enumerated)
    if not resamples:
        monkeypatch.setattr("treegraft_daemon.engine.particles.effective_size", lambda _: float(n))
    world = World(
        step=lambda text: lambda token: (*text, token) if token in MAY_FOLLOW[text] else None,
        is_whole=lambda text: len(text) == STEPS,
        advance=advance,
        spent=lambda: False,
        max_checks=100,
    )
    means: dict[tuple[int, ...], float] = {}
    total, evidence_squared = Fraction(), 0.0
    for run in branches:
        found = explore((), [draws(()) for _ in range(n)], world, Middle(Fraction(1, 2)))  # type: ignore[arg-type]
        total += run.probability
        weights = [math.exp(particle.log_weight) / n for particle in found]
        for particle, weight in zip(found, weights, strict=True):
            means[particle.state] = means.get(particle.state, 0.0) + float(run.probability) * weight
        evidence_squared += float(run.probability) * sum(weights) ** 2
    assert float(total) == pytest.approx(1, abs=1e-12)
    assert (n_resampled > 0) == resamples
    for text in product((0, 1), repeat=STEPS):
        fits = all(text[i] in MAY_FOLLOW[text[:i]] for i in range(STEPS) if text[:i] in MAY_FOLLOW)
        probability = math.prod(float(share(text[:i], text[i])) for i in range(STEPS)) if fits else 0.0
        assert means.get(text, 0.0) == pytest.approx(probability, rel=1e-9), text
    assert evidence_squared > sum(means.values()) ** 2  # the estimate does vary


def test_the_posterior_is_the_law_of_whole_texts() -> None:
    total = sum(exact().values())
    distances = []
    for seed in range(6):
        rng = np.random.default_rng(seed)
        shares = posterior((particle.state, particle.log_weight) for particle in particles(4000, rng))
        assert set(shares) <= set(exact())
        found = {text: math.exp(shares.get(text, -math.inf)) for text in exact()}
        distances.append(sum(abs(found[text] - probability / total) for text, probability in exact().items()) / 2)
    assert np.mean(distances) < 0.01


def test_unweighted_particles_are_biased() -> None:
    rng = np.random.default_rng(0)
    rows = Rows(lambda law: gumbel_order(law, rng))
    total = sum(exact().values())
    one_by_one = [explore((), rows.start(1), rows.world(), rng)[0].state for _ in range(4000)]
    share = {text: one_by_one.count(text) / 4000 for text in exact()}
    assert max(abs(share[text] - probability / total) for text, probability in exact().items()) > 0.03


def test_a_beam_finds_the_most_probable_texts() -> None:
    best = sorted(exact(), key=lambda text: -exact()[text])
    for n in (3, len(best)):
        rows = Rows(probability_order)
        found = beam((), rows.start(1)[0], rows.world(), width=n, n_wanted=n)
        assert [particle.state for particle in found] == best[:n]


def test_spent_ends_with_what_there_is() -> None:
    rng = np.random.default_rng(0)
    polls = iter([False, False, True])
    rows = Rows(lambda law: gumbel_order(law, rng))
    found = explore((), rows.start(20), rows.world(lambda: next(polls)), rng)
    assert len(found) == 20
    assert {len(particle.state) for particle in found} <= {1, 2}
    assert {particle.finished for particle in found} == {True, False}


def test_out_of_tokens_particles_end_with_the_mass_of_the_ends_as_weight() -> None:
    """The posterior is that of the texts of at most four tokens, though nothing else tells that there are no more."""
    n_tokens = 4
    short = {text: p for text, p in exact().items() if len(text) <= n_tokens}
    total = sum(short.values())
    distances, logs = [], []
    for seed in range(4):
        rng = np.random.default_rng(seed)
        rows = Rows(lambda law, rng=rng: gumbel_order(law, rng))
        start = rows.start(4000)
        world = replace(rows.world(), is_last=lambda rows=rows: len(rows.texts[0]) == n_tokens - 1)
        found = explore((), start, world, rng)
        assert all(particle.finished or particle.stuck for particle in found)
        ended = [particle for particle in found if particle.finished]
        shares = posterior((particle.state, particle.log_weight) for particle in ended)
        assert set(shares) <= set(short)
        distances.append(sum(abs(math.exp(shares.get(text, -math.inf)) - p / total) for text, p in short.items()) / 2)
        logs.append(sum(math.exp(particle.log_weight) for particle in ended) / len(found))
    assert np.mean(distances) < 0.015
    assert np.mean(logs) == pytest.approx(total, rel=0.05)  # three and a half standard deviations


def test_a_beam_out_of_tokens_has_the_most_probable_short_texts() -> None:
    best = sorted((text for text in exact() if len(text) <= 4), key=lambda text: -exact()[text])
    rows = Rows(probability_order)
    [start] = rows.start(1)
    world = replace(rows.world(), is_last=lambda: len(rows.texts[0]) == 3)
    found = [particle.state for particle in beam((), start, world, width=9, n_wanted=9) if particle.finished]
    assert found == best


def test_a_beam_for_one_text_stops_when_nothing_can_outdo_it_and_gives_up_what_is_hopeless() -> None:
    best = max(exact(), key=lambda text: exact()[text])

    def n_rows(n_wanted: int, margin: float = math.inf) -> int:
        rows = Rows(probability_order)
        [start] = rows.start(1)
        world, seen = rows.world(), 0

        async def count(parents: Sequence[int], *rest: Any) -> list[Draws]:
            nonlocal seen
            seen += len(parents)
            return await world.advance(parents, *rest)

        found = beam((), start, replace(world, advance=count), width=6, n_wanted=n_wanted, margin=margin)
        assert found[0].state == best and found[0].finished
        return seen

    assert n_rows(1) < n_rows(6)
    assert n_rows(6, math.log(3)) < n_rows(6)


def test_a_beam_closes_what_the_law_takes_for_finished() -> None:
    """Where the most probable token is an end that does not fit, the end by closing marks is one of the ways on."""
    rows = Rows(probability_order)
    [start] = rows.start(1)
    closed: list[tuple[tuple[int, ...], int]] = []

    def close(text: tuple[int, ...], token: int) -> tuple[int, ...] | None:
        closed.append((text, token))
        return (*text, *[1] * sum((1, -1, 0)[token] for token in text), 2) if text else None

    found = beam((), start, replace(rows.world(), closed=close), width=4, n_wanted=4)
    assert closed and all(not fits((*text, token)) for text, token in closed)
    assert any(particle.state not in exact() or particle.n_tokens < len(particle.state) for particle in found)


def test_particles_where_nothing_fits_are_stuck() -> None:
    rng = np.random.default_rng(0)
    rows = Rows(lambda law: gumbel_order(law, rng))
    world = rows.world()
    nothing = World(lambda _: lambda _: None, world.is_whole, world.advance, world.spent, 100)
    for found in (explore((), rows.start(3), nothing, rng), beam((), rows.start(1)[0], nothing, width=3, n_wanted=3)):
        assert found and all(particle.stuck and not particle.finished for particle in found)


def test_systematic_resampling_is_even_and_unbiased() -> None:
    log_weights = np.log([0.5, 0.3, 0.2, 1e-12]).tolist()
    log_weights.append(-math.inf)
    rng = np.random.default_rng(0)
    counts = np.zeros(5)
    for _ in range(2000):
        chosen = np.bincount(systematic(log_weights, rng), minlength=5)
        assert chosen.sum() == 5
        assert all(abs(chosen[i] - 5 * math.exp(log_weights[i])) < 1 for i in range(5))
        counts += chosen
    assert counts / 2000 == pytest.approx([2.5, 1.5, 1.0, 0, 0], abs=0.06)


def test_effective_size() -> None:
    assert effective_size([0.0] * 4) == pytest.approx(4)
    assert effective_size([-900.0, -2000.0, -math.inf]) == pytest.approx(1)


def test_posterior_sums_equal_texts() -> None:
    shares = posterior([("a", 0.0), ("b", math.log(2)), ("a", 0.0), ("c", -math.inf)])
    assert {key: math.exp(share) for key, share in shares.items()} == pytest.approx({"a": 0.5, "b": 0.5})
    assert posterior([("a", -math.inf)]) == {}
