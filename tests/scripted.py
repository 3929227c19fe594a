"""A law that says what a test tells it to; the fake stands for the model only, all else in such a test is real."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import cast

import numpy as np

from treegraft_daemon.engine.model.draws import gumbel_order, probability_order
from treegraft_daemon.engine.model.law import Calibration, Cancelled, Context, Draws, Sampling, Step
from treegraft_grammars.vocabulary import Vocabulary

END = b"<end>"
# What the model wants next, given what it has written: the most wanted first, or with probabilities.
Wish = Sequence[bytes] | Mapping[bytes, float]


class ScriptedLaw:
    """Next tokens by a function of the text written since the cursor; `END` is its end token."""

    name = "scripted"
    n_together = free_rows = 1

    def __init__(self, wish: Callable[[bytes], Wish], tokens: Sequence[bytes], healed: bytes = b"") -> None:
        self.vocabulary = Vocabulary([END, *tokens], special=[0])
        self.end_tokens = frozenset([0])
        self.calibration = Calibration()
        self.n_steps = 0
        self._wish = wish
        self._healed = healed
        self._ids = {token: idx for idx, token in enumerate([END, *tokens])}

    async def prefill(self, context: Context, sampling: Sampling, cancelled: Callable[[], bool]) -> ScriptedRows:
        if cancelled():
            raise Cancelled
        return ScriptedRows(self, self._healed, sampling)

    def step(self, steps: Sequence[Step]) -> list[list[Draws]]:
        self.n_steps += len(steps)
        return [cast(ScriptedRows, step.rows).after(step.tokens, step.owed) for step in steps]

    def draws(self, text: bytes, sampling: Sampling) -> Draws:
        wish = self._wish(text)
        if not isinstance(wish, Mapping):
            # Sure enough of the first that nothing less likely is worth a second look, where it fits.
            wish = {token: 0.15 * 0.5**rank if rank else 0.85 for rank, token in enumerate(wish)}
        law = np.full(len(self.vocabulary), -math.inf)
        for token, probability in wish.items():
            law[self._ids[token]] = math.log(probability)
        if sampling.temperature == 0:
            return probability_order(law)
        return gumbel_order(law, sampling.rng)


class ScriptedRows:
    def __init__(self, law: ScriptedLaw, owed: bytes, sampling: Sampling) -> None:
        self._law = law
        self._sampling = sampling
        self._texts = [b""]
        self._past: list[list[bytes]] = []
        self.owed = owed
        self.draws = law.draws(b"", sampling)

    def fork(self, n: int) -> list[Draws]:
        self._texts, self._past = [b""] * n, []
        return [self._law.draws(text, self._sampling) for text in self._texts]

    def after(self, tokens: Sequence[int], owed: Sequence[bytes]) -> list[Draws]:
        assert len(tokens) == len(owed) == len(self._texts)
        self._past.append(self._texts)
        self._texts = [text + self._law.vocabulary[token] for text, token in zip(self._texts, tokens, strict=True)]
        return [self._law.draws(text, self._sampling) for text in self._texts]

    def select(self, rows: Sequence[int]) -> None:
        self._texts = [self._texts[row] for row in rows]

    def rewind(self, n_tokens: int) -> None:
        self._past, past = self._past[:-n_tokens], self._past[-n_tokens]
        self._texts = past

    def close(self) -> None:
        pass
