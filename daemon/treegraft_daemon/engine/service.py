"""The engine's socket: greet, route, notice the dead. One engine per user and model.

Every Complete gets exactly one reply. A client that hangs up takes its requests with it; a frame that is no message
costs one Problem. Knows messages and documents; what a completion is, only the scheduler's worker knows.
"""

from __future__ import annotations

import asyncio
import faulthandler
import fcntl
import hmac
import logging
import os
import signal
import socket
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic

from treegraft_daemon import __version__
from treegraft_daemon.config import MAX_DOCUMENT_BYTES, Settings
from treegraft_daemon.endpoint import (
    Endpoint,
    endpoint_of,
    host_and_port,
    make_token,
    prepare_folder,
    read_token,
    server_tls,
)
from treegraft_daemon.engine import completion, metrics
from treegraft_daemon.engine.model.law import Context, Law, OpenFile, Progress
from treegraft_daemon.engine.scheduler import Dispatcher, Job, Scheduler, Suggest
from treegraft_daemon.errors import EngineBusy, EngineError, ModelError, os_reason
from treegraft_daemon.telemetry import Counters, Latencies, set_up_logging
from treegraft_protocol.framing import (
    HELLO_FRAME_BYTES,
    MAX_FRAME_BYTES,
    BadFrame,
    FrameBuffer,
    FrameTooLarge,
    decode_client_message,
    encode,
)
from treegraft_protocol.messages import (
    PROTOCOL_VERSION,
    Cancel,
    ClientMessage,
    Close,
    Complete,
    Hello,
    Message,
    Problem,
    Put,
    Status,
    StatusReport,
    Stop,
    Suggestions,
    Tell,
    Welcome,
    stages_ms,
)

log = logging.getLogger(__name__)

# Texts of siblings that one connection may keep here.
MAX_PUT_BYTES = 32 * 2**20
MAX_DOCUMENTS = 64
# A client that connects and says nothing is let go.
GREETING_S = 10.0
# Longer than any one call holds the interpreter, unless it never returns.
FROZEN_S = 60.0


def run(settings: Settings, law_factory: Callable[[Progress], Law], suggest: Suggest | None = None) -> int:
    """Serve with a model in this process until told to stop, idle for `settings.idle_exit_s` or signalled; the exit code.

    Raises EngineBusy when another engine serves this user and model, EngineError when the socket cannot be made.
    """
    counters, latencies = Counters(), Latencies()
    scheduler = Scheduler(
        law_factory,
        suggest or suggester(counters, latencies),
        counters=counters,
        idle_unload_s=settings.idle_unload_s,
    )
    return listen(settings, scheduler, counters, latencies)


def listen(settings: Settings, dispatcher: Dispatcher, counters: Counters, latencies: Latencies) -> int:
    """Serve, with answers from `dispatcher`; ends and raises like `run`."""
    endpoint = endpoint_of(settings)
    prepare_folder(endpoint.socket.parent)
    set_up_logging(settings.log_level, settings.log_file)
    if endpoint.host and settings.token_file:
        make_token(settings)
    token = read_token(settings) if endpoint.host else ""
    lock = _take_lock(endpoint)
    try:
        return asyncio.run(Service(settings, endpoint, token, dispatcher, counters, latencies).serve())
    finally:
        os.close(lock)


def suggester(counters: Counters, latencies: Latencies) -> Suggest:
    """What a worker runs for each request, counted and timed."""

    async def suggest(job: Job, law: Law) -> Suggestions:
        found = await completion.suggest(
            job.request,
            job.context,
            law,
            cancelled=job.cancelled,
            counters=counters,
            queue_ms=(job.started - job.arrived) * 1000,
        )
        counters.add("tokens_written", found.timings.n_steps)
        if job.cancelled():
            counters.add("tokens_wasted_by_cancel", found.timings.n_steps)
        else:
            for stage, ms in stages_ms(found.timings).items():
                latencies.add(stage, ms)
        log.debug("request %d: %d found in %.1f ms", job.request.id, len(found.items), found.timings.total_ms)
        return found

    return suggest


