"""Adaptive weighted rejection sampling.

Knows tokens, log-probabilities and a `step` function; no grammar, no wire, no clock.

p is the next-token law, A the set of tokens that `step` accepts, Z = p(A). Tokens are visited in sampling order without
replacement; the first accepted one is distributed exactly as p restricted to A, after at most min(1/Z, 1 + refused
tokens) checks on average. The weight that comes with it is an unbiased estimate of Z (Des Raj): keep drawing in the
same order, and before a draw let L be the accepted mass seen so far and d the mass not seen yet; then
L <= Z <= L + d is certain, and L + d * [the draw is accepted] has mean Z. `tests/daemon/test_sampler.py` shows
both by enumeration.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from treegraft_daemon.engine.model.draws import gumbel_order
from treegraft_daemon.engine.model.law import Draws

S = TypeVar("S")

MAX_CHECKS = 1_000_000
# Once the unseen mass is under this share of the accepted mass, the weight is known well enough to stop looking.
CERTAIN = 1e-3
# What is left of a law after subtracting what was seen: below this share it is rounding error, to be added up anew.
TRUSTED = 1e-6


@dataclass(frozen=True, slots=True)
class Choice(Generic[S]):
    """A token that fits, the state after it, and what the constraint left of the law.

    log_weight: log of the estimated accepted mass; an upper bound when no generator was given.
    log_probability: of the token under the model's law, as the draws tell it.
    n_checks: how many tokens were shown to `step`.
    log_lower, log_upper: the accepted mass lies between, for certain.
    """

    token: int
    state: S
    log_weight: float
    log_probability: float
    n_checks: int
    log_lower: float
    log_upper: float


def choose(
    draws: Draws,
    step: Callable[[int], S | None],
    *,
    max_checks: int = MAX_CHECKS,
    rng: np.random.Generator | None = None,
) -> Choice[S] | None:
    """The first draw that `step` accepts, with its weight; None when nothing fits within `max_checks`.

    With a generator, draws must be in sampling order and the weight is unbiased, also when `max_checks` cuts the
    search short; that takes max(2, checks so far) further checks at most, and hardly any when the mass not seen
    is small. Without one (draws by probability, or a single candidate that needs no weight) nothing more is checked.
    """
    order = _Order(draws)
    refused = 0.0  # masses are shares of this row's total
    n_checks = 0
    while True:
        drawn = order.next() if n_checks < max_checks else None
        if drawn is None:
            return None
        token, logprob = drawn
        n_checks += 1
        state = step(token)
        if state is not None:
            break
        refused += math.exp(logprob - draws.log_total)
    # From here on, masses are multiples of the accepted token's, so that one of 1e-300 is as good as any.
    if 1.0 - refused > TRUSTED or rng is None:
        log_left = math.log(max(1.0 - refused, 1e-16)) + draws.log_total - logprob
        unseen = max(math.expm1(log_left), 0.0)
    else:
        unseen = order.mass_left(logprob)
    known = _Known(1.0, unseen, 1.0 + unseen)
    if rng is not None:
        n_extra = min(max(2, n_checks), max_checks - n_checks)
        known, n_more = _weigh(order, step, unseen, logprob, n_extra, rng)
        n_checks += n_more
    lower = logprob + math.log(known.accepted)
    upper = logprob + math.log(known.accepted + known.unseen)
    return Choice(token, state, logprob + math.log(known.estimate), logprob, n_checks, lower, upper)


def sample(
    logprobs: NDArray[np.floating[Any]], accept: Callable[[int], bool], rng: np.random.Generator
) -> tuple[int, float]:
    """One step over a whole next-token law: (token, log weight); (-1, -inf) when nothing is accepted.

    The law need not be normalised: the weight is in the units of the masses given. Tokens of probability 0 (-inf)
    are never checked, and none is checked twice.
    """
    choice = choose(gumbel_order(logprobs, rng), lambda token: accept(token) or None, rng=rng)
    return (-1, -math.inf) if choice is None else (choice.token, choice.log_weight)


def accepted_draws(
    draws: Draws,
    step: Callable[[int], S | None],
    n: int,
    *,
    max_checks: int = MAX_CHECKS,
    least: float = -math.inf,
    margin: float = math.inf,
    lost: float = 0.0,
) -> list[Choice[S]]:
    """The first `n` draws that fit, fewer if there are no more within `max_checks`; the checks are counted once.

    With `draws` by probability, those behind the first that fits are not looked at when their log-probability is under
    `least`, or more than `margin` under that of the first. Nothing is found when less than the share `lost` of the law
    is left before anything fits.
    """
    order = _Order(draws)
    found: list[Choice[S]] = []
    upper = total = math.exp(min(draws.log_total, 0.0))
    n_checks = 0
    while len(found) < n and n_checks < max_checks and (drawn := order.next()) is not None:
        token, logprob = drawn
        if found and logprob < max(least, found[0].log_probability - margin):
            break
        n_checks += 1
        state = step(token)
        if state is None:
            upper = max(upper - math.exp(logprob), 0.0)
            if not found and upper < lost * total:
                break
            continue
        log_upper = max(math.log(upper), logprob) if upper > 0 else logprob
        n_new = n_checks - sum(choice.n_checks for choice in found)
        found.append(Choice(token, state, log_upper, logprob, n_new, logprob, log_upper))
    return found


@dataclass(frozen=True, slots=True)
class _Known:
    """Accepted mass seen, mass not seen, and the estimate of all accepted mass; in units of the chosen token's."""

    accepted: float
    unseen: float
    estimate: float


