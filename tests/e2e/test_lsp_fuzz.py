"""Mutated traffic: no crash, no hang, one reply per request, no lost document. The seed is in the test's name.

In process, on the bytes that a transport would bring: 10,000 mutations take some seconds.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from collections.abc import Sequence
from copy import deepcopy
from typing import Any

import pytest

from lsp_client import URI, asking, changing, edit, framed, insert, notice, opening
from treegraft_daemon.config import Settings
from treegraft_daemon.serve.jsonrpc import Frames
from treegraft_daemon.serve.server import Server
from treegraft_protocol.messages import StatusReport, Suggestion, Suggestions

KEPT = "file:///code/kept.py"
TEXT = "x = 1\n\f語😋\r\ny = \r"

N_MUTATIONS = 24_000


class Instant:
    """An engine that answers at once."""

    closed = False

    async def complete(self, *, document: str, text: bytes, offset: int, n: int, **more: Any) -> Suggestions:
        assert 0 <= offset <= len(text)
        text.decode("utf-8")
        item = Suggestion(text=b"abc", log_weight=0.0, log_probability=0.0, stop_reason="line", n_tokens=1, n_checks=1)
        return Suggestions(id=1, items=(item,) * n, constrained=True)

    async def status(self) -> StatusReport:
        return StatusReport(
            id=1, pid=1, version="", model="", state="", uptime_s=0.0, clients=1, documents=1, queued=0, running=0,
            counters={},
        )  # fmt: skip

    def forget(self, document: str) -> None:
        pass

    def tell(self, counts: dict[str, int], latencies_ms: dict[str, list[float]]) -> None:
        pass

    async def stop(self) -> None:
        self.closed = True

    async def close(self) -> None:
        pass


class Gathered:
    """A wire whose client is this test."""

    def __init__(self) -> None:
        self.frames = Frames()
        self.sent: list[dict[str, Any]] = []

    async def read(self) -> bytes:
        await asyncio.Event().wait()
        return b""

    def write(self, data: bytes) -> None:
        self.sent += [json.loads(body) for body in self.frames.feed(data)]

    async def close(self) -> None:
        pass


def traffic() -> list[dict[str, Any]]:
    """One of each kind of message that clients send."""
    place = {"textDocument": {"uri": URI}, "position": {"line": 1, "character": 1}}
    word = {"start": {"line": 0, "character": 0}, "end": {"line": 0, "character": 1}}
    calls: Sequence[tuple[str, Any]] = (
        ("textDocument/inlineCompletion", asking(1, 2)),
        (
            "textDocument/inlineCompletion",
            asking(0, 1, trigger=1, selectedCompletionInfo={"range": word, "text": "xy"}),
        ),
        ("textDocument/completion", {**place, "context": {"triggerKind": 1}}),
        ("treegraft/status", {"textDocument": {"uri": URI}}),
        ("workspace/executeCommand", {"command": "treegraft.accept", "arguments": ["1"]}),
        ("workspace/executeCommand", {"command": "treegraft.why", "arguments": []}),
        ("workspace/executeCommand", {"command": "treegraft.stats"}),
        ("workspace/executeCommand", {"command": "treegraft.restartEngine"}),
        ("treegraft/why", None),
        ("textDocument/copilotPanelCompletion", place),
        ("signIn", {}),
        ("textDocument/hover", place),
        ("initialize", {"processId": None, "rootUri": None, "capabilities": {}}),
    )
    requests = [
        {"jsonrpc": "2.0", "id": n, "method": method, "params": params} for n, (method, params) in enumerate(calls)
    ]
    return [
        *requests,
        opening(TEXT),
        changing(2, insert(1, 1, "😋\n"), edit(0, 0, 1, 0, "")),
        changing(3, {"text": TEXT}),
        notice("textDocument/didClose", {"textDocument": {"uri": URI}}),
        notice("$/cancelRequest", {"id": 1}),
        notice("initialized", {}),
        notice(
            "workspace/didChangeConfiguration", {"settings": {"treegraft": {"maxTokens": 5, "multiline": "always"}}}
        ),
        notice("textDocument/didShowCompletion", {"item": {"insertText": "x"}}),
        notice("textDocument/didPartiallyAcceptCompletion", {"item": {"insertText": "x"}, "acceptedLength": 1}),
        notice("textDocument/didFocus", {"textDocument": {"uri": URI}}),
        notice("$/setTrace", {"value": "off"}),
        {"jsonrpc": "2.0", "id": "ours", "result": [{"maxTokens": 5}]},
        {"jsonrpc": "2.0", "id": "ours", "error": {"code": 1, "message": "no"}},
    ]


STRANGE: Sequence[Any] = (
    None, True, False, -1, 0, 1, 2**31, 2**64, 1e308, 0.5, "", "x", "\ud800", "\0", "file:///", [], {}, [[]], [None],
    {"": {}}, {"line": 0}, "2.0", "exit ", "initialize", URI, "[" * 50, float("inf"),
)  # fmt: skip


def mutated(rng: random.Random, message: dict[str, Any]) -> bytes:
    """The message with something wrong in its values, its structure, its bytes or its header."""
    copy: Any = json.loads(json.dumps(message))
    kind = rng.random()
    if kind < 0.65:
        for _ in range(rng.choice((1, 1, 2, 4))):
            # Mostly inside the params: what is wrong further out is refused early.
            spoil(rng, copy["params"] if isinstance(copy.get("params"), dict) and rng.random() < 0.85 else copy)
        return framed(copy)
    data = bytearray(framed(copy))
    header = data.index(b"{")
    for _ in range(rng.choice((1, 1, 3, 9))):
        spot = rng.randrange(header, len(data)) if kind < 0.95 else rng.randrange(header)
        action = rng.randrange(3)
        if action == 0:
            data[spot] = rng.randrange(256)
        elif action == 1 or kind < 0.95:  # the length stays true, so that the next message is heard
            data[spot] = rng.choice(b'0159azAZ"{}[],:\\ ')
        elif rng.random() < 0.5:
            data[spot : spot + 1] = b""
        else:
            data[spot:spot] = bytes([rng.randrange(256)])
        header = min(header, len(data) - 1)
    return bytes(data)


def spoil(rng: random.Random, tree: Any) -> None:
    """Change one value somewhere in the tree, take one away, or add one."""
    while True:
        keys: list[Any] = list(tree) if isinstance(tree, dict) else list(range(len(tree)))
        if not keys:
            return
        key = rng.choice(keys)
        if isinstance(tree[key], (dict, list)) and tree[key] and rng.random() < 0.8:
            tree = tree[key]
            continue
        action = rng.random()
        if action < 0.7:
            tree[key] = deepcopy(rng.choice(STRANGE))
        elif action < 0.9:
            del tree[key]
        elif isinstance(tree, dict):
            tree[rng.choice(["jsonrpc", "id", "params", "range", "x", "method"])] = deepcopy(rng.choice(STRANGE))
        return


async def started() -> tuple[Server, Gathered]:
    """A server that was greeted and has one document open that no traffic names."""

    async def connect(settings: Settings) -> Instant:
        return Instant()

    server, wire = Server(Settings(debounce_ms=0, look_ahead=False), connect=connect), Gathered()
    server.protocol.wire = wire
    hello: dict[str, Any] = {"processId": None, "rootUri": None, "capabilities": {}}
    server.protocol.receive(
        json.dumps({"jsonrpc": "2.0", "id": "hello", "method": "initialize", "params": hello}).encode()
    )
    server.protocol.receive(json.dumps(opening(TEXT, KEPT)).encode())
    return server, wire


async def ended(server: Server) -> None:
    server.finish(1)
    await server.converse(Gathered())


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_mutated_messages(seed: int) -> None:
    await send_mutated(seed, N_MUTATIONS // 3)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", range(10, 20))
async def test_a_hundred_thousand_mutated_messages(seed: int) -> None:
    await send_mutated(seed, 10_000)


async def send_mutated(seed: int, n_messages: int) -> None:
    rng, kinds = random.Random(seed), traffic()
    server, wire = await started()
    frames, owed = Frames(), Counter[str]()
    for n in range(n_messages):
        data = mutated(rng, rng.choice(kinds))
        for body in frames.feed(data):
            owed.update(wants_reply(body))
            if b'"exit"' not in body and b'"shutdown"' not in body:
                server.protocol.receive(body)
        if n % 50 == 0:
            await settled(server)
    # A damaged header may hold back what follows; complete messages end that, whatever it waits for.
    document = server.documents.get(KEPT)
    assert document is not None
    assert document.text == TEXT.encode()
    await settled(server)
    replies = Counter(json.dumps(message["id"]) for message in wire.sent if "method" not in message)
    replies['"hello"'] -= 1
    assert +replies == owed
    assert [message for message in wire.sent if message.get("error", {}).get("code") == -32603] == []
    await works(server, wire)
    await ended(server)


def wants_reply(body: bytes) -> list[str]:
    """The ids that must be answered for a body: the oracle, written from the specification and not from the server."""
    try:
        message = json.loads(body.decode("utf-8"))
    except (ValueError, RecursionError):
        return ["null"]
    if not isinstance(message, dict):
        return ["null"]
    id = message.get("id")
    good_id = type(id) in (int, str)
    if message.get("jsonrpc") != "2.0":
        return [json.dumps(id) if good_id else "null"]
    if "method" not in message:
        return (
            [] if good_id and ("result" in message or "error" in message) else [json.dumps(id) if good_id else "null"]
        )
    if not isinstance(message["method"], str):
        return [json.dumps(id) if good_id else "null"]
    if "id" not in message:
        return []
    return [json.dumps(id) if good_id else "null"]


async def settled(server: Server) -> None:
    """Nothing is under way any more."""
    async with asyncio.timeout(20):
        while server.protocol.running:
            await asyncio.sleep(0)


async def works(server: Server, wire: Gathered) -> None:
    """The document that no traffic named is completed as before."""
    server._configure({})  # a mutated setting may have switched suggestions off, as settings do
    message = {"jsonrpc": "2.0", "id": "last", "method": "textDocument/inlineCompletion", "params": asking(2, 4, KEPT)}
    server.protocol.receive(json.dumps(message).encode())
    await settled(server)
    (reply,) = [message for message in wire.sent if message.get("id") == "last"]
    assert [item["insertText"] for item in reply["result"]["items"]] == ["abc"]


@pytest.mark.parametrize("seed", [4])
async def test_streams_cut_and_joined_anywhere(seed: int) -> None:
    rng, kinds = random.Random(seed), traffic()
    server, wire = await started()
    frames = Frames()
    stream = b"".join(
        mutated(rng, rng.choice(kinds)) if rng.random() < 0.5 else framed(rng.choice(kinds)) for _ in range(2000)
    )
    while stream:
        n_bytes = rng.choice((1, 7, 100, 3000, 65536))
        for body in frames.feed(stream[:n_bytes]):
            server.protocol.receive(body)
        stream = stream[n_bytes:]
        await asyncio.sleep(0)
    await settled(server)
    # Whatever length a damaged header announced, the stream is found again.
    for _ in range(200):
        for body in frames.feed(framed(notice("$/setTrace", {"value": "off"})) * 50):
            server.protocol.receive(body)
    document = server.documents.get(KEPT)
    assert document is not None
    assert document.text == TEXT.encode()
    await works(server, wire)
    await ended(server)


@pytest.mark.parametrize("seed", [5])
async def test_valid_messages_in_any_order(seed: int) -> None:
    """Requests before initialize, after shutdown, changes of what was never opened: answered as the stage demands."""
    rng, kinds = random.Random(seed), traffic()
    kinds += [{"jsonrpc": "2.0", "id": 50, "method": "shutdown"}] * 2
    for _ in range(60):
        server, wire = Server(Settings(debounce_ms=0, enabled=False)), Gathered()
        server.protocol.wire = wire
        stage, expected = "new", []
        for n, message in enumerate(rng.choices(kinds, k=40)):
            method, has_id = message.get("method"), "id" in message and "method" in message
            if has_id:
                message = {**message, "id": n}
                starts = method == "initialize"
                refusal = {"new": None if starts else -32002, "running": -32600 if starts else None, "down": -32600}[
                    stage
                ]
                expected.append((n, refusal))
                stage = "running" if starts and stage == "new" else stage
                stage = "down" if method == "shutdown" and stage == "running" else stage
            server.protocol.receive(json.dumps(message).encode())
        await settled(server)
        codes = {
            message["id"]: message.get("error", {}).get("code") for message in wire.sent if "method" not in message
        }
        assert len(codes) == len(expected)
        for n, refusal in expected:
            assert codes[n] == refusal or (refusal is None and codes[n] in (-32601, -32602, -32800)), (n, refusal)
        await ended(server)
