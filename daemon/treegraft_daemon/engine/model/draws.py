"""From a whole next-token law to draws in sampling order, in numpy.

Knows a row of log-probabilities and a generator; no model, no torch. `device_draws.py` is its twin for rows that
live on a device. At temperature 0 tokens come by probability under the law itself; above it the law is
softmax(logits / temperature) and tokens come in the order of sampling from that without replacement.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from treegraft_daemon.engine.model.law import Draws, Sampling

# 64 draws end nearly every step; the few that need more take four times as many each time.
FIRST_DRAWS = 64
GROWTH = 4


def draws_from_row(
    logprobs: NDArray[np.floating],
    sampling: Sampling,
    allowed: NDArray[np.int32] | None = None,
    k: int = FIRST_DRAWS,
) -> Draws:
    """The draws of a normalised row ([vocabulary], -inf where impossible); of the `allowed` ids only, if given."""
    law = _tempered(np.asarray(logprobs, dtype=np.float64), sampling.temperature)
    kept = law if allowed is None else law[allowed]
    possible = np.flatnonzero(kept > -np.inf)
    logp = kept if len(possible) == len(kept) else kept[possible]
    ids = (possible if allowed is None else allowed[possible]).astype(np.int32)
    log_total = 0.0 if allowed is None else log_sum_exp(logp)
    keys = logp if sampling.temperature == 0 else logp + gumbel(sampling.rng, len(logp))
    return _ordered(keys, ids, logp, log_total, k)


def gumbel(rng: np.random.Generator, n: int) -> NDArray[np.float64]:
    """`n` standard Gumbel variables; in double precision, where an exponential of 0 cannot happen in practice."""
    return -np.log(rng.standard_exponential(n))


def log_sum_exp(values: NDArray[np.float64]) -> float:
    """log(sum(exp(values))), -inf for no values."""
    if not len(values):
        return -np.inf
    top = float(values.max())
    return top if np.isinf(top) else top + float(np.log(np.exp(values - top).sum()))


def _tempered(logprobs: NDArray[np.float64], temperature: float) -> NDArray[np.float64]:
    if temperature in (0, 1):
        return logprobs
    scaled = logprobs / temperature
    return scaled - log_sum_exp(scaled)


def _ordered(
    keys: NDArray[np.float64], ids: NDArray[np.int32], logp: NDArray[np.float64], log_total: float, k: int
) -> Draws:
    """The k largest keys first; the rest stays unsorted until somebody asks for it."""
    if k >= len(keys):
        order = np.argsort(-keys, kind="stable")
        return Draws(ids[order], logp[order], log_total, None)
    parted = np.argpartition(keys, len(keys) - k)
    first = np.sort(parted[-k:])  # Sorted before: equal keys come by id.
    order = first[np.argsort(-keys[first], kind="stable")]

    def more() -> Draws:
        rest = np.sort(parted[:-k])
        return _ordered(keys[rest], ids[rest], logp[rest], log_total, k * GROWTH)

    return Draws(ids[order], logp[order], log_total, more)
