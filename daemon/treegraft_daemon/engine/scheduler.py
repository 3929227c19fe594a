"""Whose turn it is on the model. One worker thread owns the law; everything else only asks.

Takes turns between clients; within a client the newest request goes first, and of one document only the newest lives:
the elder is answered "superseded". Requests move step by step: those that the law can take together share each pass, and
one that has been at it for long lets others go first. A request that is withdrawn is answered at once, and the model is
free of it within one decode step. Knows no socket and no message but the ones it answers with.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
import logging
import math
import sys
import threading
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Hashable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from time import monotonic, perf_counter
from typing import TYPE_CHECKING, Any, Protocol

from treegraft_daemon.engine.model.law import Cancelled, Draws, Step
from treegraft_daemon.telemetry import Counters
from treegraft_protocol.messages import Complete, Problem, ReplicaReport, Suggestions

if TYPE_CHECKING:
    from treegraft_daemon.engine.model.law import Context, Law, Progress

log = logging.getLogger(__name__)

# Overdue work is answered for it after this long; the completion itself watches the deadline and usually beats it.
GRACE_S = 0.25
# After a failed load the next request tries again, but not sooner: a missing file costs one look per keystroke else.
RELOAD_AFTER_S = 5.0
MAX_WAITING_PER_CLIENT = 128
# Of the model's time, after which a client lets those go first that had less lately; what it had counts for a third a second
# later. Most requests are answered within it.
QUANTUM_S, LATELY_S = 0.05, 1.0
LAST_CALL_S = 0.2
# So many are under way at most, with those that let others go first; each keeps what it wrote so far.
MOST_UNDER_WAY = 16
# What requests took and gave back, 30 MB, goes back to the system so long after one of them; that takes 6 ms. The parse of a
# broken file takes and gives 20 MB in small blocks, which would stay with a heap that others keep busy.
TIDY_S = 10.0


class Job:
    """One request on its way. `deadline` is on the monotonic clock, in seconds; only the event loop resolves it."""

    def __init__(self, client: Hashable, request: Complete, context: Context) -> None:
        self.client = client
        self.request = request
        self.context = context
        self.arrived = monotonic()
        self.started = self.arrived
        self.deadline = self.arrived + request.deadline_ms / 1000
        self.answer: asyncio.Future[Suggestions | Problem] = asyncio.get_running_loop().create_future()
        self._withdrawn = False

    def cancelled(self) -> bool:
        """Polled by the worker before each step."""
        return self._withdrawn

    def withdraw(self, code: str, text: str) -> None:
        """Answer with a Problem now and let the worker find the flag; nothing happens when it was answered before."""
        self._withdrawn = True
        if not self.answer.done():
            self.answer.set_result(Problem(id=self.request.id, code=code, text=text))


# What the worker runs for a job: engine.completion.suggest, or a script in tests. Waits for nothing but the law.
Suggest = Callable[["Job", "Law"], Coroutine[Any, Any, Suggestions]]


class Dispatcher(Protocol):
    """What answers the requests of an engine's clients: the scheduler below, or replicas of it on a cluster.

    All methods belong to one event loop. `state` and `loaded` as in a StatusReport.
    """

    state: str
    loaded: float

    def start(self) -> None: ...
    async def stop(self) -> object: ...
    def enter(self, client: Hashable, request: Complete, context: Context) -> Job: ...
    def withdraw(self, job: Job) -> None: ...
    def queued(self) -> int: ...
    def running(self) -> int: ...
    def replicas(self) -> tuple[ReplicaReport, ...]: ...


@dataclass(eq=False)
class _Run:
    """A job under way: its completion, and the step that this waits for; without one it is to go on by itself."""

    job: Job
    work: Coroutine[Any, Any, Suggestions]
    step: Step | None = None
    used_s: float = 0.0  # of the model's time


class _Used:
    """How much of the model's time each client had lately, in seconds."""

    def __init__(self) -> None:
        self._used: dict[Hashable, tuple[float, float]] = {}  # so much, at that time

    def of(self, client: Hashable) -> float:
        used_s, then = self._used.get(client, (0.0, 0.0))
        return used_s * math.exp((then - monotonic()) / LATELY_S)

    def add(self, client: Hashable, seconds: float) -> None:
        self._used[client] = (self.of(client) + seconds, monotonic())

    def forget(self) -> None:
        """Those that had nothing lately."""
        self._used = {client: it for client, it in self._used.items() if self.of(client) > QUANTUM_S / 16}


