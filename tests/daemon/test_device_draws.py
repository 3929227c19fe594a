"""Draws on a device are those of the host's twin: order, laziness, and the law of what comes first."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
import torch

from treegraft_daemon.engine.model.device_draws import draws_from_rows, gumbel, tempered
from treegraft_daemon.engine.model.draws import draws_from_row
from treegraft_daemon.engine.model.law import Draws, Sampling


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def everything(draws: Draws) -> tuple[list[int], list[float]]:
    ids, logprobs = [], []
    at: Draws | None = draws
    while at is not None:
        ids += at.ids.tolist()
        logprobs += at.logprobs.tolist()
        at = at.more() if at.more else None
    return ids, logprobs


def rows(n_rows: int, n: int, seed: int = 3) -> torch.Tensor:
    return torch.randn(n_rows, n, generator=generator(seed)) * 4


def test_temperature_zero_is_the_order_of_the_host() -> None:
    logits = rows(3, 700)
    logits[1, 5] = logits[1, 9]
    laws = tempered(logits, 0.0)
    for row, draws in zip(laws, draws_from_rows(laws, 0.0, generator(), k=16), strict=True):
        host = draws_from_row(row.numpy(), Sampling(0.0, np.random.default_rng(0)))
        ids, logprobs = everything(draws)
        assert ids == everything(host)[0]
        assert logprobs == pytest.approx(row[ids].tolist())
        assert draws.ids.dtype == np.int32 and draws.logprobs.dtype == np.float64 and draws.log_total == 0


@pytest.mark.parametrize("temperature", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("k", [1, 7, 64, 1000])
def test_asking_for_more_walks_every_token_once(temperature: float, k: int) -> None:
    laws = tempered(rows(2, 333), temperature)
    lazy = [everything(draws) for draws in draws_from_rows(laws, temperature, generator(5), k=k)]
    whole = [everything(draws) for draws in draws_from_rows(laws, temperature, generator(5), k=333)]
    assert lazy == whole
    assert all(sorted(ids) == list(range(333)) for ids, _ in lazy)


def test_asking_twice_gives_the_same() -> None:
    [draws] = draws_from_rows(tempered(rows(1, 333), 1.0), 1.0, generator())
    assert draws.more is not None
    assert draws.more().ids.tolist() == draws.more().ids.tolist()


def test_impossible_tokens_are_never_drawn() -> None:
    laws = torch.tensor([[0.5, 0.0, 0.25, 0.25, 0.0]]).log()
    for k in (1, 2, 3, 5):
        [draws] = draws_from_rows(laws, 1.0, generator(), k=k)
        assert sorted(everything(draws)[0]) == [0, 2, 3]


def test_named_tokens_keep_their_names_and_tell_their_mass() -> None:
    laws = torch.tensor([[0.5, 0.125, 0.25, 0.125]]).log()
    ids = torch.tensor([3, 0])
    [draws] = draws_from_rows(laws[:, ids], 0.0, generator(), ids, k=1)
    assert everything(draws)[0] == [0, 3]
    assert np.exp(draws.log_total) == pytest.approx(0.625)


def test_temperature_bends_the_law() -> None:
    law = tempered(torch.tensor([[1.0, 3.0]]).log(), 0.5)
    assert law.exp().tolist()[0] == pytest.approx([0.1, 0.9])
    assert tempered(torch.tensor([[1.0, 3.0]]).log(), 0.0).exp().tolist()[0] == pytest.approx([0.25, 0.75])


def test_order_is_that_of_sampling_without_replacement() -> None:
    p = np.array([0.5, 0.3, 0.15, 0.05])
    n = 20_000
    laws = torch.tensor(p).log().float().expand(n, 4)
    pairs = [tuple(draws.ids[:2].tolist()) for draws in draws_from_rows(laws, 1.0, generator(7))]
    chi2 = 0.0
    for a, b in permutations(range(4), 2):
        expected = n * p[a] * p[b] / (1 - p[a])
        chi2 += (pairs.count((a, b)) - expected) ** 2 / expected
    assert chi2 < 31.3  # 11 degrees of freedom, one false alarm in 1000 for a new seed


def test_noise_has_no_infinities_and_the_right_shape() -> None:
    noise = gumbel(torch.zeros(2_000_000), generator(1))
    assert noise.isfinite().all()
    assert float(noise.mean()) == pytest.approx(0.5772, abs=0.005)
    assert float(noise.var()) == pytest.approx(np.pi**2 / 6, abs=0.02)
    # The largest of n is about log n; single uniforms of 24 bits stop at 16.6 and tie there.
    assert float(noise.max()) == pytest.approx(np.log(2_000_000), abs=4)
