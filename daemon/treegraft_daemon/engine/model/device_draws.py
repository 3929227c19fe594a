"""From next-token laws on a device to draws in sampling order: the twin of `draws.py` in torch.

Noise, order and normalisation stay where the row is; ids, log-probabilities and a total of 64 tokens are copied to the
host, and four times as many each time that more are asked for. The row itself never is.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from treegraft_daemon.engine.model.draws import FIRST_DRAWS, GROWTH
from treegraft_daemon.engine.model.law import Draws

Row = NDArray[Any]


def tempered(logits: Tensor, temperature: float) -> Tensor:
    """Log-probabilities of softmax(logits / temperature), float32; of the law itself at temperature 0."""
    return torch.log_softmax(logits.float() / (temperature or 1.0), dim=-1)


def draws_from_rows(
    logprobs: Tensor, temperature: float, generator: torch.Generator, ids: Tensor | None = None, k: int = FIRST_DRAWS
) -> list[Draws]:
    """The draws of each row of `logprobs` [rows, n]: tokens 0 to n, or those named by `ids` [n].

    Without `ids` a row is a whole law and its total 0; with them the total is the row's mass.
    """
    keys = logprobs if temperature == 0 else logprobs + gumbel(logprobs, generator)
    top = keys.topk(min(k, keys.shape[-1]), dim=-1)
    chosen = top.indices if ids is None else ids[top.indices]
    totals = [0.0] * len(logprobs) if ids is None else logprobs.logsumexp(-1).tolist()
    host = _copy_to_host(chosen, top.values, logprobs.gather(-1, top.indices))
    return [
        _draws(
            keys[row],
            logprobs[row],
            ids,
            top.indices[row],
            (host[0][row], host[1][row], host[2][row]),
            keys.shape[-1],
            totals[row],
        )
        for row in range(len(logprobs))
    ]


def gumbel(like: Tensor, generator: torch.Generator) -> Tensor:
    """Standard Gumbel noise in the shape and on the device of `like`, float32.

    A single uniform of 24 bits is 0 once in 17 million, which is every hundredth row of 150,000 tokens, and would put
    an arbitrary token first. A second one fills in the bits below, so that -log(-log1p(-u)) is fine near u = 0.
    """
    coarse, fine = torch.rand((2, *like.shape), generator=generator, device=like.device)
    u = (coarse + fine * 2.0**-24 + 2.0**-60).clamp(max=1 - 2.0**-24)
    return -torch.log(-torch.log1p(-u))


def _draws(
    keys: Tensor,
    logprobs: Tensor,
    ids: Tensor | None,
    places: Tensor,
    first: tuple[Row, Row, Row],
    n_keys: int,
    total: float,
) -> Draws:
    """What was copied (ids, keys, log-probabilities), sorted, and where the rest comes from.

    n_keys: how many tokens there were to choose from. Tokens of probability 0 are left out.
    """
    first_ids, first_keys, first_logprobs = first
    possible = first_logprobs > -np.inf
    # Equal keys come by id, as on the host.
    order = np.lexsort((first_ids, -first_keys))
    order = order[possible[order]]

    def more() -> Draws:
        left = keys.index_fill(0, places, -torch.inf)
        n_left = int((left > -torch.inf).sum())
        top = left.topk(min(len(places) * GROWTH, n_left))
        chosen = top.indices if ids is None else ids[top.indices]
        host = _copy_to_host(chosen, top.values, logprobs[top.indices])
        return _draws(left, logprobs, ids, top.indices, host, n_left, total)

    has_more = possible.all() and len(first_ids) < n_keys
    return Draws(
        first_ids[order].astype(np.int32), first_logprobs[order].astype(np.float64), total, more if has_more else None
    )


def _copy_to_host(ids: Tensor, keys: Tensor, logprobs: Tensor) -> tuple[Row, Row, Row]:
    """In one transfer: ids are below 2^24, so that float32 holds them exactly."""
    packed = torch.stack([ids.to(keys.dtype), keys, logprobs]).cpu().numpy()
    return packed[0].astype(np.int32), packed[1], packed[2]
