"""A language client as small as can be: raw JSON-RPC over a byte stream. Checks nothing, so tests can send anything."""

from __future__ import annotations

import asyncio
import compileall
import json
import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from treegraft_daemon.config import Settings
from treegraft_daemon.serve.link import Connect
from treegraft_daemon.serve.server import Server
from treegraft_daemon.serve.transports import StreamWire

URI = "file:///code/a.py"
SUM = "def f(values):\n    \n\n\ndef g():\n    pass\n"


def framed(message: Any) -> bytes:
    body = message if isinstance(message, bytes) else json.dumps(message).encode()
    return b"Content-Length: %d\r\n\r\n%b" % (len(body), body)


class Client:
    """One conversation. Every reply and notification that arrived is kept."""

    def __init__(self, reader: asyncio.StreamReader, write: Callable[[bytes], None]) -> None:
        self._write = write
        self.replies: dict[Any, list[dict[str, Any]]] = {}
        self.notices: list[dict[str, Any]] = []
        self.asked: list[dict[str, Any]] = []  # requests of the server
        self.answers: dict[str, Any] = {}  # method -> result for requests of the server
        self.news = asyncio.Condition()
        self.hung_up = False
        self._n = 0
        self._reading = asyncio.ensure_future(self._read(reader))

    # --- low level ---

    def send(self, *messages: Any) -> None:
        """Messages in one write."""
        self._write(b"".join(framed(message) for message in messages))

    def send_bytes(self, data: bytes) -> None:
        self._write(data)

    def call_message(self, method: str, params: Any = ..., id: Any = None) -> dict[str, Any]:
        self._n += 1
        message: dict[str, Any] = {"jsonrpc": "2.0", "id": self._n if id is None else id, "method": method}
        return message if params is ... else {**message, "params": params}

    async def reply(self, id: Any, timeout: float = 20) -> dict[str, Any]:
        await self.until(lambda: id in self.replies, timeout)
        reply: dict[str, Any] = self.replies[id][0]
        return reply

    async def until(self, holds: Callable[[], bool], timeout: float = 20) -> None:
        async with self.news:
            await asyncio.wait_for(self.news.wait_for(lambda: holds() or self.hung_up), timeout)
        assert holds(), "the server hung up"

    # --- what clients do ---

    async def call(self, method: str, params: Any = ...) -> dict[str, Any]:
        message = self.call_message(method, params)
        self.send(message)
        return await self.reply(message["id"])

    def notify(self, method: str, params: Any = ...) -> None:
        self.send(notice(method, params))

    async def initialize(self, capabilities: Any = None, **more: Any) -> dict[str, Any]:
        params = {"processId": None, "rootUri": None, "capabilities": capabilities or INLINE, **more}
        reply = await self.call("initialize", params)
        self.notify("initialized", {})
        result: dict[str, Any] = reply["result"]
        return result

    def open(self, text: str, uri: str = URI, language: str = "python", version: int = 1) -> None:
        self.send(opening(text, uri, language, version))

    def change(self, version: int, *changes: dict[str, Any], uri: str = URI) -> None:
        self.send(changing(version, *changes, uri=uri))

    async def complete(self, line: int, character: int, uri: str = URI, **context: Any) -> list[dict[str, Any]]:
        reply = await self.call("textDocument/inlineCompletion", asking(line, character, uri, **context))
        assert "result" in reply, reply
        items: list[dict[str, Any]] = reply["result"]["items"]
        return items

    async def leave(self) -> None:
        await self.call("shutdown")
        self.notify("exit")

    async def _read(self, reader: asyncio.StreamReader) -> None:
        try:
            while True:
                header = await reader.readuntil(b"\r\n\r\n")
                length = int(header.lower().split(b"content-length:")[1].split(b"\r\n")[0])
                self._arrived(json.loads(await reader.readexactly(length)))
                async with self.news:
                    self.news.notify_all()
        except (asyncio.IncompleteReadError, ConnectionError):
            self.hung_up = True
            async with self.news:
                self.news.notify_all()

    def _arrived(self, message: dict[str, Any]) -> None:
        if "method" not in message:
            self.replies.setdefault(message["id"], []).append(message)
        elif "id" in message:
            self.asked.append(message)
            result = self.answers.get(message["method"])
            self.send({"jsonrpc": "2.0", "id": message["id"], "result": result})
        else:
            self.notices.append(message)

    @property
    def statuses(self) -> list[dict[str, Any]]:
        return [message["params"] for message in self.notices if message["method"] == "didChangeStatus"]

    @property
    def log(self) -> list[str]:
        return [message["params"]["message"] for message in self.notices if message["method"] == "window/logMessage"]


