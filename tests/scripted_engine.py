"""An engine whose answers are written by the test. The fake is in the answers: the socket and the wire are real."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path

from treegraft_protocol.framing import FrameBuffer, decode_client_message, encode
from treegraft_protocol.messages import (
    PROTOCOL_VERSION,
    Cancel,
    Close,
    Complete,
    Hello,
    Message,
    Problem,
    Put,
    Status,
    StatusReport,
    Stop,
    Suggestion,
    Suggestions,
    Tell,
    Welcome,
)


class ScriptedEngine:
    """Listens at `path`; answers every request with `answers` once `open` is set."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.answers: list[str] = ["return sum(values)"]
        self.constrained = True
        self.probability = 1.0  # of the first answer
        self.loaded = 0.0
        self.further = 1.0  # how much less probable each further one is
        self.reason = ""
        self.problem: str | None = None  # code of a Problem to answer with instead
        self.dies_when_asked = False
        self.open = asyncio.Event()
        self.open.set()
        self.asked: list[Complete] = []
        self.texts: list[bytes] = []  # the whole document of each request
        self.siblings: list[list[tuple[str, bytes]]] = []
        self.cancelled: list[int] = []
        self.told: list[Tell] = []
        self.state = "ready"
        self.n_stopped = 0
        self.n_connections = 0
        self.n_running = 0
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        self._server = await asyncio.start_unix_server(self._serve, str(self.path))

    async def die(self) -> None:
        """As if killed: every connection is cut, nobody listens."""
        if self._server is not None:
            self._server.close()
        for writer in list(self._writers):
            writer.transport.abort()
        for task in list(self._tasks):
            task.cancel()
        self.path.unlink(missing_ok=True)

    async def asked_for(self, n_requests: int) -> None:
        """Wait until so many requests have arrived."""
        async with asyncio.timeout(20):
            while len(self.asked) < n_requests:
                await asyncio.sleep(0.002)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.n_connections += 1
        self._writers.add(writer)
        connection = _Connection(self, writer)
        frames = FrameBuffer()
        with suppress(ConnectionError, asyncio.CancelledError):
            while data := await reader.read(65536):
                for payload in frames.feed(data):
                    connection.receive(decode_client_message(payload))
        self._writers.discard(writer)
        writer.close()

    def spawn(self, task: asyncio.Task[None]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


class _Connection:
    def __init__(self, engine: ScriptedEngine, writer: asyncio.StreamWriter) -> None:
        self.engine = engine
        self.writer = writer
        self.texts: dict[str, tuple[int, bytes]] = {}
        self.puts: dict[bytes, bytes] = {}
        self.running: dict[int, asyncio.Task[None]] = {}

    def receive(self, message: Message) -> None:
        engine = self.engine
        match message:
            case Hello():
                self.send(Welcome(protocol=PROTOCOL_VERSION, pid=1, version="0", model="scripted"))
            case Put(digest=digest, text=text):
                self.puts[digest] = text
            case Complete() if not self.receive_text(message):
                self.send(Problem(id=message.id, code="stale_base", text="send the whole text"))
            case Complete():
                engine.asked.append(message)
                engine.texts.append(self.texts[message.document][1])
                engine.siblings.append([(sibling.path, self.puts[sibling.digest]) for sibling in message.siblings])
                if engine.dies_when_asked:
                    engine.spawn(asyncio.ensure_future(engine.die()))
                    return
                task = asyncio.ensure_future(self.answer(message))
                self.running[message.id] = task
                engine.spawn(task)
            case Cancel(id=id):
                engine.cancelled.append(id)
                if id in self.running:
                    self.running[id].cancel()
            case Close(document=document):
                self.texts.pop(document, None)
            case Tell():
                engine.told.append(message)
            case Status(id=id) | Stop(id=id):
                engine.n_stopped += isinstance(message, Stop)
                self.send(
                    StatusReport(
                        id=id, pid=1, version="0", model="scripted", state=engine.state, uptime_s=1.0, clients=1,
                        documents=len(self.texts), queued=0, running=len(self.running), counters={},
                        loaded=engine.loaded,
                    )
                )  # fmt: skip
                if isinstance(message, Stop):
                    self.writer.close()

    def receive_text(self, message: Complete) -> bool:
        """Keep the document as it is now; False when an edit does not fit what we hold."""
        text = message.text
        if text is None:
            assert message.edit is not None
            base, elder = self.texts.get(message.document, (-1, b""))
            if base != message.edit.base:
                return False
            text = elder[: message.edit.start] + message.edit.data + elder[message.edit.end :]
        self.texts[message.document] = (message.version, text)
        return True

    async def answer(self, message: Complete) -> None:
        engine = self.engine
        engine.n_running += 1
        try:
            await engine.open.wait()
            if engine.problem is not None:
                self.send(Problem(id=message.id, code=engine.problem, text="as the test says"))
                return
            items = tuple(
                Suggestion(
                    text=text.encode(), log_weight=-1.0 - n, log_probability=-1.0 - n, stop_reason="line", n_tokens=3,
                    n_checks=3, probability=engine.probability * engine.further**n,
                )
                for n, text in enumerate(engine.answers[: message.n])
            )  # fmt: skip
            self.send(Suggestions(id=message.id, items=items, constrained=engine.constrained, reason=engine.reason))
        except asyncio.CancelledError:
            self.send(Problem(id=message.id, code="cancelled", text="withdrawn"))
        finally:
            engine.n_running -= 1
            self.running.pop(message.id, None)

    def send(self, message: Message) -> None:
        if not self.writer.is_closing():
            self.writer.write(encode(message))
