"""A law that says what a test tells it to; the fake stands for the model only, all else in such a test is real."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from treegraft_daemon.engine.model.draws import gumbel_order, probability_order
from treegraft_daemon.engine.model.law import Calibration, Cancelled, Context, Draws, Sampling
from treegraft_grammars.vocabulary import Vocabulary

END = b"<end>"
# What the model wants next, given what it has written: the most wanted first, or with probabilities.
Wish = Sequence[bytes] | Mapping[bytes, float]


class ScriptedLaw:
    """Next tokens by a function of the text written since the cursor; `END` is its end token."""

    name = "scripted"

    def __init__(self, wish: Callable[[bytes], Wish], tokens: Sequence[bytes], healed: bytes = b"") -> None:
        self.vocabulary = Vocabulary([END, *tokens], special=[0])
        self.end_tokens = frozenset([0])
        self.calibration = Calibration()
        self.n_steps = 0
        self._wish = wish
        self._healed = healed
        self._ids = {token: idx for idx, token in enumerate([END, *tokens])}
        self._rows: list[bytes] = []
        self._past: list[list[bytes]] = []

    def prefill(self, context: Context, sampling: Sampling, cancelled: Callable[[], bool]) -> tuple[Draws, bytes]:
        if cancelled():
            raise Cancelled
        self._sampling = sampling
        self._rows = [b""]
        return self._draws(b""), self._healed

    def fork(self, n: int) -> list[Draws]:
        self._rows, self._past = [b""] * n, []
        return [self._draws(text) for text in self._rows]

    def step(self, tokens: Sequence[int], owed: Sequence[bytes]) -> list[Draws]:
        assert len(tokens) == len(owed) == len(self._rows)
        self.n_steps += 1
        self._past.append(self._rows)
        self._rows = [text + self.vocabulary[token] for text, token in zip(self._rows, tokens, strict=True)]
        return [self._draws(text) for text in self._rows]

    def select(self, rows: Sequence[int]) -> None:
        self._rows = [self._rows[row] for row in rows]

    def rewind(self, n_tokens: int) -> None:
        self._past, past = self._past[:-n_tokens], self._past[-n_tokens]
        self._rows = past

    def _draws(self, text: bytes) -> Draws:
        wish = self._wish(text)
        if not isinstance(wish, Mapping):
            # Sure enough of the first that nothing less likely is worth a second look, where it fits.
            wish = {token: 0.15 * 0.5**rank if rank else 0.85 for rank, token in enumerate(wish)}
        law = np.full(len(self.vocabulary), -math.inf)
        for token, probability in wish.items():
            law[self._ids[token]] = math.log(probability)
        if self._sampling.temperature == 0:
            return probability_order(law)
        return gumbel_order(law, self._sampling.rng)