INLINE: dict[str, Any] = {"textDocument": {"inlineCompletion": {}}}


def notice(method: str, params: Any = ...) -> dict[str, Any]:
    message = {"jsonrpc": "2.0", "method": method}
    return message if params is ... else {**message, "params": params}


def opening(text: str, uri: str = URI, language: str = "python", version: int = 1) -> dict[str, Any]:
    item = {"uri": uri, "languageId": language, "version": version, "text": text}
    return notice("textDocument/didOpen", {"textDocument": item})


def changing(version: int, *changes: dict[str, Any], uri: str = URI) -> dict[str, Any]:
    document = {"uri": uri, "version": version}
    return notice("textDocument/didChange", {"textDocument": document, "contentChanges": list(changes)})


def edit(line: int, character: int, end_line: int, end_character: int, text: str) -> dict[str, Any]:
    start, end = {"line": line, "character": character}, {"line": end_line, "character": end_character}
    return {"range": {"start": start, "end": end}, "text": text}


def insert(line: int, character: int, text: str) -> dict[str, Any]:
    return edit(line, character, line, character, text)


def asking(line: int, character: int, uri: str = URI, trigger: int = 2, **context: Any) -> dict[str, Any]:
    return {
        "textDocument": {"uri": uri},
        "position": {"line": line, "character": character},
        "context": {"triggerKind": trigger, **context},
    }


class Conversation:
    """A server object in this process and a client of it, joined by a socket pair."""

    def __init__(self, server: Server, client: Client, over: asyncio.Task[int]) -> None:
        self.server = server
        self.client = client
        self.over = over  # its result is the exit code


async def converse(settings: Settings, connect: Connect | None = None) -> Conversation:
    """Start a conversation, not initialized yet. `hang_up` ends it."""
    ours, theirs = socket.socketpair()
    server = Server(settings, connect=connect)
    reader, writer = await asyncio.open_connection(sock=theirs)
    over = asyncio.ensure_future(server.converse(StreamWire(*await asyncio.open_connection(sock=ours))))
    return Conversation(server, Client(reader, writer.write), over)


async def hang_up(conversation: Conversation) -> None:
    conversation.server.finish(1)
    await conversation.over


class Process:
    """`treegraft serve` as a child, and a client on its stdio."""

    def __init__(self, child: asyncio.subprocess.Process) -> None:
        assert child.stdin is not None
        assert child.stdout is not None
        assert child.stderr is not None
        self.child = child
        self.client = Client(child.stdout, child.stdin.write)
        self.errors = asyncio.ensure_future(child.stderr.read())

    async def exit_code(self, timeout: float = 15) -> int:
        return await asyncio.wait_for(self.child.wait(), timeout)


async def start_serve(*flags: str, **environment: str) -> Process:
    """Start a server process. The caller ends it."""
    pipe = asyncio.subprocess.PIPE
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "treegraft_daemon", "serve", *flags, stdin=pipe, stdout=pipe, stderr=pipe,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **environment},
    )  # fmt: skip
    return Process(child)


def compile_sources() -> None:
    """Write the bytecode of our packages, as an installer does: without it a start of this checkout costs 0.1 s more
    where the environment forbids to write bytecode."""
    root = Path(__file__).parent.parent
    for package in ("daemon", "grammars", "protocol"):
        compileall.compile_dir(root / package, quiet=1)