@dataclass
class _Turns:
    """Waiting jobs, fairly: clients in a ring, newest document of each first. Guarded by the scheduler's lock."""

    clients: OrderedDict[Hashable, OrderedDict[str, Job]] = field(default_factory=OrderedDict)

    def put(self, job: Job) -> None:
        waiting = self.clients.setdefault(job.client, OrderedDict())
        waiting[job.request.document] = job
        waiting.move_to_end(job.request.document)

    def take(self) -> Job | None:
        """The next client's newest job; that client then goes to the end of the ring."""
        while self.clients:
            client, waiting = self.clients.popitem(last=False)
            _, job = waiting.popitem()
            if waiting:
                self.clients[client] = waiting
            if not job.cancelled():
                return job
        return None

    def next_client(self) -> Hashable | None:
        """Whose job `take` would give."""
        return next(iter(self.clients), None)

    def of(self, client: Hashable, document: str) -> Job | None:
        return self.clients.get(client, OrderedDict()).get(document)

    def remove(self, job: Job) -> None:
        waiting = self.clients.get(job.client)
        if waiting is not None and waiting.get(job.request.document) is job:
            del waiting[job.request.document]
            if not waiting:
                del self.clients[job.client]

    def n_of(self, client: Hashable) -> int:
        return len(self.clients.get(client, ()))

    def __len__(self) -> int:
        return sum(len(waiting) for waiting in self.clients.values())


