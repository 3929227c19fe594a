"""Whose turn it is. The law and what is done with it are scripted; the worker thread is the real one."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from treegraft_daemon.engine import scheduler as scheduling
from treegraft_daemon.engine.scheduler import Job, Scheduler
from treegraft_daemon.telemetry import Counters
from treegraft_protocol.messages import Complete, Problem, Suggestions


class Model:
    """Works on a request until `go` is set or the request is withdrawn."""

    name = "scripted"

    def __init__(self) -> None:
        self.go = threading.Event()
        self.turns: list[str] = []

    def suggest(self, job: Job, law: Any) -> Suggestions:
        self.turns.append(job.request.document)
        while not self.go.wait(0.001) and not job.cancelled():
            pass
        return Suggestions(id=job.request.id, items=(), constrained=True)


@pytest.fixture
async def model() -> Model:
    return Model()


@pytest.fixture
async def scheduler(model: Model) -> AsyncIterator[Scheduler]:
    scheduler = Scheduler(lambda tell: model, model.suggest, counters=Counters())  # type: ignore[arg-type,return-value]
    scheduler.start()
    yield scheduler
    model.go.set()
    await scheduler.stop()


def ask(scheduler: Scheduler, document: str, *, client: str = "me", ahead: bool = False) -> asyncio.Future[Any]:
    request = Complete(id=1, document=document, version=1, offset=0, text=b"", ahead=ahead)
    return scheduler.enter(client, request, None).answer  # type: ignore[arg-type]


async def until_running(model: Model, n_turns: int) -> None:
    async with asyncio.timeout(10):
        while len(model.turns) < n_turns:
            await asyncio.sleep(0.001)


async def code(answer: asyncio.Future[Any]) -> str:
    found = await asyncio.wait_for(answer, 10)
    return found.code if isinstance(found, Problem) else "answered"


async def test_what_nobody_waits_for_gives_way_to_anybody(scheduler: Scheduler, model: Model) -> None:
    ahead = ask(scheduler, "a", ahead=True)
    await until_running(model, 1)
    wanted = ask(scheduler, "b", client="somebody else")
    assert await code(ahead) == "superseded"
    await until_running(model, 2)
    model.go.set()
    assert await code(wanted) == "answered"


async def test_free_memory_is_given_back_now_and_then(
    scheduler: Scheduler, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    given_back: list[int] = []
    monkeypatch.setattr(scheduling, "_trim", lambda: given_back.append(len(model.turns)))
    monkeypatch.setattr(scheduling, "TIDY_S", 0.2)
    model.go.set()
    began, n_asked = time.monotonic(), 0
    while len(given_back) < 3:  # although requests never cease
        assert await code(ask(scheduler, str(n_asked))) == "answered"
        n_asked += 1
        await asyncio.sleep(0.01)
    assert time.monotonic() - began > 2 * 0.2
    async with asyncio.timeout(10):
        while given_back[-1] < n_asked:
            await asyncio.sleep(0.01)
    n_times = len(given_back)
    await asyncio.sleep(0.5)
    assert len(given_back) == n_times, "nothing was taken since"


async def test_what_nobody_waits_for_needs_an_idle_model(scheduler: Scheduler, model: Model) -> None:
    wanted = ask(scheduler, "a")
    await until_running(model, 1)
    assert await code(ask(scheduler, "b", ahead=True)) == "superseded"
    model.go.set()
    assert await code(wanted) == "answered"
    async with asyncio.timeout(10):
        while scheduler.running():
            await asyncio.sleep(0.001)
    assert await code(ask(scheduler, "b", ahead=True)) == "answered"
    assert model.turns == ["a", "b"]


async def test_of_one_document_only_the_newest_request_lives(scheduler: Scheduler, model: Model) -> None:
    first = ask(scheduler, "a")
    await until_running(model, 1)
    second, third = ask(scheduler, "a"), ask(scheduler, "a")
    assert [await code(first), await code(second)] == ["superseded", "superseded"]
    model.go.set()
    assert await code(third) == "answered"


async def test_clients_take_turns_and_the_newest_document_of_each_goes_first(
    scheduler: Scheduler, model: Model
) -> None:
    running = ask(scheduler, "first")
    await until_running(model, 1)
    waiting = [
        ask(scheduler, document, client=client)
        for document, client in (("me 1", "me"), ("me 2", "me"), ("you 1", "you"), ("me 3", "me"), ("you 2", "you"))
    ]
    model.go.set()
    await asyncio.gather(running, *waiting)
    assert model.turns == ["first", "me 3", "you 2", "me 2", "you 1", "me 1"]
