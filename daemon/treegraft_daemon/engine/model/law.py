"""The one interface between completions and models: who gives the next-token law.

A law is anything that can say how probable each next token is: a transformer, a copy model, a mixture.
The completion loop sees draws, never logits: tokens in sampling order with their log-probabilities.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from treegraft_grammars.vocabulary import Vocabulary

Progress = Callable[[float], None]  # hears what share of something long is done, 0 to 1


def unheard(share: float) -> None:
    """For whom nobody listens."""


@dataclass(frozen=True, slots=True, eq=False)
class Draws:
    """The next-token law of one row, in sampling order, as far as it has been looked at.

    ids: int32 [k]; tokens in the order of sampling without replacement, or by probability at temperature 0.
    logprobs: float64 [k]; log-probability of each under the whole next-token law.
    log_total: log of the mass of all tokens of this row: 0 for a whole law, less when token healing left some out.
    more: the draws that follow in the same order, or None when `ids` holds every token of positive probability.
    """

    ids: NDArray[np.int32]
    logprobs: NDArray[np.float64]
    log_total: float
    more: Callable[[], Draws] | None


@dataclass(frozen=True, slots=True)
class OpenFile:
    """Another file that the model should read: siblings of the document, nearest first."""

    path: str
    text: bytes


@dataclass(frozen=True, slots=True)
class Context:
    """What a model may read for one completion, before any tokenizer has seen it.

    document: key under which a law keeps what makes the next request of this document cheap.
    """

    document: str
    path: str
    language: str
    prefix: bytes
    suffix: bytes
    siblings: tuple[OpenFile, ...] = ()


@dataclass(frozen=True, slots=True)
class Sampling:
    """How draws are ordered: by probability at 0, else at random, by `rng`, from softmax(logits / temperature)."""

    temperature: float
    rng: np.random.Generator


@dataclass(frozen=True, slots=True)
class Calibration:
    """From what a law thinks of a text to how often such texts are what the author wrote: a logistic regression.

    The chance is sigmoid(intercept + slope * logit(p) + length * log(tokens)); 0, 1, 0 trusts p as it is. Fitted by
    tests/bench/reliability.py on the most probable rests of lines.
    """

    intercept: float = 0.0
    slope: float = 1.0
    length: float = 0.0

    def probability(self, log_probability: float, n_tokens: int) -> float:
        """Between 0 and 1, for a text of `n_tokens` tokens."""
        p = min(max(math.exp(min(log_probability, 0.0)), 1e-12), 1 - 1e-12)
        logit = self.intercept + self.slope * math.log(p / (1 - p)) + self.length * math.log(max(n_tokens, 1))
        return 1 / (1 + math.exp(-logit))


class Cancelled(Exception):
    """The request was withdrawn while the model worked; raised by `prefill` between chunks."""


class Law(Protocol):
    """A next-token law with the state of one request at a time; owned by one thread (the scheduler's).

    Life of a request: `prefill` once, which leaves one row, or `fork(n)` rows, then `step` / `select` in any number;
    `fork` begins anew. The next `prefill` forgets the rows. Healing: the law may drop the unstable last token(s) of the prefix; `prefill` then returns the
    dropped bytes, and the rows it draws hold only tokens that agree with them (`Vocabulary.agreeing`). `step` is told
    the bytes that each row still owes.
    """

    name: str
    vocabulary: Vocabulary
    end_tokens: frozenset[int]  # tokens that mean "the middle is finished"
    calibration: Calibration

    def prefill(self, context: Context, sampling: Sampling, cancelled: Callable[[], bool]) -> tuple[Draws, bytes]:
        """Read the context; the first draws of row 0 and the healed bytes (b"" if none). May raise Cancelled."""
        ...

    def fork(self, n: int) -> list[Draws]:
        """Begin again as `n` rows in the prefilled state; independent first draws of each row."""
        ...

    def step(self, tokens: Sequence[int], owed: Sequence[bytes]) -> list[Draws]:
        """Append one token to each row (healed bytes still owed by each row after it); the next draws of each."""
        ...

    def select(self, rows: Sequence[int]) -> None:
        """Row i continues from what was row `rows[i]` (resampling)."""
        ...

    def rewind(self, n_tokens: int) -> None:
        """Take the last `n_tokens` appended tokens back from every row."""
        ...
