"""The engine on a Ray cluster: one address in front, behind it replicas of the scheduler that serves one machine.

The front is the engine's own service; it keeps no model, and hands each request, with all that it reads, to the replica
that served the document before (consistent hashing over client and document). Ray is imported here and nowhere else.
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import signal
import socket
import sys
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from dataclasses import replace as replace_fields
from pathlib import Path
from time import monotonic
from typing import Any

# Read by Ray while it is imported. Nothing is told to anybody; and nothing here blocks a loop, so none needs a thread.
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_SERVE_THROUGHPUT_OPTIMIZED", "1")
# `ray start` asks for the user's token once there is one; who connects shows it only when told to.
if Path("~/.ray/auth_token").expanduser().exists():
    os.environ.setdefault("RAY_AUTH_MODE", "token")

import ray
from msgspec.structs import replace
from ray import serve
from ray.exceptions import RayError
from ray.serve.config import RequestRouterConfig
from ray.util.metrics import Counter, Histogram

from treegraft_daemon.config import Settings
from treegraft_daemon.endpoint import host_and_port
from treegraft_daemon.engine import service
from treegraft_daemon.engine.model.law import Context
from treegraft_daemon.engine.model.loading import load
from treegraft_daemon.engine.scheduler import GRACE_S, MAX_WAITING_PER_CLIENT, Job, Scheduler
from treegraft_daemon.errors import EngineError, ModelError
from treegraft_daemon.telemetry import Counters, Latencies, set_up_logging
from treegraft_protocol.messages import Complete, Problem, ReplicaReport, Suggestions

log = logging.getLogger(__name__)

APPLICATION = "treegraft"
ROUTER = "ray.serve.experimental.consistent_hash_router:ConsistentHashRouter"
# Each replica has a queue of its own, which is fair and knows deadlines: Ray's may hold little back.
MAX_ONGOING = 256
# What "auto" aims at: beyond it another replica is started.
TARGET_ONGOING = 2.0
CONNECT_S = 5.0
RECENT_S = 600.0
# A replica that answered nothing for so long may be gone.
FORGOTTEN_S = 60.0
COMPLETION_MS = [10.0, 20.0, 50.0, 100.0, 150.0, 200.0, 300.0, 500.0, 1000.0, 2000.0, 5000.0]


@dataclass(frozen=True, slots=True)
class Shape:
    """How many replicas, and of what. `address` is that of a running Ray cluster; "" starts one on this machine."""

    address: str = ""
    least: int = 1
    most: int = 1  # above `least`: as many as the requests under way ask for
    gpus: float = 0.0


class Replica:
    """One copy of the model, with the scheduler that owns it. Lives in a process of Ray's."""

    async def __init__(self, settings: Settings) -> None:  # type: ignore[misc]  # Ray awaits it
        set_up_logging(settings.log_level)
        self._counters, self._latencies = Counters(), Latencies()
        self._scheduler = Scheduler(
            lambda tell: load(settings.model, tell, settings.copying, settings.precision),
            service.suggester(self._counters, self._latencies),
            counters=self._counters,
            idle_unload_s=0,  # a cluster lets go of whole replicas
        )
        self._name = serve.get_replica_context().replica_id.unique_id
        self._served: OrderedDict[str, float] = OrderedDict()
        self._answers = Counter("treegraft_answers", "answers by kind", tag_keys=("kind",))
        self._completion_ms = Histogram("treegraft_completion_ms", "arrival to answer", boundaries=COMPLETION_MS)
        self._scheduler.start()
        while self._scheduler.state == "loading":  # no request comes before the model is there
            await asyncio.sleep(0.02)
        if self._scheduler.state != "ready":
            raise ModelError(self._scheduler.state.removeprefix("failed: "))

    async def complete(
        self, client: str, request: Complete, context: Context
    ) -> tuple[Suggestions | Problem, ReplicaReport]:
        """The one answer to a request, and how this replica stands. Cancelled, it frees the model within one step."""
        start = monotonic()
        job = self._scheduler.enter(client, request, context)
        answer: Suggestions | Problem
        try:
            answer = await job.answer
        except asyncio.CancelledError:
            self._scheduler.withdraw(job)
            self._answers.inc(tags={"kind": "cancelled"})
            raise
        except Exception as error:
            answer = service.as_problem(request.id, error)
        self._answers.inc(tags={"kind": answer.code if isinstance(answer, Problem) else "suggestions"})
        self._completion_ms.observe((monotonic() - start) * 1000)
        self._served[context.document] = monotonic()
        self._served.move_to_end(context.document)
        return answer, self._report()

    def _report(self) -> ReplicaReport:
        while self._served and next(iter(self._served.values())) < monotonic() - RECENT_S:
            self._served.popitem(last=False)
        torch = sys.modules.get("torch")
        return ReplicaReport(
            name=self._name,
            host=socket.gethostname(),
            pid=os.getpid(),
            state=self._scheduler.state,
            queued=self._scheduler.queued(),
            running=self._scheduler.running(),
            documents=len(self._served),
            gpu_bytes=torch.cuda.memory_allocated() if torch and torch.cuda.is_initialized() else 0,
        )


