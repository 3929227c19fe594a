"""Several candidates at once: sequential Monte Carlo over sampler steps, and its deterministic twin, a beam.

Particles move in lock step, one token each per round. A particle's log weight grows by the log of the mass that the
constraint left at each step; when few particles carry most of the weight, they are drawn anew in proportion to it.
A finished particle keeps its weight. The posterior of a text is the summed weight of the particles that wrote it.

Knows states only through the functions it is given: no grammar, no clock, no text.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

import numpy as np

from treegraft_daemon.engine.model.law import Draws
from treegraft_daemon.engine.sampler import Choice, accepted_draws, choose

S = TypeVar("S")
K = TypeVar("K", bound=Hashable)

# An end that is not among so many tokens is not what the model has in mind.
MOST_FOR_AN_END = 64


@dataclass(frozen=True, slots=True)
class Particle(Generic[S]):
    """One candidate on its way. `stuck`: nothing fitted any more.

    masses: of each step, the log of the mass that the constraint left, and of what that lies between for certain.
    """

    state: S
    log_weight: float = 0.0
    log_probability: float = 0.0
    n_tokens: int = 0
    n_checks: int = 0
    finished: bool = False
    stuck: bool = False
    masses: tuple[tuple[float, float, float], ...] = ()

    def after(self, choice: Choice[S], finished: bool) -> Particle[S]:
        """This particle, one token on."""
        return Particle(
            choice.state,
            self.log_weight + choice.log_weight,
            self.log_probability + choice.log_probability,
            self.n_tokens + 1,
            self.n_checks + choice.n_checks,
            finished,
            masses=(*self.masses, (choice.log_weight, choice.log_lower, choice.log_upper)),
        )


@dataclass(frozen=True, slots=True)
class World(Generic[S]):
    """What particles move in.

    step: the check of one particle's next token. is_whole: whether a state is finished.
    advance: for each surviving row its parent's row, its token and its new state; the draws that come next.
    spent: whether to end now, whatever is finished.
    hopeless: whether a particle can only become too improbable to be wanted; when the best one of a beam is, it ends.
    lost: of a way on in a beam; where less than this share of its law can fit, it is given up.
    closed: what a state is made into when a token, the most probable one, says that all is written but does not fit: a
    finished state, by closing what is open, or None.
    is_last: whether no token can follow the next one. Then only what is whole is accepted: a particle that runs out of
    tokens ends with the mass of the ends in its weight, as any step has that of what fits, or it is stuck.
    """

    step: Callable[[S], Callable[[int], S | None]]
    is_whole: Callable[[S], bool]
    advance: Callable[[Sequence[int], Sequence[int], Sequence[S]], Awaitable[list[Draws]]]
    spent: Callable[[], bool]
    max_checks: int
    hopeless: Callable[[Particle[S]], bool] = lambda particle: False
    lost: float = 0.0
    closed: Callable[[S, int], S | None] = lambda state, token: None
    is_last: Callable[[], bool] = lambda: False

    def check(self, state: S) -> Callable[[int], S | None]:
        """The check of the next token at `state`, as it is now."""
        step = self.step(state)
        if not self.is_last():
            return step

        def ends(token: int) -> S | None:
            after = step(token)
            return after if after is not None and self.is_whole(after) else None

        return ends

    def most_checks(self) -> int:
        """How many tokens may be looked at for one step now."""
        return min(self.max_checks, MOST_FOR_AN_END) if self.is_last() else self.max_checks


@dataclass(frozen=True, slots=True)
class _Move(Generic[S]):
    """A particle after its step, from which row it came and by which token; row -1 for one that rests."""

    particle: Particle[S]
    row: int = -1
    token: int = -1


async def explore(start: S, draws: list[Draws], world: World[S], rng: np.random.Generator) -> list[Particle[S]]:
    """As many particles as there are rows of `draws`, moved until all are finished or stuck, or all is spent."""
    n = len(draws)
    moves = [_Move(Particle(start), row) for row in range(n)]
    while not world.spent():
        moves = [_moved(move, draws, world, rng) for move in moves]
        log_weights = [-math.inf if move.particle.stuck else move.particle.log_weight for move in moves]
        if max(log_weights) > -math.inf and effective_size(log_weights) < n / 2:
            level = _log_sum(log_weights) - math.log(n)
            moves = [
                replace(moves[ancestor], particle=replace(moves[ancestor].particle, log_weight=level))
                for ancestor in systematic(log_weights, rng)
            ]
        live = [move for move in moves if move.row >= 0]
        if not live:
            break
        draws = await world.advance(
            [move.row for move in live], [move.token for move in live], [move.particle.state for move in live]
        )
        rows = iter(range(len(live)))
        moves = [replace(move, row=next(rows)) if move.row >= 0 else move for move in moves]
    return [move.particle for move in moves]


def _moved(move: _Move[S], draws: list[Draws], world: World[S], rng: np.random.Generator) -> _Move[S]:
    if move.row < 0:
        return move
    particle = move.particle
    choice = choose(draws[move.row], world.check(particle.state), max_checks=world.most_checks(), rng=rng)
    if choice is None:
        return _Move(replace(particle, stuck=True))
    whole = world.is_whole(choice.state)
    return _Move(particle.after(choice, whole), -1 if whole else move.row, choice.token)


async def beam(
    start: S, draws: Draws, world: World[S], *, width: int, n_wanted: int, margin: float = math.inf
) -> list[Particle[S]]:
    """The most probable of what can be written, found with up to `width` rows; ends when the best `n_wanted` are finished.

    `draws`: those of the only row there is, by probability. A text grows less probable with every token: what is behind
    the best one by more than `margin` (a difference of log-probabilities) is given up.
    """
    moves, rows = [_Move(Particle(start), 0)], [draws]
    while not world.spent():
        found, best = [move for move in moves if move.row < 0], -math.inf
        for move in sorted(moves, key=_rank):
            if move.row >= 0:
                found += _branches(move, rows[move.row], world, width, best, margin)
                best = max(best, *(one.particle.log_probability for one in found if not one.particle.stuck), -math.inf)
        found.sort(key=_rank)
        moves = [move for move in found[:width] if move.particle.log_probability >= best - margin]
        live = [move for move in moves if move.row >= 0]
        if not live or all(move.row < 0 for move in moves[:n_wanted]) or world.hopeless(moves[0].particle):
            break
        rows = await world.advance(
            [move.row for move in live], [move.token for move in live], [move.particle.state for move in live]
        )
        places = iter(range(len(live)))
        moves = [replace(move, row=next(places)) if move.row >= 0 else move for move in moves]
    return [move.particle for move in moves]


def _rank(move: _Move[S]) -> tuple[bool, float]:
    return move.particle.stuck, -move.particle.log_probability


def _branches(move: _Move[S], draws: Draws, world: World[S], n: int, best: float, margin: float) -> list[_Move[S]]:
    """The `n` best ways on from a particle, within `margin` of the `best` so far and of each other; one at least."""
    particle, least = move.particle, best - margin - move.particle.log_probability
    choices = accepted_draws(
        draws,
        world.check(particle.state),
        n,
        max_checks=world.most_checks(),
        least=least,
        margin=margin,
        lost=world.lost,
    )
    result, first = [], first_of(draws)
    if first is not None and (not choices or choices[0].token != first):
        closed = world.closed(particle.state, first)
        if closed is not None:
            log_probability = particle.log_probability + float(draws.logprobs[0])
            result.append(_Move(replace(particle, state=closed, finished=True, log_probability=log_probability)))
    for choice in choices:
        whole = world.is_whole(choice.state)
        result.append(_Move(particle.after(choice, whole), -1 if whole else move.row, choice.token))
    return result or [_Move(replace(particle, stuck=True))]


def first_of(draws: Draws) -> int | None:
    """The first draw; None where no token is possible."""
    return int(draws.ids[0]) if len(draws.ids) else None


def effective_size(log_weights: Sequence[float]) -> float:
    """How many equally weighted particles these are worth: between 1 and their number."""
    top = max(log_weights)
    w = [math.exp(log_weight - top) for log_weight in log_weights]
    return sum(w) ** 2 / sum(x * x for x in w)


def systematic(log_weights: Sequence[float], rng: np.random.Generator) -> list[int]:
    """An ancestor for each particle: i is chosen N w_i times, rounded up or down, with mean N w_i."""
    w = np.exp(np.array(log_weights) - max(log_weights))
    places = (rng.random() + np.arange(len(w))) / len(w) * w.sum()
    # Rounding may carry the last place past the last sum; clipping keeps it on a particle of positive weight.
    last = int(np.flatnonzero(w)[-1])
    return [min(int(ancestor), last) for ancestor in np.searchsorted(w.cumsum(), places, side="right")]


def posterior(weighted: Iterable[tuple[K, float]]) -> dict[K, float]:
    """Log of the share of each key; weights of equal keys are summed. Empty if nothing has weight."""
    sums: dict[K, float] = {}
    for key, log_weight in weighted:
        if log_weight > -math.inf:
            sums[key] = float(np.logaddexp(sums[key], log_weight)) if key in sums else log_weight
    total = _log_sum(list(sums.values())) if sums else 0.0
    return {key: log_weight - total for key, log_weight in sorted(sums.items(), key=lambda item: -item[1])}


def _log_sum(values: Sequence[float]) -> float:
    return float(np.logaddexp.reduce(np.array(values)))
