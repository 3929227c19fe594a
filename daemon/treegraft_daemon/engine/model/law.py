"""The one interface between completions and models: who gives the next-token law.

A law is anything that can say how probable each next token is: a transformer, a copy model, a mixture.
The completion loop sees draws, never logits: tokens in sampling order with their log-probabilities.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Coroutine, Generator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from treegraft_grammars.vocabulary import Vocabulary

T = TypeVar("T")
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
    """The request was withdrawn while the model worked; raised where its completion waits for the model."""


class Rows(Protocol):
    """What a law knows of one request: its rows, each a way in which the text may go on. There is one at first.

    Healing: the law may drop the unstable last token(s) of the prefix; `owed` are their bytes, and the rows draw only
    tokens that agree with them (`Vocabulary.agreeing`).
    """

    draws: Draws  # the first ones of the one row
    owed: bytes  # b"" if nothing was healed

    def fork(self, n: int) -> list[Draws]:
        """Begin again as `n` rows in the prefilled state; independent first draws of each row."""
        ...

    def select(self, rows: Sequence[int]) -> None:
        """Row i continues from what was row `rows[i]` (resampling)."""
        ...

    def rewind(self, n_tokens: int) -> None:
        """Take the last `n_tokens` appended tokens back from every row."""
        ...

    def close(self) -> None:
        """The request is over: what was kept for it may go to another document now."""
        ...


@dataclass(frozen=True, slots=True)
class Step:
    """One token more for each row of a request, and the healed bytes that each row owes after it.

    A completion awaits it for the next draws of each row; whoever drives the completion has the law take the step, and
    may let it take those of other requests in the same pass.
    """

    rows: Rows
    tokens: Sequence[int]
    owed: Sequence[bytes]

    def __await__(self) -> Generator[Step, list[Draws], list[Draws]]:
        return (yield self)


class Turn:
    """Awaited within a long prefill: others may have theirs now."""

    def __await__(self) -> Generator[None, None, None]:
        yield None


class Law(Protocol):
    """A next-token law; owned by one thread (the scheduler's), which may work on several requests by turns."""

    name: str
    vocabulary: Vocabulary
    end_tokens: frozenset[int]  # tokens that mean "the middle is finished"
    calibration: Calibration
    n_together: int  # requests whose steps are better taken in one pass than one after the other
    free_rows: int  # that all of them may have for a pass to cost hardly more than with one row

    async def prefill(self, context: Context, sampling: Sampling, cancelled: Callable[[], bool]) -> Rows:
        """Read the context. May raise Cancelled."""
        ...

    def step(self, steps: Sequence[Step]) -> list[list[Draws]]:
        """Take the steps of different requests in one pass; the next draws of each row of each."""
        ...


def alone(law: Law, work: Coroutine[Any, Any, T]) -> T:
    """What `work`, a prefill or a completion, comes to when nothing else asks the law meanwhile."""
    draws: list[Draws] | None = None
    try:
        while True:
            step = work.send(draws)
            draws = None if step is None else law.step([step])[0]
    except StopIteration as end:
        return end.value