class Pool:
    """The replicas, as a dispatcher of the engine's service."""

    def __init__(self, handle: Any, counters: Counters, renew: Callable[[], object]) -> None:
        self._handle = handle
        self._name = secrets.token_hex(4)  # to replicas that outlive a front, the next one is another client
        self._counters = counters
        self._renew = renew
        self._renewal: asyncio.Task[None] | None = None
        self._jobs: dict[Hashable, dict[int, Job]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._reports: dict[str, tuple[ReplicaReport, float]] = {}
        self._stopping = False
        self.state = "ready"
        self.loaded = 0.0

    def start(self) -> None:
        """The replicas run already; SIGHUP replaces them one by one, by what is on disk then."""
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self._replace_all)

    def _replace_all(self) -> None:
        if self._renewal is None or self._renewal.done():
            self._renewal = asyncio.create_task(self._replace())

    async def _replace(self) -> None:
        log.info("replacing all replicas, one after the other")
        try:
            await asyncio.to_thread(self._renew)
            log.info("all replicas are replaced")
        except (RayError, RuntimeError) as problem:
            log.error("the replicas could not be replaced: %s", str(problem).splitlines()[0])

    async def stop(self) -> None:
        """Answer all requests as stopping."""
        self._stopping = True
        for job in [job for jobs in self._jobs.values() for job in jobs.values()]:
            job.withdraw("stopping", "the engine is stopping")
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=1)

    def enter(self, client: Hashable, request: Complete, context: Context) -> Job:
        """Send a request to the replica of its document; an elder one of the same document is superseded."""
        job = Job(client, request, context)
        self._counters.add("requests")
        jobs = self._jobs.setdefault(client, {})
        for elder in list(jobs.values()):
            if elder.request.document == request.document:
                elder.withdraw("superseded", "a newer request of this document came")
        if self._stopping:
            job.withdraw("stopping", "the engine is stopping")
        elif len(jobs) >= MAX_WAITING_PER_CLIENT:
            job.withdraw("busy", f"{MAX_WAITING_PER_CLIENT} requests wait already")
        else:
            jobs[request.id] = job
            self._send(job)
        job.answer.add_done_callback(lambda _: self._answered(job))
        return job

    def withdraw(self, job: Job) -> None:
        """Answer a request now; its replica is free within one decode step."""
        job.withdraw("cancelled", "the request was cancelled")

    def queued(self) -> int:
        """How many requests are under way."""
        return sum(map(len, self._jobs.values()))

    def running(self) -> int:
        """How many replicas worked on a request when they answered last."""
        return sum(report.running for report in self.replicas())

    def replicas(self) -> tuple[ReplicaReport, ...]:
        """How those stand that answered lately, and how long ago."""
        now = monotonic()
        self._reports = {name: it for name, it in self._reports.items() if now - it[1] < FORGOTTEN_S}
        return tuple(replace(report, age_s=now - seen) for report, seen in self._reports.values())

    def _send(self, job: Job) -> None:
        loop = asyncio.get_running_loop()
        task = loop.create_task(self._ask(job))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        # The replica answers for what is overdue; this is for one that does not answer at all.
        overdue = job.deadline + 2 * GRACE_S - monotonic()
        late = f"no answer within {job.request.deadline_ms} ms"
        timer = loop.call_later(overdue, job.withdraw, "deadline", late)

        def end(_: object) -> None:
            timer.cancel()
            task.cancel()

        job.answer.add_done_callback(end)

    async def _ask(self, job: Job) -> None:
        """Bring a request to its replica and the answer back; what is withdrawn meanwhile is cancelled there."""
        # The context holds every text already. The deadline is that of the client: what it waited is gone.
        left_ms = max(0, int((job.deadline - monotonic()) * 1000))
        request = replace(job.request, text=None, edit=None, siblings=(), deadline_ms=left_ms)
        context = replace_fields(job.context, document=f"{self._name}:{job.context.document}")
        ask = self._handle.options(session_id=context.document).complete
        response = ask.remote(f"{self._name}:{hash(job.client)}", request, context)
        try:
            answer, report = await response
        except asyncio.CancelledError:
            response.cancel()
            return
        except RayError as problem:
            # A replica that dies takes the request with it: an empty answer, and the next goes elsewhere.
            log.warning("request %d was lost with its replica: %s", job.request.id, type(problem).__name__)
            self._counters.add("lost_with_a_replica")
            answer, report = Suggestions(id=job.request.id, items=(), constrained=False, reason="replica lost"), None
        except Exception as problem:
            answer, report = service.as_problem(job.request.id, problem), None
        if report is not None:
            self._reports[report.name] = (report, monotonic())
        if not job.answer.done():
            job.answer.set_result(answer)

    def _answered(self, job: Job) -> None:
        jobs = self._jobs.get(job.client, {})
        if jobs.get(job.request.id) is job:
            del jobs[job.request.id]
            if not jobs:
                self._jobs.pop(job.client, None)
        answer = job.answer.result()
        self._counters.add(f"answers_{answer.code}" if isinstance(answer, Problem) else "answers")


