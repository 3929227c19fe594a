"""JSON-RPC over a byte stream: frames in and out, four kinds of message, one reply per request.

Knows `Content-Length` and JSON; no LSP method, no socket, no clock. A stream that was damaged is picked up again at the
next header; nothing here raises on what a client may send.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from typing import Any

logger = logging.getLogger(__name__)

PARSE_ERROR = -32700
INVALID_REQUEST = -32600
METHOD_NOT_FOUND = -32601
INVALID_PARAMS = -32602
REQUEST_FAILED = -32803
INTERNAL_ERROR = -32603
NOT_INITIALIZED = -32002
CANCELLED = -32800

MAX_BODY_BYTES = 64 * 1024 * 1024
MAX_HEADER_BYTES = 8 * 1024

# Searched, not matched: whatever stands before a header is the rest of a damaged message. JSON never holds a raw line
# break, so the header of the next message cannot be mistaken inside a body.
_HEADER = re.compile(
    rb"Content-Length[ \t]*:[ \t]*(\d{1,15})[ \t]*\r?\n(?:[A-Za-z-]+[ \t]*:[^\r\n]*\r?\n)*\r?\n", re.IGNORECASE
)

Id = int | str
Send = Callable[[dict[str, Any]], None]


class Failure(Exception):
    """A request is refused: JSON-RPC error code and one line."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text


@dataclass(frozen=True, slots=True)
class Call:
    """A request: wants exactly one reply."""

    id: Id
    method: str
    params: Any


@dataclass(frozen=True, slots=True)
class Notice:
    """A notification: never answered."""

    method: str
    params: Any


@dataclass(frozen=True, slots=True)
class Answer:
    """The client's reply to a request of ours. `error` is its error object, None on success."""

    id: Id
    result: Any
    error: Any


@dataclass(frozen=True, slots=True)
class Refused:
    """No message: answer with this error. `id` is None when the request cannot be told."""

    id: Id | None
    code: int
    text: str


class Frames:
    """Cuts a stream of bytes into message bodies."""

    def __init__(self, max_body_bytes: int = MAX_BODY_BYTES) -> None:
        self._held = bytearray()
        self._n_body: int | None = None  # length of the body that has begun, None between messages
        self._max_body_bytes = max_body_bytes

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The bodies that are whole now. An oversized one comes as b"", which no parser accepts."""
        self._held += data
        while True:
            if self._n_body is None and not self._open():
                return
            n_body = self._n_body or 0
            if n_body > self._max_body_bytes:
                self._n_body = None  # what follows is skipped as the rest of a damaged message
                yield b""
                continue
            if len(self._held) < n_body:
                return
            body = bytes(memoryview(self._held)[:n_body])
            del self._held[:n_body]
            self._n_body = None
            yield body

    def _open(self) -> bool:
        header = _HEADER.search(self._held)
        if header is None:
            # A header may have begun at the very end; more than that is of no use.
            del self._held[:-MAX_HEADER_BYTES]
            return False
        n_body, end = int(header[1]), header.end()
        del header  # a match holds its buffer, and a bytearray in use cannot shrink
        del self._held[:end]
        self._n_body = n_body
        return True


def frame(message: Any, default: Callable[[Any], Any] | None = None) -> bytes:
    """One message as bytes; `default` is as in `json.dumps`.

    ASCII only, so that half a surrogate pair in a client's words cannot fail.
    """
    body = json.dumps(message, ensure_ascii=True, separators=(",", ":"), default=default).encode("ascii")
    return b"Content-Length: %d\r\n\r\n%b" % (len(body), body)


def read_message(body: bytes) -> Call | Notice | Answer | Refused:
    """What a body says."""
    try:
        message = json.loads(body.decode("utf-8"))
    # RecursionError: brackets nested without end. ValueError: not UTF-8, not JSON, or a number of absurd length.
    except (ValueError, RecursionError):
        return Refused(None, PARSE_ERROR, "the message is not JSON in UTF-8")
    if not isinstance(message, dict):
        return Refused(None, INVALID_REQUEST, "the message is not one JSON object")
    id = id_of(message.get("id"))
    if message.get("jsonrpc") != "2.0":
        return Refused(id, INVALID_REQUEST, 'the message does not say "jsonrpc": "2.0"')
    if "method" in message:
        method, params = message["method"], message.get("params")
        if not isinstance(method, str):
            return Refused(id, INVALID_REQUEST, "the name of a method is a text")
        if "id" not in message:
            return Notice(method, params)
        return Refused(None, INVALID_REQUEST, "an id is a number or a text") if id is None else Call(id, method, params)
    if id is not None and ("result" in message or "error" in message):
        return Answer(id, message.get("result"), message.get("error"))
    return Refused(id, INVALID_REQUEST, "the message has no method")


def id_of(value: Any) -> Id | None:
    """`value` as an id, or None when it is none."""
    return value if isinstance(value, (str, int)) and not isinstance(value, bool) else None


class Reply:
    """The one reply that a request gets: the first call of `result` or `error` sends it, later ones are dropped.

    `params` are the request's as they came, with what no specification knows.
    """

    def __init__(self, id: Id, send: Send, forget: Callable[[Reply], None], params: Any = None) -> None:
        self.id = id
        self.params = params
        self.sent = False
        self._send = send
        self._forget = forget
        self._task: asyncio.Task[Any] | None = None

    def result(self, value: Any) -> None:
        self._finish({"result": value})

    def error(self, code: int, text: str) -> None:
        self._finish({"error": {"code": code, "message": text}})

    def later(self, work: Coroutine[Any, Any, Any]) -> None:
        """Reply with what `work` returns; as cancelled, failed or broken if it ends so."""
        self._task = asyncio.ensure_future(work)
        self._task.add_done_callback(self._done)

    def cancel(self) -> None:
        """Stop the work; the reply says cancelled unless one was sent before."""
        if self._task is not None:
            self._task.cancel()
        self.error(CANCELLED, "cancelled")

    def _done(self, task: asyncio.Task[Any]) -> None:
        if task.cancelled():
            self.error(CANCELLED, "cancelled")
            return
        problem = task.exception()
        if problem is None:
            self.result(task.result())
        else:
            self.fail(problem)

    def fail(self, problem: BaseException) -> None:
        """Reply with an error; of a bug the log gets the place, the client one line without paths."""
        if isinstance(problem, Failure):
            self.error(problem.code, problem.text)
            return
        logger.error("request %r failed: %s", self.id, type(problem).__name__, exc_info=problem)
        self.error(INTERNAL_ERROR, f"internal error ({type(problem).__name__}); see the log of the server")

    def _finish(self, outcome: dict[str, Any]) -> None:
        if self.sent:
            return
        self.sent = True
        self._forget(self)
        self._send({"jsonrpc": "2.0", "id": self.id, **outcome})
