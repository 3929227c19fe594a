"""Byte streams to the client and how they are had: stdio, TCP, unix sockets; and whether the client still lives.

Knows file descriptors and asyncio streams; no message. Reading and writing stdio happens in threads of its own, so that
a client which does not read cannot hold up the loop, and one which holds our stdin open cannot hold up the exit.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import signal
import stat
import sys
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Literal, Protocol

from treegraft_daemon.errors import BadInput

logger = logging.getLogger(__name__)

CHUNK_BYTES = 1 << 16
MAX_UNREAD_BYTES = 64 * 1024 * 1024  # a client that leaves so much unread is gone
PARENT_POLL_S = 2.0


@dataclass(frozen=True, slots=True)
class Transport:
    """How to meet the client. socket and pipe connect out; tcp and listen_unix serve any number of clients.

    client_process_id: end when this process ends.
    """

    kind: Literal["stdio", "tcp", "socket", "pipe", "listen_unix"] = "stdio"
    host: str = "127.0.0.1"
    port: int = 0
    path: str = ""
    client_process_id: int | None = None


class Wire(Protocol):
    """Bytes from and to one client."""

    async def read(self) -> bytes:
        """Some bytes; b"" when the client has hung up."""
        ...

    def write(self, data: bytes) -> None:
        """Queue bytes; never waits, never raises."""
        ...

    async def close(self) -> None:
        """Send what is queued, for a moment at most, and hang up."""
        ...


class PipeWire:
    """Two file descriptors, each with a thread that may block."""

    def __init__(self, input_fd: int, output_fd: int) -> None:
        self._input_fd = input_fd
        self._output_fd = output_fd
        self._loop = asyncio.get_running_loop()
        self._arrived: asyncio.Queue[bytes] = asyncio.Queue()
        self._room = threading.Semaphore(16)  # chunks that may wait unread, so that a flood stays in the pipe
        self._outbox: SimpleQueue[bytes | None] = SimpleQueue()
        self._n_unread = 0
        self._broken = False
        threading.Thread(target=self._pump_in, name="stdin", daemon=True).start()
        self._writer = threading.Thread(target=self._pump_out, name="stdout", daemon=True)
        self._writer.start()

    async def read(self) -> bytes:
        data = await self._arrived.get()
        self._room.release()
        return b"" if self._broken else data

    def write(self, data: bytes) -> None:
        self._n_unread += len(data)
        if self._n_unread > MAX_UNREAD_BYTES and not self._broken:
            logger.error("the client does not read its answers; hanging up")
            self._hang_up()
        if not self._broken:
            self._outbox.put(data)

    async def close(self) -> None:
        self._outbox.put(None)
        for _ in range(100):
            if not self._writer.is_alive():
                return
            await asyncio.sleep(0.01)

    def _hang_up(self) -> None:
        self._broken = True
        self._arrived.put_nowait(b"")

    def _pump_in(self) -> None:
        data = b"?"
        while data:
            self._room.acquire()
            try:
                data = os.read(self._input_fd, CHUNK_BYTES)
            except OSError:
                data = b""
            with suppress(RuntimeError):  # the loop may have ended while we were reading
                self._loop.call_soon_threadsafe(self._arrived.put_nowait, data)

    def _pump_out(self) -> None:
        while (data := self._outbox.get()) is not None:
            try:
                rest = memoryview(data)
                while rest:
                    rest = rest[os.write(self._output_fd, rest) :]
            except OSError:
                with suppress(RuntimeError):
                    self._loop.call_soon_threadsafe(self._hang_up)
                return
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._was_read, len(data))

    def _was_read(self, n_bytes: int) -> None:
        self._n_unread -= n_bytes


class StreamWire:
    """A connected socket."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def read(self) -> bytes:
        try:
            return await self._reader.read(CHUNK_BYTES)
        except OSError:
            return b""

    def write(self, data: bytes) -> None:
        if self._writer.is_closing():
            return
        self._writer.write(data)
        if self._writer.transport.get_write_buffer_size() > MAX_UNREAD_BYTES:
            logger.error("the client does not read its answers; hanging up")
            self._writer.transport.abort()

    async def close(self) -> None:
        self._writer.close()
        with suppress(OSError, TimeoutError):
            await asyncio.wait_for(self._writer.wait_closed(), timeout=1)


