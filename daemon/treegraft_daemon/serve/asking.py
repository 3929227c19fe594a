"""Questions to the engine that run, and what its answers are worth.

At most one question runs for each document and channel. One that was typed over goes on for a moment: its answer may do
for the request that follows. Knows no LSP.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from treegraft_daemon.serve.documents import Snapshot
from treegraft_daemon.serve.suggestions import Offer, Place, not_worth_showing
from treegraft_daemon.telemetry import Counters

if TYPE_CHECKING:
    from treegraft_protocol.messages import Suggestions

logger = logging.getLogger(__name__)

Key = tuple[str, str]  # uri and channel

GRACE_S = 0.05  # a question that was typed over may still be of use to the next request, if that comes so soon

# A further candidate is worth a look if it is so much as probable as the first; below come loops and half words.
FURTHER = 1 / 50

# Codes of the wire, as a person reads them.
IMPROBABLE = "improbable"  # as the engine says it
UNSURE = "not sure enough"
_REASONS = {
    IMPROBABLE: UNSURE,
    "loading": "the model is being loaded",
    "deadline": "the engine had no answer in time",
    "busy": "the engine is busy with other requests",
    "superseded": "",
    "cancelled": "",
}


@dataclass(frozen=True, slots=True)
class Found:
    """What the engine said: what is worth showing, and why there is not more; `unchecked`: why the constraint was off."""

    offers: list[Offer]
    reason: str = ""
    unchecked: str = ""
    stages_ms: Mapping[str, float] = field(default_factory=dict)


@dataclass(slots=True)
class Question:
    """One that runs; `wanted` while somebody waits for its answer."""

    place: Place
    task: asyncio.Task[Found]
    wanted: bool = True

    def drop_soon(self) -> None:
        """Who waited was typed over: the next request may be of the same mind, but it must come soon."""
        self.wanted = False
        asyncio.get_running_loop().call_later(GRACE_S, lambda: None if self.wanted else self.task.cancel())


class Questions:
    """All of one client."""

    def __init__(self) -> None:
        self._running: dict[Key, Question] = {}
        self._later: asyncio.TimerHandle | None = None

    def begin(self, key: Key, place: Place, work: Coroutine[Any, Any, Found]) -> Question:
        """Ask; what ran under this key is given up."""
        elder = self._running.pop(key, None)
        if elder is not None:
            elder.task.cancel()
        question = self._running[key] = Question(place, asyncio.ensure_future(work))
        question.task.add_done_callback(lambda task: self._ended(key, task))
        return question

    def running(self, key: Key) -> bool:
        return key in self._running

    def leading_to(self, key: Key, place: Place) -> Question | None:
        """The running question whose answer may do for `place`, too."""
        question = self._running.get(key)
        return question if question is not None and question.place.leads_to(place) else None

    def give_way(self, key: Key, later: Place | None) -> None:
        """Another request came, for `later` (None: for nothing): what runs goes on only if its answer may do for that."""
        self._cancel_later()
        question = self._running.get(key)
        if question is None:
            return
        if later is not None and question.place.leads_to(later):
            question.wanted = True
        else:
            question.task.cancel()

    def later(self, after_s: float, begin: Callable[[], None]) -> None:
        """Call `begin` after a while without another request, of whatever document: one person looks at one."""
        self._cancel_later()
        self._later = asyncio.get_running_loop().call_later(after_s, begin)

    def drop_all(self) -> None:
        """The client has left."""
        self._cancel_later()
        for question in self._running.values():
            question.task.cancel()

    def _cancel_later(self) -> None:
        if self._later is not None:
            self._later.cancel()
            self._later = None

    def _ended(self, key: Key, task: asyncio.Task[Found]) -> None:
        question = self._running.get(key)
        if question is not None and question.task is task:
            del self._running[key]
        if not task.cancelled() and (problem := task.exception()) is not None:
            logger.error("asking the engine failed: %s", type(problem).__name__, exc_info=problem)


def found_in(
    answer: Suggestions, place: Place, snapshot: Snapshot, invoked: bool, min_probability: float, counters: Counters
) -> Found:
    """What of an answer is worth showing; asked by hand, its best is, whatever it is, and what comes near it."""
    from treegraft_protocol.messages import stages_ms  # there by now: the answer is one of its messages

    best = max((item.probability for item in answer.items), default=0.0)
    least = best * FURTHER if invoked else min_probability
    sure = [item for item in answer.items if item.probability >= least]
    offers = _offers([(item.text, item.log_weight) for item in sure], place)
    reason = _REASONS.get(answer.reason, answer.reason)
    if answer.reason.endswith(IMPROBABLE) or (answer.items and not sure):
        counters.add("unsure")
        reason = UNSURE
    if not invoked:
        why_not = [not_worth_showing(offer, place) for offer in offers]
        if any(why_not):
            counters.add("not_worth_showing")
            reason = next(filter(None, why_not))
        offers = [offer for offer, why in zip(offers, why_not, strict=True) if not why]
    unchecked = ""
    if not answer.constrained:
        why = answer.reason.removeprefix("constraint off: ").removesuffix(f"; {IMPROBABLE}")
        why = why or f"no grammar for {snapshot.language_id or snapshot.name}"
        unchecked = f"suggestions are not checked: {why}"
    return Found(offers, reason, unchecked, stages_ms(answer.timings))


def _offers(found: list[tuple[bytes, float]], place: Place) -> list[Offer]:
    """Texts as offers: no blank one, none twice, and with the line breaks that the document has."""
    crlf = b"\r\n" in place.text[: place.text.find(b"\n") + 1]
    offers: dict[bytes, Offer] = {}
    for text, log_weight in found:
        text = text.replace(b"\r\n", b"\n")
        text = text.replace(b"\n", b"\r\n") if crlf else text
        if text.strip() and _is_utf8(text):
            offers.setdefault(text, Offer(text, log_weight))
    return list(offers.values())


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
