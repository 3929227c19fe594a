"""From a whole next-token law to draws in sampling order, on the host.

Knows a row of log-probabilities or probabilities and a generator; no model, no torch. `device_draws.py` is its twin for
rows that live on a GPU. At temperature 0 tokens come by probability under the law itself; above it the law is
softmax(logits / temperature) and tokens come in the order of sampling from that without replacement.

Both orders come from an urn (`urn/urn.h`): sums, or greatest values, over groups of tokens, made by one walk along the row.
Masses are single-precision there (relative error 1e-6, as in the logits of any model); log-probabilities are told as given.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from treegraft_daemon.engine.model._urn import SOURCE_DIGEST, Urn
from treegraft_daemon.engine.model.law import Draws, Sampling
from treegraft_grammars.native import check_freshness, source_digest

FOLDER = Path(__file__).parent
check_freshness(SOURCE_DIGEST, source_digest(FOLDER / "_urn.pyx", FOLDER / "urn"))

Row = NDArray[np.floating[Any]]

# The first draw mostly fits, and its weight takes two more; whoever needs others takes four times as many each time.
FIRST_DRAWS = 4
GROWTH = 4
# The total of a law of so many tokens is added up in double precision: a larger one's is right to 1e-7.
SMALL_LAW = 1024


def draws_from_row(
    logprobs: Row, sampling: Sampling, allowed: NDArray[np.int32] | None = None, k: int = FIRST_DRAWS
) -> Draws:
    """The draws of a normalised row ([vocabulary], -inf where impossible); of the `allowed` ids only, if given."""
    law = _tempered(logprobs, sampling.temperature)
    rng = sampling.rng if sampling.temperature else None
    if allowed is None:
        return draws_in_order(law, rng, k=k)
    kept = law[allowed]
    return draws_in_order(kept, rng, allowed, log_sum_exp(kept), k=k)


def draws_from_masses(p: NDArray[np.float64], sampling: Sampling) -> Draws:
    """The draws of a whole law given as probabilities."""
    if sampling.temperature not in (0, 1):
        with np.errstate(divide="ignore"):
            return draws_from_row(np.log(p), sampling)
    return draws_in_order(p, sampling.rng if sampling.temperature else None, masses=True)


def draws_in_order(
    law: Row,
    rng: np.random.Generator | None,
    ids: NDArray[np.int32] | None = None,
    log_total: float = 0.0,
    *,
    masses: bool = False,
    k: int = FIRST_DRAWS,
) -> Draws:
    """Tokens 0 to n, or those named by `ids` [n], at random if there is a generator, else by probability, then by place.

    law: log-probabilities [n], or probabilities if they are `masses`; not to be changed afterwards. `k` draws at first.
    Raises ValueError for a law with nan, +inf or negative masses.
    """
    return _portion(Urn(np.ascontiguousarray(law), rng is None, masses), rng, ids, log_total, k)


def gumbel_order(logprobs: Row, rng: np.random.Generator) -> Draws:
    """Draws without replacement from a law that need not be normalised: 0.2 ms for 150,000 tokens."""
    urn = Urn(np.ascontiguousarray(logprobs), False)
    log_total = log_sum_exp(logprobs) if len(logprobs) <= SMALL_LAW else urn.log_total()
    return _portion(urn, rng, None, log_total, FIRST_DRAWS)


def probability_order(logprobs: Row) -> Draws:
    """All tokens of a law that need not be normalised, the most probable first."""
    return draws_in_order(logprobs, None, log_total=log_sum_exp(logprobs))


def log_sum_exp(values: Row) -> float:
    """log(sum(exp(values))), -inf for no values."""
    if not len(values):
        return -np.inf
    wide = values.astype(np.float64)
    top = float(wide.max())
    return top if np.isinf(top) else top + float(np.log(np.exp(wide - top).sum()))


def _tempered(logprobs: Row, temperature: float) -> Row:
    if temperature in (0, 1):
        return logprobs
    scaled = logprobs.astype(np.float64) / temperature
    return scaled - log_sum_exp(scaled)


def _portion(
    urn: Urn, rng: np.random.Generator | None, ids: NDArray[np.int32] | None, log_total: float, k: int
) -> Draws:
    """The next `k` draws, and where those after them come from: asked for twice, they are the same."""
    n = min(k, urn.left())
    places, logprobs = np.empty(n, dtype=np.int32), np.empty(n)
    urn.draw(logprobs if rng is None else rng.random(n), places, logprobs)
    more: Callable[[], Draws] | None = None
    if urn.left():
        more = cache(lambda: _portion(urn, rng, ids, log_total, GROWTH * k))
    return Draws(places if ids is None else ids[places], logprobs, log_total, more)