def guard_stdio() -> tuple[int, int]:
    """Take stdin and stdout for the wire: afterwards prints of anybody go to stderr, and children inherit neither."""
    sys.stdout.flush()
    wire_in, wire_out = os.dup(0), os.dup(1)  # not inheritable, as os.dup makes them
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return wire_in, wire_out


async def connect_out(transport: Transport) -> Wire:
    """The stream to a client that listens for us (`--socket=N`, `--pipe=NAME`). Raises BadInput when it does not."""
    place = transport.path if transport.kind == "pipe" else f"{transport.host}:{transport.port}"
    try:
        if transport.kind == "pipe":
            return StreamWire(*await asyncio.open_unix_connection(transport.path))
        return StreamWire(*await asyncio.open_connection(transport.host, transport.port))
    except (OSError, OverflowError) as error:
        raise BadInput(f"no editor listens at {place}: {_why(error)}") from error


async def listen(transport: Transport, meet: Callable[[Wire], Awaitable[object]]) -> None:
    """Serve clients at the TCP port or unix socket, each by `meet`, until a signal asks to end. Raises BadInput."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    conversations: set[asyncio.Task[object]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(meet(StreamWire(reader, writer)))
        conversations.add(task)
        task.add_done_callback(conversations.discard)

    if transport.kind == "tcp":
        server = await _listen_tcp(transport, connected)
        place = ", ".join("{}:{}".format(*socket.getsockname()[:2]) for socket in server.sockets)
    else:
        server = await _listen_unix(transport.path, connected)
        place = transport.path
    print(f"treegraft: listening on {place}", file=sys.stderr, flush=True)
    try:
        await stop.wait()
    finally:
        server.close()
        for task in list(conversations):
            task.cancel()
        await asyncio.gather(*conversations, return_exceptions=True)
        if transport.kind == "listen_unix":
            Path(transport.path).unlink(missing_ok=True)


Connected = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def _listen_tcp(transport: Transport, connected: Connected) -> asyncio.Server:
    if transport.host not in ("127.0.0.1", "::1", "localhost"):
        logger.warning("listening on %s: whoever reaches this port can ask for completions", transport.host)
    try:
        return await asyncio.start_server(connected, transport.host, transport.port)
    except (OSError, OverflowError) as error:
        place = f"{transport.host}:{transport.port}"
        raise BadInput(f"cannot listen on {place}: {_why(error)}; choose another with --port") from error


async def _listen_unix(path: str, connected: Connected) -> asyncio.Server:
    await _make_way(Path(path))
    umask = os.umask(0o177)  # the socket is its owner's alone from its first moment on
    try:
        return await asyncio.start_unix_server(connected, path)
    except OSError as error:
        raise BadInput(f"cannot listen on {path}: {_why(error)}") from error
    finally:
        os.umask(umask)


async def _make_way(path: Path) -> None:
    """Remove a socket that nobody answers on any more. Raises BadInput when something else is there."""
    try:
        mode = path.lstat().st_mode
    except OSError:
        return
    if not stat.S_ISSOCK(mode):
        raise BadInput(f"cannot listen on {path}: it exists and is no socket")
    try:
        _, writer = await asyncio.open_unix_connection(str(path))
    except OSError:
        path.unlink(missing_ok=True)
        return
    writer.close()
    raise BadInput(f"cannot listen on {path}: another server does")


def _why(error: Exception) -> str:
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno).lower() if error.errno > 0 else str(error)
    return str(error).lower()


def is_alive(pid: int) -> bool:
    """Is there such a process (of anybody)?"""
    if pid <= 0:  # these mean groups of processes
        return False
    try:
        os.kill(pid, 0)
    except OSError as error:
        return error.errno == errno.EPERM
    except OverflowError:
        return False
    return True


async def process_ended(pid: int) -> None:
    """Return when process `pid` has ended, at once if there is none."""
    if sys.platform == "linux" and pid > 0:
        try:
            handle = os.pidfd_open(pid)
        except ProcessLookupError:
            return
        except (OSError, OverflowError):
            pass  # an old kernel or a full table: ask from time to time instead
        else:
            await _readable(handle)  # told at once, and a recycled number cannot deceive it
            return
    while is_alive(pid):
        await asyncio.sleep(PARENT_POLL_S)


async def _readable(handle: int) -> None:
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    loop.add_reader(handle, ended.set)
    try:
        await ended.wait()
    finally:
        loop.remove_reader(handle)
        os.close(handle)
