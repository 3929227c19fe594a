"""What became of each request and each suggestion, for `why`, for statistics and for the log.

Knows no LSP and no engine. Remembers names, numbers and reasons; of texts only those that were offered, for as long as
it takes to see whether they stay.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from dataclasses import dataclass, field

from treegraft_daemon.telemetry import Counters, Latencies

logger = logging.getLogger(__name__)

MAX_OFFERED = 256
MAX_UNTOLD = 512  # measurements of one stage that wait to be told


@dataclass
class Trace:
    """The story of one request. `reason` says why nothing came; `outcome` is "" while it runs."""

    number: int
    name: str
    invoked: bool
    started: float
    language: str = ""
    reason: str = ""
    outcome: str = ""
    n_offers: int = 0
    total_ms: float = 0.0
    engine_ms: float = 0.0
    stages_ms: dict[str, float] = field(default_factory=dict)

    def sentence(self) -> str:
        """What a person who asks "why" is told."""
        if self.outcome in ("", "shown", "remembered"):
            what = "is still being worked on" if not self.outcome else f"got {_count(self.n_offers, 'suggestion')}"
            origin = " without asking the model" if self.outcome == "remembered" else ""
            time = f" in {self.total_ms:.0f} ms" if self.outcome else ""
            return f"the last request, in {self.name}, {what}{origin}{time}"
        return f"nothing in {self.name}: {self.reason or self.outcome}"


@dataclass(frozen=True, slots=True)
class Offered:
    """A suggestion as it went out."""

    uri: str
    text: bytes


class Ledger:
    """One client's."""

    def __init__(self, counters: Counters) -> None:
        self.counters = counters
        self.latencies = Latencies()
        self.last: Trace | None = None  # the story of the newest request
        self._offered: OrderedDict[str, Offered] = OrderedDict()
        self._n_requests = 0
        self._n_offered = 0
        self._told: dict[str, int] = {}
        self._untold_ms: dict[str, list[float]] = {}

    def begin(self, name: str, invoked: bool, now: float) -> Trace:
        """A request came."""
        self._n_requests += 1
        self.last = trace = Trace(self._n_requests, name, invoked, now)
        self.counters.add("requests")
        return trace

    def end(self, trace: Trace, outcome: str, now: float, n_offers: int = 0, reason: str = "") -> None:
        """It was answered; the first call counts."""
        if trace.outcome:
            return
        trace.outcome, trace.n_offers, trace.reason = outcome, n_offers, reason
        trace.total_ms = (now - trace.started) * 1000
        if outcome in ("shown", "remembered"):
            self.counters.add("suggestions_offered")
            self._measure("answer", trace.total_ms)
        if trace.engine_ms:
            self._measure("engine", trace.engine_ms)
        logger.debug("request %d in %s: %s, %d in %.1f ms", trace.number, trace.name, outcome, n_offers, trace.total_ms)

    def offer(self, uri: str, text: bytes) -> str:
        """The name under which the client may tell what became of this suggestion."""
        self._n_offered += 1
        name = str(self._n_offered)
        self._offered[name] = Offered(uri, text)
        if len(self._offered) > MAX_OFFERED:
            self._offered.popitem(last=False)
        return name

    def accepted(self, name: str) -> Offered | None:
        """A suggestion was accepted; what it was, if it is known and was not accepted before."""
        offered = self._offered.pop(name, None)
        if offered is not None:
            self.counters.add("suggestions_accepted")
            self.counters.add("characters_accepted", len(offered.text.decode("utf-8", "replace")))
        return offered

    def retained(self, offered: Offered, document: bytes) -> None:
        """Some time after accepting: does it still stand in the document?"""
        stays = offered.text.strip() in document
        self.counters.add("suggestions_retained" if stays else "suggestions_changed_later")

    def untold(self) -> tuple[dict[str, int], dict[str, list[float]]]:
        """What was counted and measured since the last call."""
        now = self.counters.snapshot()
        counts = {name: n - self._told.get(name, 0) for name, n in now.items() if n > self._told.get(name, 0)}
        self._told = now
        measured, self._untold_ms = self._untold_ms, {}
        return counts, measured

    def _measure(self, stage: str, ms: float) -> None:
        self.latencies.add(stage, ms)
        waiting = self._untold_ms.setdefault(stage, [])
        if len(waiting) < MAX_UNTOLD:
            waiting.append(ms)


def _count(n: int, word: str) -> str:
    return f"{n} {word}{'' if n == 1 else 's'}"
