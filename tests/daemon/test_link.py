"""The engine as the server sees it: one connection, one attempt, and rest after a failure."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from treegraft_daemon.config import Multiline, Settings
from treegraft_daemon.errors import EngineFailed, EngineUnreachable, TreegraftError
from treegraft_daemon.serve.link import Engine, Link
from treegraft_protocol.messages import StatusReport, Suggestions


class Fake:
    """A connection that answers with nothing, until it is closed."""

    def __init__(self) -> None:
        self.closed = False

    async def complete(
        self, *, document: str, path: str, language: str | None, text: bytes, offset: int,
        siblings: Sequence[tuple[str, bytes]], n: int, max_tokens: int, temperature: float, seed: int,
        multiline: Multiline, deadline_ms: int,
    ) -> Suggestions:  # fmt: skip
        if self.closed:
            raise EngineFailed("gone")
        return Suggestions(id=1, items=(), constrained=True)

    async def status(self) -> StatusReport:
        raise EngineFailed("gone")

    def forget(self, document: str) -> None:
        pass

    async def close(self) -> None:
        self.closed = True


class Attempts:
    """Connects by a script: an engine, or an exception to raise."""

    def __init__(self, *outcomes: Fake | Exception) -> None:
        self.outcomes = list(outcomes)
        self.n = 0
        self.gate = asyncio.Event()
        self.gate.set()

    async def __call__(self, settings: Settings) -> Engine:
        self.n += 1
        await self.gate.wait()
        outcome = self.outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


async def test_callers_share_one_attempt_and_one_connection() -> None:
    fake = Fake()
    attempts = Attempts(fake)
    link = Link(Settings(), attempts)
    assert await asyncio.gather(*(link.engine() for _ in range(5))) == [fake] * 5
    assert await link.engine() is fake
    assert attempts.n == 1


async def test_a_caller_who_leaves_does_not_stop_the_attempt() -> None:
    fake = Fake()
    attempts = Attempts(fake)
    attempts.gate.clear()
    link = Link(Settings(), attempts)
    leaving = asyncio.ensure_future(link.engine())
    staying = asyncio.ensure_future(link.engine())
    await asyncio.sleep(0)
    leaving.cancel()
    attempts.gate.set()
    assert await staying is fake


async def test_a_connection_that_ended_is_replaced() -> None:
    elder, newer = Fake(), Fake()
    link = Link(Settings(), Attempts(elder, newer))
    assert await link.engine() is elder
    elder.closed = True
    assert not link.connected
    assert await link.engine() is newer


async def test_after_a_failure_there_is_a_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("treegraft_daemon.serve.link.FIRST_REST_S", 0.05)
    fake = Fake()
    attempts = Attempts(EngineUnreachable("no engine"), fake)
    link = Link(Settings(), attempts)
    for _ in range(3):
        with pytest.raises(EngineUnreachable, match="no engine"):
            await link.engine()
    assert attempts.n == 1
    assert link.resting
    await asyncio.sleep(0.1)
    assert await link.engine() is fake


async def test_what_breaks_on_the_way_is_told_as_unreachable() -> None:
    link = Link(Settings(), Attempts(ImportError("no module")))
    with pytest.raises(TreegraftError, match="no module"):
        await link.engine()


async def test_closing_while_the_attempt_runs() -> None:
    attempts = Attempts(Fake())
    attempts.gate.clear()
    link = Link(Settings(), attempts)
    waiting = asyncio.ensure_future(link.engine())
    await asyncio.sleep(0)
    await link.close()
    with pytest.raises(EngineUnreachable, match="given up"):
        await waiting
    assert not link.connected


async def test_status_without_an_engine_starts_none() -> None:
    attempts = Attempts(Fake())
    link = Link(Settings(), attempts)
    assert await link.status() is None
    assert attempts.n == 0
    await link.engine()
    assert await link.status() is None  # it fails to answer
