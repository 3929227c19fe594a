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
    draws: Draws, step: Callable[[int], S | None], n: int, *, max_checks: int = MAX_CHECKS
) -> list[Choice[S]]:
    """The first `n` draws that fit, fewer if there are no more within `max_checks`; the checks are counted once."""
    order = _Order(draws)
    found: list[Choice[S]] = []
    upper, n_checks = math.exp(min(draws.log_total, 0.0)), 0
    while len(found) < n and n_checks < max_checks and (drawn := order.next()) is not None:
        token, logprob = drawn
        n_checks += 1
        state = step(token)
        if state is None:
            upper = max(upper - math.exp(logprob), 0.0)
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


# Orders over a whole law --------------------------------------------------------------------------------------------

# Up to here one noise and one sort for all tokens are cheaper than an urn.
SMALL_LAW = 512
# An urn costs about 15 us per draw, noise and partition over 150,000 tokens about 4 ms.
URN_DRAWS = 126


def gumbel_order(logprobs: NDArray[np.floating[Any]], rng: np.random.Generator) -> Draws:
    """Draws without replacement from a whole law, made as they are asked for: about 0.4 ms for 150,000 tokens."""
    if len(logprobs) <= SMALL_LAW:
        law = np.asarray(logprobs, dtype=np.float64)
        return _by_key(law, _keys(law, rng), _log_sum(law))
    urn = _Urn(logprobs, rng)
    return urn.draws(2, urn.log_total)


def probability_order(logprobs: NDArray[np.floating[Any]]) -> Draws:
    """All tokens of a law, the most probable first."""
    law = np.asarray(logprobs, dtype=np.float64)
    return _by_key(law, law.copy(), _log_sum(law))


class _Urn:
    """Tokens not drawn yet; each draw takes one out, in proportion to the masses left.

    Two levels of about sqrt(V): the masses of blocks, and of the tokens in those blocks that were opened. No noise over
    the vocabulary and no sort. Block masses start in single precision (relative error 1e-6, as in the logits of any
    model) and are exact once opened; they are added up anew after each draw, never subtracted.
    """

    def __init__(self, logprobs: NDArray[np.floating[Any]], rng: np.random.Generator) -> None:
        self._left = np.array(logprobs, dtype=np.float64)  # -inf once drawn
        self._rng = rng
        self._width = math.isqrt(len(self._left) - 1) + 1
        self._starts = np.arange(0, len(self._left), self._width)
        self._drawn = 0
        self._settle()
        self.log_total = self._top + math.log(self._full) if self._full else -math.inf

    def _settle(self) -> None:
        """Count masses in units of the greatest one left."""
        self._top = _greatest(self._left)
        self._opened: dict[int, NDArray[np.float64]] = {}
        if self._top == -math.inf:
            self._blocks, self._full = np.zeros(1), 0.0
            return
        scaled = np.empty(len(self._left), dtype=np.float32)
        np.subtract(self._left, self._top, out=scaled, casting="same_kind")
        np.exp(scaled, out=scaled)
        self._blocks = np.add.reduceat(scaled, self._starts).astype(np.float64)
        self._full = float(self._blocks.sum())

    def draws(self, n: int, log_total: float) -> Draws:
        """The next `n` draws; later ones come in growing portions."""
        if self._drawn >= URN_DRAWS:
            return _by_key(self._left, _keys(self._left, self._rng), log_total)
        ids, logprobs = [], []
        for _ in range(n):
            token = self._draw()
            if token is None:
                break
            ids.append(token)
            logprobs.append(float(self._left[token]))
            self._left[token] = -math.inf
        self._drawn += n
        more = (lambda: self.draws(2 * n, log_total)) if len(ids) == n else None
        return Draws(np.array(ids, dtype=np.int32), np.array(logprobs), log_total, more)

    def _draw(self) -> int | None:
        while self._full:
            sums = self._blocks.cumsum()
            if sums[-1] < TRUSTED * self._full:
                self._settle()
                continue
            block = int(_pick(sums, self._rng.random()))
            masses = self._open(block)
            sums = masses.cumsum()
            if sums[-1] == 0.0:
                self._blocks[block] = 0.0
                continue
            inside = int(_pick(sums, self._rng.random()))
            masses[inside] = 0.0
            self._blocks[block] = masses.sum()
            return block * self._width + inside
        return None

    def _open(self, block: int) -> NDArray[np.float64]:
        masses = self._opened.get(block)
        if masses is None:
            start = block * self._width
            masses = np.exp(self._left[start : start + self._width] - self._top)
            self._opened[block] = masses
        return masses


def _pick(sums: NDArray[np.float64], u: float) -> np.intp:
    """Where the share `u` of the running sums falls; never an entry of mass 0."""
    # u * total may round up to the total itself; the last entry that adds anything is the right one then.
    return min(np.searchsorted(sums, u * sums[-1], side="right"), np.searchsorted(sums, sums[-1]))


def _keys(logprobs: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    return logprobs - np.log(rng.standard_exponential(len(logprobs)))


def _by_key(logprobs: NDArray[np.float64], keys: NDArray[np.float64], log_total: float) -> Draws:
    """All tokens with a key above -inf, greatest first, sorted a portion at a time."""
    ids = np.flatnonzero(keys > -math.inf)
    return _portion(logprobs, keys, ids, 1024, log_total)


def _portion(
    logprobs: NDArray[np.float64], keys: NDArray[np.float64], ids: NDArray[np.intp], n: int, log_total: float
) -> Draws:
    rest = ids[:0]
    if len(ids) > 2 * n:
        split = np.argpartition(keys[ids], len(ids) - n)
        ids, rest = ids[split[len(ids) - n :]], ids[split[: len(ids) - n]]
    ids = ids[np.argsort(-keys[ids], kind="stable")]
    more = (lambda: _portion(logprobs, keys, rest, 4 * n, log_total)) if len(rest) else None
    return Draws(ids.astype(np.int32), logprobs[ids], log_total, more)


def _greatest(logprobs: NDArray[np.float64]) -> float:
    top = float(logprobs.max()) if len(logprobs) else -math.inf
    if math.isnan(top) or top == math.inf:
        raise ValueError("a law must hold log-probabilities: numbers or -inf")
    return top


def _log_sum(logprobs: NDArray[np.float64]) -> float:
    top = _greatest(logprobs)
    return top if top == -math.inf else top + math.log(float(np.exp(logprobs - top).sum()))
