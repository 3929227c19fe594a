"""Logging set-up, spans and counters. Nothing leaves the machine; source text is logged at DEBUG only."""

from __future__ import annotations

import logging
import sys
import threading
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter

from treegraft_daemon.errors import ConfigError, os_reason


def set_up_logging(level: str, file: str = "") -> None:
    """Log to `file`, or to stderr when it is empty; one line per record. Raises ConfigError if it cannot be."""
    try:
        handler = logging.FileHandler(file, encoding="utf-8") if file else logging.StreamHandler(sys.stderr)
    except OSError as error:
        raise ConfigError(f"cannot log to {file}: {os_reason(error)}") from error
    handler.setFormatter(_OneLine("%(asctime)s %(levelname)s %(process)d %(name)s: %(message)s"))
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level)
    logging.raiseExceptions = False  # a full disk costs log lines, never a request


class Counters:
    """What happened how often, by name; any thread may add."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()

    def add(self, name: str, n: int = 1) -> None:
        with self._lock:
            self._counts[name] += n

    def snapshot(self) -> dict[str, int]:
        """A copy; what never happened is absent."""
        with self._lock:
            return dict(self._counts)


class Latencies:
    """How long each stage took lately, in milliseconds; any thread may add."""

    def __init__(self, n_kept: int = 1024) -> None:
        self._lock = threading.Lock()
        self._n_kept = n_kept
        self._kept: dict[str, deque[float]] = {}

    def add(self, stage: str, ms: float) -> None:
        with self._lock:
            self._kept.setdefault(stage, deque(maxlen=self._n_kept)).append(ms)

    def snapshot(self) -> dict[str, tuple[float, float, float]]:
        """Median, 75th and 95th percentile of each stage, of the last calls."""
        with self._lock:
            kept = {stage: sorted(values) for stage, values in self._kept.items()}
        return {stage: _quantiles(values) for stage, values in kept.items()}


def _quantiles(values: list[float]) -> tuple[float, float, float]:
    middle, high, tail = (round(values[min(len(values) * part // 100, len(values) - 1)], 3) for part in (50, 75, 95))
    return middle, high, tail


class Span:
    """How long a block took; `ms` is set when it ends."""

    ms: float = 0.0


@contextmanager
def span() -> Iterator[Span]:
    """Measure a block: `with span() as parse: ...` and then `parse.ms`."""
    result = Span()
    start = perf_counter()
    try:
        yield result
    finally:
        result.ms = (perf_counter() - start) * 1000


class _OneLine(logging.Formatter):
    """A record with its traceback on one line, so that a log can be read with grep."""

    def format(self, record: logging.LogRecord) -> str:
        return super().format(record).replace("\n", " | ")