def _weigh(
    order: _Order,
    step: Callable[[int], S | None],
    unseen: float,
    log_unit: float,
    n_extra: int,
    rng: np.random.Generator,
) -> tuple[_Known, int]:
    """Go on drawing after the chosen token, at most `n_extra` checks; what is known then, and the checks made.

    The estimate is the mean of L + d * [accepted] over the draws: on laws with a long flat tail that beats the last
    draw alone by a factor of ten in variance, and costs nothing on peaked ones, where the certificate ends the walk.
    """
    accepted = 1.0
    estimate = 0.0
    for n_checks in range(n_extra):
        # What this draw counts for is settled before it is looked at; else the estimate would be biased.
        share = 1.0 / n_extra
        stake = unseen
        certain = unseen <= CERTAIN * accepted
        if certain:
            # The certificate holds, so a check is worth little: make it with probability unseen / stake, and let it
            # count for that much more. The estimate stays unbiased and moves by a thousandth at most.
            share = 1.0 - n_checks / n_extra
            stake = CERTAIN * accepted
            if rng.random() * stake >= unseen:
                return _Known(accepted, unseen, estimate + share * accepted), n_checks
        drawn = order.next()
        if drawn is None:  # Nothing is left, up to rounding.
            return _Known(accepted, 0.0, estimate + (1.0 - n_checks / n_extra) * accepted), n_checks
        token, logprob = drawn
        fits = step(token) is not None
        mass = min(math.exp(min(logprob - log_unit, 700.0)), unseen)
        estimate += share * (accepted + stake * fits)
        accepted, unseen = accepted + mass * fits, unseen - mass
        if certain or n_checks == n_extra - 1:
            return _Known(accepted, unseen, estimate), n_checks + 1
    return _Known(1.0, unseen, 1.0 + unseen), 0  # No check to spare: the last look was at the chosen token itself.


class _Order:
    """A walk along the draws of one row; asks for more of them only when it gets there."""

    def __init__(self, draws: Draws) -> None:
        self._enter(draws)

    def _enter(self, draws: Draws) -> None:
        self._ids, self._logprobs, self._more = draws.ids, draws.logprobs, draws.more
        self._at = 0

    def next(self) -> tuple[int, float] | None:
        """The next token of positive probability and its log-probability; None after the last."""
        while True:
            while self._at < len(self._ids):
                at, self._at = self._at, self._at + 1
                logprob = float(self._logprobs[at])
                if logprob > -math.inf:
                    return int(self._ids[at]), logprob
            if self._more is None:
                return None
            self._enter(self._more())

    def mass_left(self, log_unit: float) -> float:
        """The mass of all draws still to come, added up one by one, in units of exp(log_unit)."""
        ids, logprobs = [self._ids[self._at :]], [self._logprobs[self._at :]]
        while self._more is not None:
            self._enter(self._more())
            ids.append(self._ids)
            logprobs.append(self._logprobs)
        self._ids, self._logprobs, self._at = np.concatenate(ids), np.concatenate(logprobs), 0
        return float(np.exp(np.minimum(self._logprobs.astype(np.float64) - log_unit, 700.0)).sum())
