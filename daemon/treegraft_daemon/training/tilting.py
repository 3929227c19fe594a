"""Fits the network of `engine.model.tilt` on held-out packages, by Adam on the log-loss of the true tokens.

What it sees is gathered by the runtime's own code, so it fits what will be served. Needs torch.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from treegraft_daemon.engine.model._mixing import shapes
from treegraft_daemon.engine.model.mixture import SLOTS, MixtureLaw, State
from treegraft_daemon.engine.model.tilt import Tilt
from treegraft_daemon.training.fitting import each_token
from treegraft_daemon.training.holes import Hole

HIDDEN, SECOND = shapes(len(SLOTS))["second"]
EPOCHS, ROWS, RATE, DECAY = 10, 512, 2e-3, 0.02


@dataclass(frozen=True, slots=True, eq=False)
class Examples:
    """Places where the true token is known; see `Mixture.seen`.

    candidates: float16 [n, K, features]; places: float16 [n, features]; logs: float32 [n, K + 1], of the candidates and of
    all else; truth: [n], the true token's rank among the candidates, -1 if it is none of them; beyond: float32 [n], in that
    case the log of its share of all that are not.
    """

    candidates: NDArray[np.float16]
    places: NDArray[np.float16]
    logs: NDArray[np.float32]
    truth: NDArray[np.int64]
    beyond: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.truth)

    def at(self, rows: NDArray[np.intp] | slice) -> Examples:
        """Those in these rows."""
        return Examples(*(getattr(self, one.name)[rows] for one in fields(self)))


Row = tuple[NDArray[np.float16], NDArray[np.float16], NDArray[np.float32], int, float]


def gather(law: MixtureLaw, holes: Iterable[Hole]) -> Examples:
    """Every token of the rests of these lines."""
    eyes = Tilt(law.vocabulary.tokens, {}, len(SLOTS))

    def note(_: Hole, state: State, token: int) -> Row:
        (ids, logs, rest, candidates, place), p = state.seen(eyes)
        at = np.flatnonzero(ids == token)
        beyond = 0.0 if len(at) else float(np.log(p[token])) - rest
        told = candidates.astype(np.float16), place.astype(np.float16), np.append(logs, rest).astype(np.float32)
        return *told, int(at[0]) if len(at) else -1, beyond

    rows = each_token(law, list(holes), note)
    columns = [np.array(column) for column in zip(*rows, strict=True)]
    return Examples(columns[0], columns[1], columns[2], columns[3], columns[4].astype(np.float32))


class Network(nn.Module):
    """`Tilt.scores`, to be learned."""

    def __init__(self, n_candidate: int, n_place: int) -> None:
        super().__init__()
        self.candidate = nn.Linear(n_candidate, HIDDEN, bias=False)
        self.place, self.second, self.out = (
            nn.Linear(n_place, HIDDEN),
            nn.Linear(HIDDEN, SECOND),
            nn.Linear(SECOND, 1, bias=False),
        )
        self.rest = nn.Linear(HIDDEN, 1)
        for zero in (self.out.weight, self.rest.weight, self.rest.bias):  # at first nothing is tilted
            nn.init.zeros_(zero)

    def forward(self, candidates: Tensor, place: Tensor) -> Tensor:
        """Scores of the candidates and, last, of all else: [n, K + 1]."""
        there = self.place(place)
        hidden = nn.functional.silu(there[:, None] + self.candidate(candidates))
        scores = self.out(nn.functional.silu(self.second(hidden)))[..., 0]
        return torch.cat([scores, self.rest(nn.functional.silu(there))], dim=1)

    def arrays(self) -> dict[str, NDArray[np.float32]]:
        """The weights as `Tilt` wants them."""
        return {name: one.detach().numpy().copy() for name, one in self._views().items()}

    def read(self, arrays: dict[str, NDArray[np.float32]]) -> None:
        """Take over such weights."""
        with torch.no_grad():
            for name, one in self._views().items():
                one.copy_(torch.from_numpy(arrays[name]))

    def _views(self) -> dict[str, Tensor]:
        return {
            "candidate": self.candidate.weight.T, "place": self.place.weight.T, "bias": self.place.bias,
            "second": self.second.weight.T, "second_bias": self.second.bias, "out": self.out.weight[0],
            "rest": self.rest.weight[0], "rest_bias": self.rest.bias,
        }  # fmt: skip


def fit(examples: Examples, held_out: Examples | None = None, epochs: int = EPOCHS) -> dict[str, NDArray[np.float32]]:
    """The weights; the loss on `held_out` is printed after each epoch."""
    torch.manual_seed(0)
    network = Network(examples.candidates.shape[-1], examples.places.shape[-1])
    adam = torch.optim.AdamW(network.parameters(), lr=RATE, betas=(0.9, 0.98), weight_decay=DECAY)
    n_steps = epochs * (len(examples) // ROWS)
    rates = torch.optim.lr_scheduler.LambdaLR(
        adam, lambda step: min(1.0, (step + 1) / 50) * max(0.02, 1 - step / max(n_steps, 1))
    )
    started = time.monotonic()
    for epoch in range(epochs):
        order, losses = np.random.default_rng(epoch).permutation(len(examples)), []
        for low in range(0, len(order) - ROWS + 1, ROWS):
            loss = -_log_p(network, examples.at(order[low : low + ROWS])).mean()
            adam.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            adam.step()
            rates.step()
            losses.append(loss.item())
        told = f", held out {nats(network, held_out):.4f}" if held_out is not None else ""
        print(f"  epoch {epoch + 1}: {np.mean(losses):.4f} nats{told}, {time.monotonic() - started:.0f} s", flush=True)
    return network.arrays()


def nats_of(weights: dict[str, NDArray[np.float32]], examples: Examples) -> float:
    """Mean log-loss with these weights."""
    network = Network(examples.candidates.shape[-1], examples.places.shape[-1])
    network.read(weights)
    return nats(network, examples)


def nats(network: Network, examples: Examples) -> float:
    """Mean log-loss."""
    with torch.no_grad():
        pieces = [-_log_p(network, examples.at(slice(low, low + 4096))) for low in range(0, len(examples), 4096)]
    return float(torch.cat(pieces).mean())


def _log_p(network: Network, examples: Examples) -> Tensor:
    """Of each true token."""
    scores = network(torch.from_numpy(examples.candidates).float(), torch.from_numpy(examples.places).float())
    logits = torch.from_numpy(examples.logs) + scores
    truth = torch.from_numpy(examples.truth)  # -1: all else, which stands last
    return logits.log_softmax(1).gather(1, (truth % logits.shape[1])[:, None])[:, 0] + torch.from_numpy(examples.beyond)


def save(weights: dict[str, NDArray[np.float32]], path: Path) -> None:
    """What `Tilt.load` reads."""
    np.savez(path, allow_pickle=False, **weights)
