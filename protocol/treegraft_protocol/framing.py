"""Frames of the wire: four bytes of length (big endian), then one msgpack map.

Knows bytes and messages; no socket, no loop, no clock. A wrong payload inside a whole frame is a `BadFrame`: the next
frame is intact and the connection goes on. A length above the bound is a `FrameTooLarge`: the stream is lost.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import TypeVar

import msgspec

from treegraft_protocol.messages import ClientMessage, EngineMessage, Message

MAX_FRAME_BYTES = 64 * 1024 * 1024
HELLO_FRAME_BYTES = 16 * 1024  # a peer that has not been greeted yet may not make us hold more

_LENGTH = struct.Struct(">I")

M = TypeVar("M")


class BadFrame(Exception):
    """The payload of a whole frame is no message. `id` is the request it named, if that much could be read."""

    def __init__(self, code: str, text: str, id: int | None = None) -> None:
        super().__init__(text)
        self.code = code
        self.text = text
        self.id = id


class FrameTooLarge(BadFrame):
    """A frame announces more bytes than agreed; nothing after it can be read."""

    def __init__(self, n_bytes: int, limit: int) -> None:
        super().__init__("too_large", f"a frame of {n_bytes} bytes is above the bound of {limit}")


class FrameBuffer:
    """Cuts a stream of bytes into payloads; holds at most one unfinished frame of `limit` bytes."""

    def __init__(self, limit: int = MAX_FRAME_BYTES) -> None:
        self.limit = limit
        self._held = bytearray()

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The payloads that are whole now. Raises FrameTooLarge as soon as a length above `limit` was read."""
        self._held += data
        while len(self._held) >= _LENGTH.size:
            (n_bytes,) = _LENGTH.unpack_from(self._held)
            if n_bytes > self.limit:
                raise FrameTooLarge(n_bytes, self.limit)
            end = _LENGTH.size + n_bytes
            if len(self._held) < end:
                return
            payload = bytes(memoryview(self._held)[_LENGTH.size : end])
            del self._held[:end]
            yield payload

    @property
    def n_held(self) -> int:
        """Bytes of the frame that has begun; 0 at a frame boundary."""
        return len(self._held)


def encode(message: Message) -> bytes:
    """One frame. Raises FrameTooLarge rather than sending what the other end must refuse."""
    payload = _encoder.encode(message)
    if len(payload) > MAX_FRAME_BYTES:
        raise FrameTooLarge(len(payload), MAX_FRAME_BYTES)
    return _LENGTH.pack(len(payload)) + payload


def decode_client_message(payload: bytes) -> ClientMessage:
    """What a client said. Raises BadFrame."""
    return _decode(_from_client, payload, _client_tags)


def decode_engine_message(payload: bytes) -> EngineMessage:
    """What the engine said. Raises BadFrame."""
    return _decode(_from_engine, payload, _engine_tags)


class _Envelope(msgspec.Struct):
    """As much of a message as is needed to say whose request could not be read."""

    type: str
    id: int | None = None


def _decode(decoder: msgspec.msgpack.Decoder[M], payload: bytes, tags: frozenset[str]) -> M:
    try:
        return decoder.decode(payload)
    # RecursionError: an unknown field may nest arrays without end. UnicodeDecodeError: a text that is not UTF-8.
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise _explained(payload, tags, error) from None


def _explained(payload: bytes, tags: frozenset[str], error: Exception) -> BadFrame:
    """Why a payload is no message; never quotes its text fields."""
    try:
        envelope = _envelope.decode(payload)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return BadFrame("bad_message", "a frame holds no message that can be read")
    id = envelope.id if envelope.id is not None and 0 <= envelope.id <= 2**53 else None
    if envelope.type not in tags:
        return BadFrame("unknown_message", f"unknown message {envelope.type[:40]!r}", id)
    reason = str(error) if isinstance(error, msgspec.MsgspecError) else "a text is not UTF-8 or nested too deeply"
    return BadFrame("bad_message", f"wrong {envelope.type}: {reason[:200]}", id)


_encoder = msgspec.msgpack.Encoder()
_from_client: msgspec.msgpack.Decoder[ClientMessage] = msgspec.msgpack.Decoder(ClientMessage)
_from_engine: msgspec.msgpack.Decoder[EngineMessage] = msgspec.msgpack.Decoder(EngineMessage)
_envelope = msgspec.msgpack.Decoder(_Envelope)
_client_tags = frozenset({"Hello", "Put", "Complete", "Cancel", "Close", "Status", "Stop"})
_engine_tags = frozenset({"Welcome", "Suggestions", "StatusReport", "Problem"})
