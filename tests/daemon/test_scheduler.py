"""Whose turn it is. The law and what is done with it are scripted; the worker thread is the real one."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from treegraft_daemon.engine import scheduler as scheduling
from treegraft_daemon.engine.model.law import Cancelled, Step, Turn
from treegraft_daemon.engine.scheduler import Job, Scheduler
from treegraft_daemon.telemetry import Counters
from treegraft_protocol.messages import Complete, Problem, Suggestions


class Model:
    """Works on a request until `go` is set or the request is withdrawn."""

    name = "scripted"
    n_together = free_rows = 1

    def __init__(self) -> None:
        self.go = threading.Event()
        self.turns: list[str] = []

    async def suggest(self, job: Job, law: Any) -> Suggestions:
        self.turns.append(job.request.document)
        while not self.go.wait(0.001):
            await Turn()
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
        while scheduler._tidying is not None:
            await asyncio.sleep(0.01)
    assert given_back[-1] == n_asked
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
    scheduler: Scheduler, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scheduling, "QUANTUM_S", 60.0)
    running = ask(scheduler, "first")
    await until_running(model, 1)
    waiting = [
        ask(scheduler, document, client=client)
        for document, client in (("me 1", "me"), ("me 2", "me"), ("you 1", "you"), ("me 3", "me"), ("you 2", "you"))
    ]
    model.go.set()
    await asyncio.gather(running, *waiting)
    assert model.turns == ["first", "me 3", "you 2", "me 2", "you 1", "me 1"]


class Passes:
    """Takes the steps of up to `n_together` requests in one pass; each writes as many tokens as its request allows."""

    name = "passes"

    def __init__(self, n_together: int) -> None:
        self.n_together = self.free_rows = n_together
        self.go = threading.Event()
        self.asked: list[str] = []
        self.passes: list[list[str]] = []
        self.fails = False

    async def suggest(self, job: Job, law: Any) -> Suggestions:
        name = job.request.document
        self.asked.append(name)
        try:
            for number in range(job.request.max_tokens):
                assert await Step(name, [number], [b""]) == [(name, number)]  # type: ignore[arg-type,comparison-overlap]
        except Cancelled:
            return Suggestions(id=job.request.id, items=(), constrained=True, reason="cancelled")
        return Suggestions(id=job.request.id, items=(), constrained=True)

    def step(self, steps: list[Any]) -> list[Any]:
        self.go.wait()
        time.sleep(0.002)
        if self.fails:
            raise RuntimeError("the device is gone")
        self.passes.append([step.rows for step in steps])
        return [[(step.rows, step.tokens[0])] for step in steps]


@pytest.fixture(params=[1, 3])
async def passes(request: pytest.FixtureRequest) -> AsyncIterator[tuple[Scheduler, Passes]]:
    law = Passes(request.param)
    scheduler = Scheduler(lambda tell: law, law.suggest, counters=Counters())  # type: ignore[arg-type,return-value]
    scheduler.start()
    yield scheduler, law
    law.go.set()
    await scheduler.stop()


def write(scheduler: Scheduler, document: str, n_tokens: int, deadline_ms: int = 30_000) -> Job:
    request = Complete(
        id=1, document=document, version=1, offset=0, text=b"", max_tokens=n_tokens, deadline_ms=deadline_ms
    )
    return scheduler.enter(document, request, None)  # type: ignore[arg-type]


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.001)


async def test_steps_of_several_requests_are_taken_in_one_pass(
    passes: tuple[Scheduler, Passes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scheduling, "QUANTUM_S", 60.0)
    scheduler, law = passes
    jobs = [write(scheduler, name, 5) for name in "abcd"]
    await until(lambda: len(law.asked) == law.n_together)
    law.go.set()
    assert [await code(job.answer) for job in jobs] == ["answered"] * 4
    written = [name for names in law.passes for name in names]
    assert sorted(written) == sorted("abcd" * 5)
    assert all(len(set(names)) == len(names) <= law.n_together for names in law.passes)
    assert len(law.passes) == (20 if law.n_together == 1 else 10)


async def test_a_long_request_delays_another_by_one_step(
    passes: tuple[Scheduler, Passes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scheduling, "QUANTUM_S", 0.01)
    scheduler, law = passes
    law.go.set()
    long = [write(scheduler, name, 1000) for name in "abc"]
    await until(lambda: len(law.passes) > 40)
    for name in ("x", "y"):
        n_before = len(law.passes)
        assert await code(write(scheduler, name, 3).answer) == "answered"
        where = [number for number, names in enumerate(law.passes) if name in names]
        assert where[0] - n_before <= 2 and where[-1] - where[0] == 2
    assert not any(job.answer.done() for job in long)
    assert all(any(name in names for names in law.passes[-40:]) for name in "abc"), "they take turns too"
    for job in long:
        scheduler.withdraw(job)


async def test_who_let_others_go_first_still_moves_before_its_deadline(
    passes: tuple[Scheduler, Passes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scheduling, "QUANTUM_S", 0.002)
    monkeypatch.setattr(scheduling, "LATELY_S", 0.01)  # so that those who ask little seem to have asked nothing
    scheduler, law = passes
    law.free_rows = 1  # ... and nobody rides along
    law.go.set()
    long = write(scheduler, "long", 10_000, deadline_ms=700)
    await until(lambda: len(law.passes) > 60)

    async def ask_all_the_time(name: str) -> None:
        while not long.answer.done():
            await write(scheduler, name, 2).answer

    await asyncio.gather(*(ask_all_the_time(name) for name in "abcdefgh"))
    assert sum("long" in names for names in law.passes[-60:]) > 10, "it goes on in the end"


async def test_of_a_request_withdrawn_the_model_is_free_at_once(passes: tuple[Scheduler, Passes]) -> None:
    scheduler, law = passes
    law.go.set()
    jobs = [write(scheduler, name, 10_000) for name in "ab"]
    await until(lambda: len(law.passes) > 3)
    scheduler.withdraw(jobs[0])
    n_before = len(law.passes)
    assert await code(jobs[0].answer) == "cancelled"
    await until(lambda: len(law.passes) > n_before + 3)
    assert all(names == ["b"] for names in law.passes[n_before + 1 :])
    scheduler.withdraw(jobs[1])
    await until(lambda: not scheduler.running())


async def test_a_pass_that_fails_answers_its_requests_and_the_next_one_works(passes: tuple[Scheduler, Passes]) -> None:
    scheduler, law = passes
    jobs = [write(scheduler, name, 2) for name in "abc"]
    await until(lambda: len(law.asked) == law.n_together)
    law.fails = True
    law.go.set()
    for job in jobs:
        with pytest.raises(RuntimeError, match="the device is gone"):
            await job.answer
    law.fails = False
    assert await code(write(scheduler, "d", 2).answer) == "answered"
    assert scheduler.running() == 0