def as_problem(id: int, error: BaseException) -> Problem:
    """What a client is told when its request raised; an error that is not the model's is logged."""
    if isinstance(error, ModelError):
        return Problem(id=id, code="model", text=str(error))
    log.error("request %d failed: %s", id, type(error).__name__, exc_info=error)
    return Problem(id=id, code="internal", text=f"{type(error).__name__}: {error}")


def _take_lock(endpoint: Endpoint) -> int:
    """The descriptor that holds the lock of this engine; the system lets go of it however we end."""
    try:
        descriptor = os.open(endpoint.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise EngineError(f"cannot write {endpoint.lock}: {os_reason(error)}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        message = f'an engine already serves {endpoint.socket}; "treegraft stop" ends it'
        raise EngineBusy(message) from None
    return descriptor


class Service:
    """The listening engine; everything in it belongs to one event loop."""

    def __init__(
        self,
        settings: Settings,
        endpoint: Endpoint,
        token: str,
        dispatcher: Dispatcher,
        counters: Counters,
        latencies: Latencies,
    ) -> None:
        self.settings = settings
        self.endpoint = endpoint
        self.token = token
        self.dispatcher = dispatcher
        self.counters = counters
        self.latencies = latencies
        self.connections: set[Connection] = set()
        self.ended = asyncio.Event()
        self._started = monotonic()
        self._last_client = monotonic()

    async def serve(self) -> int:
        """Listen, and end in order."""
        loop = asyncio.get_running_loop()
        for name in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(name, self.ended.set)
        servers = await self._listen()
        self.dispatcher.start()
        idle = asyncio.create_task(self._watch_idleness())
        frozen = asyncio.create_task(watch_interpreter())
        log.info("engine of model %s listens at %s", self.settings.model, self.endpoint)
        await self.ended.wait()
        idle.cancel()
        for server in servers:
            server.close()
        await self.dispatcher.stop()
        frozen.cancel()
        await asyncio.sleep(0)  # answers that were just made go out before their connections
        for connection in list(self.connections):
            await connection.close()
        self.endpoint.socket.unlink(missing_ok=True)
        log.info("engine ended")
        return 0

    async def _listen(self) -> list[asyncio.Server]:
        path = self.endpoint.socket
        try:
            path.unlink(missing_ok=True)  # we hold the lock, so whoever left it is dead
            before = os.umask(0o177)
            try:
                servers = [await asyncio.start_unix_server(self._connected_here, str(path), backlog=128)]
            finally:
                os.umask(before)
            if self.endpoint.host:
                host, port, tls = self.endpoint.host, self.endpoint.port, server_tls(self.settings)
                servers.append(await asyncio.start_server(self._connected_far, host, port, ssl=tls))
        except OSError as error:
            raise EngineError(f"cannot listen at {self.endpoint}: {os_reason(error)}") from error
        if self.settings.metrics_address and (server := await self._serve_metrics()):
            servers.append(server)
        return servers

    async def _serve_metrics(self) -> asyncio.Server | None:
        """The page for Prometheus; without it, but for a line in the log, when its address cannot be had."""
        address = self.settings.metrics_address
        try:
            place = host_and_port(address)
            if place is not None:
                return await metrics.serve(*place, lambda: self.report(0))
            log.warning("metrics address %r is not HOST:PORT: no metrics", address)
        except OSError as problem:
            log.warning("no metrics at %s: %s", address, os_reason(problem))
        return None

    async def _connected_here(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._connected(reader, writer, "" if _is_ours(writer) else None)

    async def _connected_far(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._connected(reader, writer, self.token)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, token: str | None) -> None:
        connection = Connection(self, reader, writer, token)
        self.connections.add(connection)
        try:
            await connection.converse()
        finally:
            self.connections.discard(connection)
            self._last_client = monotonic()
            await connection.close()

    async def _watch_idleness(self) -> None:
        limit_s = self.settings.idle_exit_s
        while limit_s:
            await asyncio.sleep(min(1.0, limit_s / 4))
            if not self.connections and monotonic() - self._last_client > limit_s:
                log.info("no client for %d s", limit_s)
                self.ended.set()
                return

    def report(self, id: int) -> StatusReport:
        """What `treegraft status` shows."""
        return StatusReport(
            id=id,
            pid=os.getpid(),
            version=__version__,
            model=self.settings.model,
            state=self.dispatcher.state,
            uptime_s=monotonic() - self._started,
            clients=sum(connection.greeted for connection in self.connections),
            documents=sum(len(connection.documents) for connection in self.connections),
            queued=self.dispatcher.queued(),
            running=self.dispatcher.running(),
            counters=self.counters.snapshot(),
            latencies_ms=self.latencies.snapshot(),
            loaded=self.dispatcher.loaded,
            replicas=self.dispatcher.replicas(),
        )


@dataclass(frozen=True, slots=True)
class Document:
    """A document as one client sent it last."""

    version: int
    text: bytes


class _Refused(Exception):
    """A request that cannot be served as it is; becomes the Problem that answers it."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text


class Connection:
    """One client: its documents, the siblings it put here, its requests under way."""

    def __init__(
        self, service: Service, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, token: str | None
    ) -> None:
        self.documents: OrderedDict[str, Document] = OrderedDict()
        self.greeted = False
        self._service = service
        self._reader = reader
        self._writer = writer
        self._token = token  # None: nobody may in
        self._puts: OrderedDict[bytes, bytes] = OrderedDict()
        self._jobs: dict[int, Job] = {}

    async def converse(self) -> None:
        """Read messages until the client hangs up or loses its right to speak."""
        frames = FrameBuffer(HELLO_FRAME_BYTES)
        goes_on = True
        with suppress(ConnectionError, TimeoutError):
            while goes_on:
                async with asyncio.timeout(None if self.greeted else GREETING_S):
                    data = await self._reader.read(1 << 16)
                if not data:
                    break
                goes_on = self._feed(frames, data)
                await self._writer.drain()  # a client that does not read is not read either

    def _feed(self, frames: FrameBuffer, data: bytes) -> bool:
        """Handle what is whole now; False when the connection must end."""
        try:
            for payload in frames.feed(data):
                try:
                    if not self._receive(decode_client_message(payload)):
                        return False
                except BadFrame as problem:
                    self._service.counters.add("bad_frames")
                    log.warning("a client sent what is no message: %s", problem.text)
                    self._send(Problem(id=problem.id, code=problem.code, text=problem.text))
                if self.greeted:
                    frames.limit = MAX_FRAME_BYTES
        except FrameTooLarge as problem:
            self._send(Problem(id=None, code=problem.code, text=problem.text))
            return False
        return True

    async def close(self) -> None:
        """Withdraw what is under way and hang up."""
        for job in list(self._jobs.values()):
            self._service.dispatcher.withdraw(job)
        self._jobs.clear()
        with suppress(ConnectionError, TimeoutError):
            self._writer.close()
            await asyncio.wait_for(self._writer.wait_closed(), 1)

    def _receive(self, message: ClientMessage) -> bool:
        if not self.greeted:
            return self._greet(message)
        match message:
            case Hello():
                self._send(Problem(id=None, code="bad_message", text="this connection was greeted before"))
            case Put(digest=digest, text=text):
                self._keep(digest, text)
            case Complete():
                self._complete(message)
            case Cancel(id=id):
                if id in self._jobs:
                    self._service.dispatcher.withdraw(self._jobs[id])
            case Close(document=name):
                self.documents.pop(name, None)
            case Tell(counts=counts, latencies_ms=latencies_ms):
                for name, n in counts.items():
                    self._service.counters.add(f"editor_{name}", n)
                for stage, values in latencies_ms.items():
                    for ms in values:
                        self._service.latencies.add(f"editor_{stage}", ms)
            case Status(id=id):
                self._send(self._service.report(id))
            case Stop(id=id):
                self._send(self._service.report(id))
                self._service.ended.set()
        return True

    def _greet(self, message: ClientMessage) -> bool:
        if not isinstance(message, Hello):
            self._send(Problem(id=None, code="protocol", text="the first message must be Hello"))
            return False
        if message.protocol != PROTOCOL_VERSION:
            text = f"this engine speaks protocol {PROTOCOL_VERSION}, the client {message.protocol}"
            self._send(Problem(id=None, code="protocol", text=text))
            return False
        known = self._token is not None and hmac.compare_digest(message.token.encode(), self._token.encode())
        if not known and self._token != "":  # "": the rights of the socket have let them in
            log.warning("a client with a wrong token was refused")
            self._send(Problem(id=None, code="access", text="wrong token"))
            return False
        self.greeted = True
        model = self._service.settings.model
        self._send(Welcome(protocol=PROTOCOL_VERSION, pid=os.getpid(), version=__version__, model=model))
        return True

    def _keep(self, digest: bytes, text: bytes) -> None:
        self._puts[digest] = text
        self._puts.move_to_end(digest)
        while sum(map(len, self._puts.values())) > MAX_PUT_BYTES and len(self._puts) > 1:
            self._puts.popitem(last=False)

    def _complete(self, request: Complete) -> None:
        if request.id in self._jobs:
            self._send(Problem(id=request.id, code="bad_message", text="this id is already under way"))
            return
        try:
            context = self._context(request)
        except _Refused as refused:
            self._send(Problem(id=request.id, code=refused.code, text=refused.text))
            return
        job = self._service.dispatcher.enter(self, request, context)
        self._jobs[request.id] = job
        job.answer.add_done_callback(lambda answer: self._answer(request.id, answer))
        if job.answer.done():  # refused at the door
            self._jobs.pop(request.id, None)

    def _answer(self, id: int, answer: asyncio.Future[Suggestions | Problem]) -> None:
        self._jobs.pop(id, None)
        error = answer.exception()
        if error is None:
            self._send(answer.result())
        else:
            self._send(as_problem(id, error))

    def _context(self, request: Complete) -> Context:
        text = self._text(request)
        if len(text) > MAX_DOCUMENT_BYTES:
            raise _Refused("too_large", f"a document of {len(text)} bytes is above the bound of {MAX_DOCUMENT_BYTES}")
        self.documents[request.document] = Document(request.version, text)
        self.documents.move_to_end(request.document)
        if len(self.documents) > MAX_DOCUMENTS:
            self.documents.popitem(last=False)
        if request.offset > len(text):
            raise _Refused("bad_message", f"offset {request.offset} is behind the end of the text ({len(text)})")
        siblings = []
        for sibling in request.siblings:
            if sibling.digest not in self._puts:
                raise _Refused("unknown_digest", f"the text of {os.path.basename(sibling.path)} is not here")
            siblings.append(OpenFile(sibling.path, self._puts[sibling.digest]))
        return Context(
            document=f"{id(self)}:{request.document}",
            path=request.path,
            language=request.language or "",
            prefix=text[: request.offset],
            suffix=text[request.offset :],
            siblings=tuple(siblings),
        )

    def _text(self, request: Complete) -> bytes:
        if (request.text is None) == (request.edit is None):
            raise _Refused("bad_message", "exactly one of text and edit must be set")
        if request.text is not None:
            return request.text
        edit = request.edit
        assert edit is not None
        known = self.documents.get(request.document)
        if known is None or known.version != edit.base:
            raise _Refused("stale_base", "the base of this edit is not here: send the whole text")
        if not edit.start <= edit.end <= len(known.text):
            raise _Refused("bad_message", "the edit lies outside the text")
        return known.text[: edit.start] + edit.data + known.text[edit.end :]

    def _send(self, message: Message) -> None:
        if not self._writer.is_closing():
            self._writer.write(encode(message))


async def watch_interpreter() -> None:
    """End the process, with what it was at on stderr, when for FROZEN_S none of its threads got to run.

    A grammar's scanner that never returns holds the interpreter: no thread could answer or stop it. Once the process is
    gone those who wait are answered, and the next request starts another.
    """
    try:
        while True:
            faulthandler.dump_traceback_later(FROZEN_S, exit=True)
            await asyncio.sleep(FROZEN_S / 6)
    finally:
        faulthandler.cancel_dump_traceback_later()


def _is_ours(writer: asyncio.StreamWriter) -> bool:
    """Whether the peer of a unix socket is this user or root; where the system cannot tell, the folder's rights do."""
    peer = writer.get_extra_info("socket")
    if not hasattr(socket, "SO_PEERCRED") or peer is None:
        return True
    credentials = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    return int.from_bytes(credentials[4:8], "little") in (os.getuid(), 0)
