"""Frames however they are cut, and exactly one reply."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from treegraft_daemon.serve.jsonrpc import MAX_HEADER_BYTES, Failure, Frames, Reply, frame

bodies = st.lists(st.binary(max_size=40), max_size=5)


def header(body: bytes) -> bytes:
    return b"Content-Length: %d\r\n\r\n%b" % (len(body), body)


@given(bodies, st.lists(st.integers(1, 30), min_size=1, max_size=8))
def test_frames_are_the_same_however_the_stream_is_cut(messages: list[bytes], cuts: list[int]) -> None:
    stream, frames, found = b"".join(map(header, messages)), Frames(), []
    n = 0
    while stream:
        cut = cuts[n % len(cuts)]
        found += list(frames.feed(stream[:cut]))
        stream, n = stream[cut:], n + 1
    assert found == messages


@given(st.text(alphabet="Content-Lgh: 0123456789\r\n{}", max_size=60).map(str.encode))
def test_noise_before_a_message_costs_nothing_but_itself(noise: bytes) -> None:
    body = json.dumps({"method": "x"}).encode()
    found = list(Frames().feed(noise + b"\n" + header(body)))
    if b"ontent-Length" not in noise:
        assert found == [body]


def test_what_is_held_without_a_header_is_bounded() -> None:
    frames = Frames()
    for _ in range(100):
        assert list(frames.feed(b"x" * 10_000)) == []
    assert len(frames._held) <= MAX_HEADER_BYTES


def test_a_body_above_the_bound_is_reported_and_skipped() -> None:
    frames = Frames(max_body_bytes=10)
    assert list(frames.feed(header(b"y" * 11) + header(b"{}"))) == [b"", b"{}"]


def test_a_frame_is_ascii_with_its_length() -> None:
    data = frame({"text": "é😋\ud800"})
    assert data.isascii()
    assert list(Frames().feed(data)) == [data.partition(b"\r\n\r\n")[2]]


class Outbox:
    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []
        self.n_forgotten = 0

    def reply(self) -> Reply:
        def forget(reply: Reply) -> None:
            self.n_forgotten += 1

        return Reply(7, self.sent.append, forget)


def test_the_first_reply_counts() -> None:
    outbox = Outbox()
    reply = outbox.reply()
    reply.result(1)
    reply.result(2)
    reply.error(-1, "late")
    assert outbox.sent == [{"jsonrpc": "2.0", "id": 7, "result": 1}]
    assert outbox.n_forgotten == 1


async def test_a_task_replies_with_its_result_its_refusal_or_its_bug() -> None:
    async def work(outcome: Any) -> Any:
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    outbox = Outbox()
    for outcome in (5, Failure(-32602, "no"), KeyError("/home/me")):
        outbox.reply().later(work(outcome))
        await asyncio.sleep(0.01)
    assert [message.get("result", message.get("error", {}).get("code")) for message in outbox.sent] == [
        5,
        -32602,
        -32603,
    ]
    assert "/home/me" not in json.dumps(outbox.sent)


@pytest.mark.parametrize("n_turns", [0, 1, 2])
async def test_a_cancelled_task_replies_so_even_before_it_began(n_turns: int) -> None:
    outbox = Outbox()
    reply = outbox.reply()
    reply.later(asyncio.sleep(60))
    for _ in range(n_turns):
        await asyncio.sleep(0)
    reply.cancel()
    await asyncio.sleep(0.01)
    assert [message["error"]["code"] for message in outbox.sent] == [-32800]
