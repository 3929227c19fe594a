"""Frames: what goes in comes out however it is cut; what is no message is told and costs nothing else."""

from __future__ import annotations

import random
import re
import struct
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from treegraft_protocol.framing import (
    MAX_FRAME_BYTES,
    BadFrame,
    FrameBuffer,
    FrameTooLarge,
    decode_client_message,
    decode_engine_message,
    encode,
)
from treegraft_protocol.messages import ClientMessage, Complete, Edit, EngineMessage, Hello, Message, Problem, Status

PAGE = Path(__file__).parents[2] / "protocol" / "PROTOCOL.md"
EXAMPLES = re.findall(r'^\{"type": .*\}$', PAGE.read_text(), re.MULTILINE)

completes = st.builds(
    Complete,
    id=st.integers(0, 2**53),
    document=st.text(),
    version=st.integers(0, 2**53),
    offset=st.integers(0, 2**53),
    language=st.none() | st.text(),
    text=st.none() | st.binary(),
    edit=st.none()
    | st.builds(Edit, base=st.integers(0, 9), start=st.integers(0, 9), end=st.integers(0, 9), data=st.binary()),
    n=st.integers(1, 16),
    temperature=st.floats(0, 99),
    constraint=st.booleans(),
)


@given(st.lists(completes, max_size=5), st.randoms(use_true_random=False))
def test_frames_survive_any_cut(messages: list[Message], rng: random.Random) -> None:
    stream = b"".join(encode(message) for message in messages)
    frames, received = FrameBuffer(), []
    while stream:
        n_bytes = rng.randrange(1, len(stream) + 1)
        received += [decode_client_message(payload) for payload in frames.feed(stream[:n_bytes])]
        stream = stream[n_bytes:]
    assert received == messages
    assert frames.n_held == 0


def test_each_message_has_its_example_in_the_manual() -> None:
    seen = set()
    for example in EXAMPLES:
        message = msgspec.json.decode(example, type=ClientMessage | EngineMessage)
        decode = decode_client_message if isinstance(message, ClientMessage) else decode_engine_message
        assert decode(encode(message)[4:]) == message
        seen.add(type(message))
    assert seen == set(Message.__subclasses__())


@pytest.mark.parametrize(
    ("payload", "code", "id"),
    [
        (b"", "bad_message", None),
        (b"\xc1", "bad_message", None),
        (msgspec.msgpack.encode({"type": "Nonsense", "id": 3}), "unknown_message", 3),
        (msgspec.msgpack.encode({"type": "Complete", "id": 4}), "bad_message", 4),
        (msgspec.msgpack.encode({"type": "Status", "id": -1}), "bad_message", None),
        (b"\x91" * 100_000, "bad_message", None),
    ],
)
def test_what_is_no_message_is_told(payload: bytes, code: str, id: int | None) -> None:
    with pytest.raises(BadFrame) as told:
        decode_client_message(payload)
    assert (told.value.code, told.value.id) == (code, id)


def test_a_bad_frame_leaves_the_next_one_whole() -> None:
    stream = struct.pack(">I", 3) + b"\xc1\xc1\xc1" + encode(Status(id=1))
    first, second = FrameBuffer().feed(stream)
    with pytest.raises(BadFrame):
        decode_client_message(first)
    assert decode_client_message(second) == Status(id=1)


def test_a_frame_above_the_bound_is_refused_before_it_arrives() -> None:
    with pytest.raises(FrameTooLarge):
        list(FrameBuffer().feed(struct.pack(">I", MAX_FRAME_BYTES + 1)))
    with pytest.raises(FrameTooLarge):
        list(FrameBuffer(limit=10).feed(encode(Hello(protocol=1, client="x" * 20))))


def test_mutated_frames_are_messages_or_told() -> None:
    rng = random.Random(7)
    valid = [
        encode(Complete(id=1, document="a", version=1, offset=0, text=b"x = 1\n")),
        encode(Hello(protocol=1, client="c")),
        encode(Problem(id=None, code="internal", text="é")),
    ]
    n_read = n_told = 0
    for _ in range(10_000):
        payload = bytearray(rng.choice(valid)[4:])
        for _ in range(rng.randrange(1, 5)):
            payload[rng.randrange(len(payload))] = rng.randrange(256)
        try:
            decode_client_message(bytes(payload))
            n_read += 1
        except BadFrame:
            n_told += 1
    assert n_read > 100 and n_told > 1000
