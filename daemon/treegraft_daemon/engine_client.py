"""Find or start the engine; one connection, many requests.

The text of a document travels once; after that as the edit against what was sent last. An engine that dies fails the
requests under way at once, and `closed` says that the next one needs another connection.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import suppress
from hashlib import blake2b
from time import monotonic
from typing import TYPE_CHECKING

from treegraft_daemon.config import Multiline, Settings
from treegraft_daemon.endpoint import (
    Endpoint,
    check_folder,
    client_tls,
    endpoint_of,
    prepare_folder,
    read_token,
    resolved_model,
)
from treegraft_daemon.errors import (
    AccessDenied,
    BadInput,
    EngineFailed,
    EngineUnreachable,
    ModelBroken,
    ProtocolMismatch,
)
from treegraft_grammars.edits import common_ends
from treegraft_protocol.framing import BadFrame, FrameBuffer, decode_engine_message, encode
from treegraft_protocol.messages import (
    PROTOCOL_VERSION,
    Cancel,
    Close,
    Complete,
    Edit,
    EngineMessage,
    Hello,
    Message,
    Problem,
    Put,
    Sibling,
    Status,
    StatusReport,
    Stop,
    Suggestions,
    Tell,
    Welcome,
)

if TYPE_CHECKING:
    import ssl

START_S = 20.0  # a cold machine under load; usually half a second
HANDSHAKE_S = 5.0
MAX_DOCUMENTS = 32
# These answers are no failure: nothing to suggest, and why.
QUIET_CODES = frozenset({"cancelled", "superseded", "deadline", "loading", "stopping", "busy"})


async def connect(settings: Settings, *, start: bool) -> EngineClient:
    """A greeted connection to the engine of these settings.

    With `start` an engine of this machine is started when none answers. Raises EngineUnreachable, ProtocolMismatch,
    AccessDenied, or what is wrong with the settings.
    """
    endpoint = endpoint_of(settings)
    token = read_token(settings) if endpoint.host else ""
    tls = client_tls(settings) if endpoint.host else None
    try:
        return await _greeted(endpoint, token, tls)
    except EngineUnreachable:
        if not start or settings.engine_address:
            raise
    prepare_folder(endpoint.socket.parent)
    process = _start(settings, endpoint)
    give_up = monotonic() + START_S
    while monotonic() < give_up:
        with suppress(EngineUnreachable):
            return await _greeted(endpoint, token, tls)
        # A second starter loses the race for the lock and ends with 1; the winner's socket appears all the same.
        if process.poll() not in (None, 0, 1):
            break
        await asyncio.sleep(0.02)
    raise EngineUnreachable(f"the engine did not start; its log is {endpoint.log}")


def _start(settings: Settings, endpoint: Endpoint) -> subprocess.Popen[bytes]:
    """An engine that outlives us: in a session of its own, with its words in a log file beside its socket."""
    command = [
        *(sys.executable, "-m", "treegraft_daemon", "engine"),
        *("--model", resolved_model(settings.model)),
        *("--precision", settings.precision),
        "--copying" if settings.copying else "--no-copying",
        *("--idle-exit", str(settings.idle_exit_s)),
        *("--idle-unload", str(settings.idle_unload_s)),
        *("--metrics", settings.metrics_address),
    ]
    try:
        descriptor = os.open(endpoint.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    except OSError:
        descriptor = os.open(os.devnull, os.O_WRONLY)  # a full disk costs the log, not the engine
    with open(descriptor, "wb") as log:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            cwd="/",
        )


async def _greeted(endpoint: Endpoint, token: str, tls: ssl.SSLContext | None) -> EngineClient:
    try:
        if endpoint.host:
            connecting = asyncio.open_connection(endpoint.host, endpoint.port, ssl=tls)
            reader, writer = await asyncio.wait_for(connecting, HANDSHAKE_S)
        else:
            check_folder(endpoint.socket.parent)
            reader, writer = await asyncio.open_unix_connection(str(endpoint.socket))
    except (OSError, TimeoutError) as error:
        detail = f": {error.verify_message}" if hasattr(error, "verify_message") else ""  # a certificate's
        raise EngineUnreachable(f"no engine answers at {endpoint}{detail}") from error
    client = EngineClient(reader, writer)
    try:
        await client.greet(token)
    except BaseException:
        await client.close()
        raise
    return client


class EngineClient:
    """One connection. Requests may overlap; cancelling an await withdraws its request."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.welcome: Welcome | None = None
        self._reader = reader
        self._writer = writer
        self._frames = FrameBuffer()
        self._last_id = 0
        self._waiting: dict[int, asyncio.Future[EngineMessage]] = {}
        self._greeting: asyncio.Future[EngineMessage] = asyncio.get_running_loop().create_future()
        self._sent: OrderedDict[str, tuple[int, bytes]] = OrderedDict()
        self._put: set[bytes] = set()
        self._listener = asyncio.create_task(self._listen())

    @property
    def closed(self) -> bool:
        """The connection has ended."""
        return self._listener.done()

    async def greet(self, token: str) -> None:
        """Exchange Hello and Welcome. Raises ProtocolMismatch, AccessDenied or EngineUnreachable."""
        self._send(Hello(protocol=PROTOCOL_VERSION, client=f"python {os.getpid()}", token=token))
        try:
            answer = await asyncio.wait_for(self._greeting, HANDSHAKE_S)
        except (TimeoutError, EngineFailed) as error:
            raise EngineUnreachable("the engine did not return the greeting") from error
        if isinstance(answer, Problem) and answer.code == "protocol":
            raise ProtocolMismatch(f'{answer.text}; restart it with "treegraft stop"')
        if isinstance(answer, Problem):
            raise AccessDenied(f"the engine refused us: {answer.text}")
        assert isinstance(answer, Welcome)
        self.welcome = answer

    async def complete(
        self,
        *,
        document: str,
        path: str,
        language: str | None,
        text: bytes,
        offset: int,
        siblings: Sequence[tuple[str, bytes]] = (),
        n: int = 1,
        max_tokens: int = 48,
        temperature: float = 0.0,
        seed: int = 0,
        constraint: bool = True,
        multiline: Multiline = "never",
        indent: str = "",
        min_probability: float = 0.0,
        ahead: bool = False,
        deadline_ms: int = 5000,
    ) -> Suggestions:
        """Suggestions at byte `offset` of `text`, siblings as (path, text).

        Empty with a reason when the engine was too late or busy with a newer request. Raises EngineFailed when the
        engine died, ModelBroken when it has no model, BadInput when it cannot use the request.
        """
        for attempt in range(2):
            known = self._sent.get(document) if attempt == 0 else None
            version = known[0] + 1 if known else 1
            if attempt:
                self._put.clear()
            request = Complete(
                id=self._next_id(),
                document=document,
                version=version,
                offset=offset,
                path=path,
                language=language,
                text=None if known else text,
                edit=_edit(known[0], known[1], text) if known else None,
                siblings=tuple(Sibling(name, self._put_once(data)) for name, data in siblings),
                n=n,
                max_tokens=max_tokens,
                temperature=temperature,
                seed=seed,
                constraint=constraint,
                multiline=multiline,
                indent=indent,
                min_probability=min_probability,
                ahead=ahead,
                deadline_ms=deadline_ms,
            )
            self._sent[document] = (version, text)
            self._sent.move_to_end(document)
            if len(self._sent) > MAX_DOCUMENTS:
                forgotten, _ = self._sent.popitem(last=False)
                self._send(Close(document=forgotten))
            answer = await self._ask(request, request.id)
            if isinstance(answer, Problem) and answer.code in ("stale_base", "unknown_digest") and attempt == 0:
                continue
            break
        if isinstance(answer, Suggestions):
            return answer
        assert isinstance(answer, Problem), answer
        if answer.code in QUIET_CODES:
            return Suggestions(id=request.id, items=(), constrained=constraint, reason=answer.code)
        self._sent.pop(document, None)
        if answer.code == "model":
            raise ModelBroken(answer.text)
        if answer.code in ("bad_message", "too_large"):
            raise BadInput(answer.text)
        raise EngineFailed(f"the engine could not complete: {answer.text}")

    def tell(self, counts: dict[str, int], latencies_ms: dict[str, list[float]]) -> None:
        """What happened in the editor since the last time, for the engine's statistics."""
        self._send(Tell(counts=counts, latencies_ms={stage: tuple(values) for stage, values in latencies_ms.items()}))

    async def status(self) -> StatusReport:
        """What the engine is doing. Raises EngineFailed when it does not answer."""
        answer = await self._ask(Status(id=(id := self._next_id())), id, timeout_s=HANDSHAKE_S)
        assert isinstance(answer, StatusReport), answer
        return answer

    async def stop(self) -> None:
        """End the engine and wait until it has hung up."""
        await self._ask(Stop(id=(id := self._next_id())), id, timeout_s=HANDSHAKE_S)
        with suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(self._listener), HANDSHAKE_S)

    def forget(self, document: str) -> None:
        """The document was closed."""
        if self._sent.pop(document, None) is not None:
            self._send(Close(document=document))

    async def close(self) -> None:
        """Hang up; requests under way fail."""
        self._writer.close()
        self._listener.cancel()
        with suppress(ConnectionError, TimeoutError, asyncio.CancelledError):
            await self._listener

    async def _ask(self, message: Message, id: int, timeout_s: float | None = None) -> EngineMessage:
        if self.closed:
            raise EngineFailed("the engine has gone")
        answer: asyncio.Future[EngineMessage] = asyncio.get_running_loop().create_future()
        self._waiting[id] = answer
        self._send(message)
        try:
            return await asyncio.wait_for(answer, timeout_s)
        except asyncio.CancelledError:
            if isinstance(message, Complete):
                self._send(Cancel(id=id))
            raise
        except TimeoutError:
            raise EngineFailed("the engine does not answer") from None
        finally:
            self._waiting.pop(id, None)

    def _put_once(self, text: bytes) -> bytes:
        digest = blake2b(text, digest_size=16).digest()
        if digest not in self._put:
            self._send(Put(digest=digest, text=text))
            self._put.add(digest)
        return digest

    def _next_id(self) -> int:
        self._last_id += 1
        return self._last_id

    def _send(self, message: Message) -> None:
        if not self._writer.is_closing():
            self._writer.write(encode(message))

    async def _listen(self) -> None:
        """Hand each answer to who waits for it; when the engine is gone, fail them all."""
        try:
            while data := await self._reader.read(1 << 16):
                for payload in self._frames.feed(data):
                    self._receive(decode_engine_message(payload))
        except (OSError, BadFrame):
            pass  # what waits is told below
        finally:
            self._writer.close()
            for answer in [self._greeting, *self._waiting.values()]:
                if not answer.done():
                    answer.set_exception(EngineFailed("the engine died or hung up while a request ran"))
            if not self._greeting.cancelled():
                self._greeting.exception()  # looked at, so that nobody is warned about a greeting nobody awaits

    def _receive(self, message: EngineMessage) -> None:
        if not self._greeting.done():
            self._greeting.set_result(message)
            return
        id = None if isinstance(message, Welcome) else message.id
        answer = self._waiting.get(id) if id is not None else None
        if answer is not None and not answer.done():
            answer.set_result(message)


def _edit(base: int, old: bytes, new: bytes) -> Edit:
    """The smallest single replacement that turns `old` into `new`."""
    start, n_tail = common_ends(old, new)
    return Edit(base=base, start=start, end=len(old) - n_tail, data=new[start : len(new) - n_tail])