class Scheduler:
    """Owns the worker thread and, through it, the law: loaded at start, dropped when idle, loaded again on demand.

    All methods belong to one event loop; they never wait for the worker.
    """

    def __init__(
        self, load: Callable[[Progress], Law], suggest: Suggest, *, counters: Counters, idle_unload_s: float = 0.0
    ) -> None:
        self._load = load
        self._suggest = suggest
        self._counters = counters
        self._idle_unload_s = idle_unload_s or None
        self._lock = threading.Condition()
        self._turns = _Turns()
        self._runs: list[_Run] = []  # under way; changed by the worker, under the lock
        self._used = _Used()  # the worker's
        self._ahead: Job | None = None  # the request that nobody waits for yet, at most one
        self._stopping = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._worker = threading.Thread(target=self._work, name="model", daemon=True)
        self._law: Law | None = None
        self._tidying: asyncio.TimerHandle | None = None
        self._failed_at = 0.0
        self._failure: Exception | None = None
        self.state = "loading"
        self.loaded = 0.0  # the share of the model's weights that was read so far

    def start(self) -> None:
        """Begin to load the law, in the worker."""
        self._loop = asyncio.get_running_loop()
        self._worker.start()

    def enter(self, client: Hashable, request: Complete, context: Context) -> Job:
        """Queue a request; an elder one of the same document is superseded."""
        job = Job(client, request, context)
        self._counters.add("requests")
        with self._lock:
            waiting = self._turns.of(client, request.document)
            elders = [waiting, *(run.job for run in self._runs)]
            full = self._turns.n_of(client) >= MAX_WAITING_PER_CLIENT and waiting is None
            is_idle = not self._runs and not len(self._turns)
            ahead = self._ahead
            if not full and not self._stopping and (is_idle or not request.ahead):
                self._turns.put(job)
                self._lock.notify()
        for elder in elders:
            if elder is not None and elder.client == client and elder.request.document == request.document:
                elder.withdraw("superseded", "a newer request of this document came")
        if ahead is not None and not request.ahead:
            ahead.withdraw("superseded", "somebody waits for the model")
        self._ahead = job if request.ahead and is_idle else None
        if request.ahead and not is_idle:
            job.withdraw("superseded", "the model is not idle")
        elif self._stopping:
            job.withdraw("stopping", "the engine is stopping")
        elif full:
            job.withdraw("busy", f"{MAX_WAITING_PER_CLIENT} requests wait already")
        else:
            overdue = job.deadline + GRACE_S - monotonic()
            timer = asyncio.get_running_loop().call_later(overdue, self._overdue, job)
            job.answer.add_done_callback(lambda _: timer.cancel())
        job.answer.add_done_callback(lambda _: self._answered(job))
        return job

    def withdraw(self, job: Job, code: str = "cancelled", text: str = "the request was cancelled") -> None:
        """Answer a request now; the model is free within one decode step."""
        job.withdraw(code, text)

    def queued(self) -> int:
        """How many requests wait."""
        with self._lock:
            return len(self._turns)

    def running(self) -> int:
        """How many requests the model works on, withdrawn or not."""
        return len(self._runs)

    def replicas(self) -> tuple[ReplicaReport, ...]:
        """None: this is the only one."""
        return ()

    async def stop(self, timeout_s: float = 2.0) -> bool:
        """Answer all requests as stopping and end the worker; False when it did not end in time."""
        with self._lock:
            self._stopping = True
            left = [job for waiting in self._turns.clients.values() for job in waiting.values()]
            self._turns.clients.clear()
            left += [run.job for run in self._runs]
            self._lock.notify()
        for job in left:
            job.withdraw("stopping", "the engine is stopping")
        end = monotonic() + timeout_s
        while self._worker.is_alive() and monotonic() < end:
            await asyncio.sleep(0.005)
        return not self._worker.is_alive()

    def _overdue(self, job: Job) -> None:
        if self.state == "loading":
            job.withdraw("loading", "the model is still being loaded")
        else:
            job.withdraw("deadline", f"no answer within {job.request.deadline_ms} ms")

    def _answered(self, job: Job) -> None:
        if self._ahead is job:
            self._ahead = None
        with self._lock:
            self._turns.remove(job)
        if self._tidying is None:
            self._tidying = job.answer.get_loop().call_later(TIDY_S, self._tidy)
        if job.answer.cancelled():
            return
        error = job.answer.exception()
        answer = None if error else job.answer.result()
        self._counters.add(f"answers_{answer.code}" if isinstance(answer, Problem) else "answers")

    def _tidy(self) -> None:
        self._tidying = None
        _trim()

    # --- the worker thread ---

    def _work(self) -> None:
        """Load, then round after round: let requests in, and each that may moves on by one step."""
        self._reload()
        while not self._stopping:
            if not self._let_in():
                self._unload()
                continue
            if self._law is None:
                self._reload()
            self._round()
        self._end(self._runs, Cancelled())

    def _let_in(self) -> bool:
        """Begin with jobs for which there is room now, waiting for one when nothing is under way; False when the model was
        idle for long enough to unload."""
        with self._lock:
            while not self._stopping:
                while len(self._turns) and self._has_room() and (job := self._turns.take()) is not None:
                    job.started = monotonic()
                    self._runs.append(_Run(job, self._served(job)))
                if self._runs:
                    break
                self._used.forget()
                may_unload = self._law is not None and self._idle_unload_s is not None
                if not self._lock.wait(self._idle_unload_s if may_unload else None) and not len(self._turns):
                    return False
            return True

    def _has_room(self) -> bool:
        """Whether the next request would move, with those under way or before them."""
        n_together = self._law.n_together if self._law is not None else 1
        movers = sorted(map(self._level, self._runs))[:n_together]
        new = _level(self._used.of(self._turns.next_client()))
        return len(movers) < n_together or (new < movers[-1] and len(self._runs) < MOST_UNDER_WAY)

    def _level(self, run: _Run) -> int:
        """Who is lower goes first: this is a request's own time, and that of its client lately.

        Whose deadline is near goes on in any case, so that it ends with what there is.
        """
        if monotonic() > run.job.deadline - LAST_CALL_S:
            return 0
        return _level(run.used_s + self._used.of(run.job.client))

    def _round(self) -> None:
        """Those whose turn it is go on to their next steps, and the law takes these together."""
        self._end([run for run in self._runs if run.job.cancelled()], Cancelled())
        law = self._law
        if law is None:
            assert self._failure is not None, "that is why"
            self._end(self._runs, self._failure)
            return
        # Where two had as much, who began first goes on.
        order = sorted((self._level(run), run.job.started, number) for number, run in enumerate(self._runs))
        runs = [(level, self._runs[number]) for level, _, number in order]
        alike = runs[0][0] + 1 if runs else 0  # had at most about twice as much as the first
        for level, run in runs[: law.n_together]:
            if run.step is None and level <= alike:
                self._resume(run)
        together: list[tuple[_Run, Step]] = []
        n_rows = 0
        for level, run in runs:
            if run.step is None or len(together) == law.n_together:
                continue
            # Who had more rides along where that costs the others nothing.
            rides = bool(together) and n_rows + len(run.step.tokens) <= law.free_rows
            if level <= alike or rides:
                together.append((run, run.step))
                n_rows += len(run.step.tokens)
        if together:
            self._pass(law, together)

    def _pass(self, law: Law, together: list[tuple[_Run, Step]]) -> None:
        """Take these steps at once, and let each of the requests go on."""
        began = perf_counter()
        try:
            drawn = law.step([step for _, step in together])
        # To each of them it is as if it had asked alone; the worker must live on for those that come next.
        except Exception as error:
            self._end([run for run, _ in together], error)
            return
        each_s = (perf_counter() - began) / len(together)
        for (run, _), draws in zip(together, drawn, strict=True):
            self._charge(run, each_s)
            self._resume(run, draws)
        if len(together) > 1:
            self._counters.add("steps_shared")

    def _end(self, runs: Sequence[_Run], error: Exception) -> None:
        for run in list(runs):
            self._resume(run, error)

    def _resume(self, run: _Run, given: list[Draws] | Exception | None = None) -> None:
        """Let a completion go on to where it waits next; with its end its answer is handed over."""
        began = perf_counter()
        result: Suggestions | Exception
        try:
            run.step = run.work.throw(given) if isinstance(given, Exception) else run.work.send(given)
            return
        except StopIteration as end:
            result = end.value
        # Carried over to the loop like the exception of a future: the worker must live on for the next request.
        except Exception as failure:
            result = failure
        finally:
            self._charge(run, perf_counter() - began)
        run.step = None
        with self._lock:
            # Before the answer leaves: who has it may ask for the status, and the model is idle now.
            self._runs.remove(run)
        self._hand_over(run.job, result)

    def _charge(self, run: _Run, seconds: float) -> None:
        run.used_s += seconds
        if not run.job.request.ahead:  # nobody else wanted the model
            self._used.add(run.job.client, seconds)

    async def _served(self, job: Job) -> Suggestions:
        assert self._law is not None, "nothing goes on without it"
        return await self._suggest(job, self._law)

    def _reload(self) -> None:
        """Load the law unless that failed a moment ago; what went wrong is kept for the requests that come."""
        if self._failure is not None and monotonic() < self._failed_at + RELOAD_AFTER_S:
            return
        self.state, self.loaded = "loading", 0.0
        start = monotonic()
        try:
            self._law = self._load(self._tell_loaded)
        except Exception as error:
            self._failure, self._failed_at = error, monotonic()
            self.state = f"failed: {error}"
            log.error("cannot load the model: %s", error)
            return
        self._failure = None
        self.state = "ready"
        log.info("model %s loaded in %.0f ms", self._law.name, (monotonic() - start) * 1000)

    def _tell_loaded(self, share: float) -> None:
        self.loaded = share

    def _unload(self) -> None:
        log.info("model unloaded after %s s without a request", self._idle_unload_s)
        self._counters.add("unloads")
        self._law = None
        _return_memory()
        self.state = "unloaded"

    def _hand_over(self, job: Job, result: Suggestions | Exception) -> None:
        assert self._loop is not None
        try:
            self._loop.call_soon_threadsafe(_resolve, job, result)
        except RuntimeError:  # the loop is closed: the engine ends, and so does whoever waited
            log.debug("an answer came after the end")


def _level(used_s: float) -> int:
    """0 below a quantum, and one more with each doubling from there."""
    return int(math.log2(used_s / QUANTUM_S)) + 1 if used_s >= QUANTUM_S else 0


def _return_memory() -> None:
    """Give what is free now back to the device and to the system; what imports and allocators keep is kept."""
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.empty_cache()
    _trim()


def _trim() -> None:
    """Give what the allocator has free back to the system."""
    with suppress(OSError, AttributeError):  # glibc only
        ctypes.CDLL(None).malloc_trim(0)


def _resolve(job: Job, result: Suggestions | Exception) -> None:
    """In the loop: the answer, unless the request was withdrawn and answered meanwhile."""
    if job.answer.done():
        return
    if isinstance(result, Exception):
        job.answer.set_exception(result)
    else:
        job.answer.set_result(result)