def run(settings: Settings, shape: Shape) -> int:
    """Start the replicas, serve in front of them until told to stop, and end them; the exit code.

    Raises EngineError when there is no cluster at the address or it cannot start the replicas, and what `listen` raises.
    """
    counters, latencies = Counters(), Latencies()
    with _replicas(settings, shape) as deploy:
        return service.listen(settings, Pool(deploy(), counters, deploy), counters, latencies)


@contextmanager
def _replicas(settings: Settings, shape: Shape) -> Iterator[Callable[[], Any]]:
    """What starts the replicas, or replaces them, and returns a handle; they end with the block."""
    where = shape.address or "this machine"

    def deploy() -> Any:
        return serve.run(_deployment(settings, shape), name=APPLICATION, route_prefix=None)

    print(f"treegraft: starting replicas on {where} ...", file=sys.stderr, flush=True)
    try:
        if (place := host_and_port(shape.address)) is not None:
            socket.create_connection(place, CONNECT_S).close()  # Ray itself tries for minutes
        ray.init(shape.address or "local", log_to_driver=False, logging_level=logging.WARNING, namespace=APPLICATION)
        yield deploy
    except (RayError, RuntimeError, OSError, ValueError) as problem:
        raise EngineError(f"cannot start replicas on {where}: {_why(problem)}") from problem
    finally:
        if ray.is_initialized():
            if shape.address:
                serve.delete(APPLICATION)
            ray.shutdown()  # and with it the cluster that was started for the replicas


def _why(problem: Exception) -> str:
    """What went wrong, in a line: what a replica raised, if it was one."""
    raised = ""
    if ray.is_initialized():  # asking would start one
        with suppress(RayError, RuntimeError, KeyError):
            raised = serve.status().applications[APPLICATION].deployments["engine"].message
    lines = [line for line in raised.splitlines() if ModelError.__name__ in line]
    return lines[-1].rpartition(f"{ModelError.__name__}: ")[2] if lines else str(problem).splitlines()[0]


def _deployment(settings: Settings, shape: Shape) -> Any:
    is_fixed = shape.most <= shape.least
    scaling = {
        "min_replicas": shape.least,
        "max_replicas": shape.most,
        "target_ongoing_requests": TARGET_ONGOING,
        "upscale_delay_s": 5,
        "downscale_delay_s": 120,
    }
    deployment = serve.deployment(
        Replica,
        name="engine",
        num_replicas=shape.least if is_fixed else None,
        autoscaling_config=None if is_fixed else scaling,
        max_ongoing_requests=MAX_ONGOING,
        ray_actor_options={"num_cpus": 1, "num_gpus": shape.gpus},
        request_router_config=RequestRouterConfig(request_router_class=ROUTER),
        graceful_shutdown_timeout_s=10,
    )
    return deployment.bind(settings)
