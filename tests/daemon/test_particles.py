"""Particles against exact enumeration of a toy language; the beam against the list of all its texts."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import product

import numpy as np
import pytest

from treegraft_daemon.engine.model.law import Draws
from treegraft_daemon.engine.particles import Particle, World, beam, effective_size, explore, posterior, systematic
from treegraft_daemon.engine.sampler import gumbel_order, probability_order

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


class Rows:
    """What the model would hold: the text of each row."""

    def __init__(self, order: Callable[[np.ndarray], Draws]) -> None:
        self.order = order
        self.texts: list[tuple[int, ...]] = []

    def start(self, n: int) -> list[Draws]:
        self.texts = [()] * n
        return [self.order(law_after(())) for _ in range(n)]

    def advance(self, parents: Sequence[int], tokens: Sequence[int], states: Sequence[tuple[int, ...]]) -> list[Draws]:
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


def test_the_posterior_is_the_law_of_whole_texts() -> None:
    rng = np.random.default_rng(0)
    shares = posterior((particle.state, particle.log_weight) for particle in particles(4000, rng))
    total = sum(exact().values())
    assert set(shares) <= set(exact())
    for text, probability in exact().items():
        assert math.exp(shares.get(text, -math.inf)) == pytest.approx(probability / total, abs=0.03)


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
        assert [particle.state for particle in beam((), rows.start(n), rows.world())] == best[:n]


def test_spent_ends_with_what_there_is() -> None:
    rng = np.random.default_rng(0)
    polls = iter([False, False, True])
    rows = Rows(lambda law: gumbel_order(law, rng))
    found = explore((), rows.start(20), rows.world(lambda: next(polls)), rng)
    assert len(found) == 20
    assert {len(particle.state) for particle in found} <= {1, 2}
    assert {particle.finished for particle in found} == {True, False}


def test_particles_where_nothing_fits_are_stuck() -> None:
    rng = np.random.default_rng(0)
    rows = Rows(lambda law: gumbel_order(law, rng))
    world = rows.world()
    nothing = World(lambda _: lambda _: None, world.is_whole, world.advance, world.spent, 100)
    for found in (explore((), rows.start(3), nothing, rng), beam((), rows.start(3), nothing)):
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
