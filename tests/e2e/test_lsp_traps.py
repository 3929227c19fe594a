"""The traps of the library below us, each sprung on purpose. Numbers: the list that the server was built against.

Elsewhere: 7 (one connection per server), 8 (exit codes), 9 (shutdown while something works), 11 (no parent watch),
12 (source text in the log), 13 (`--stdio` refused) and 18 (prints on the wire) need a process: `test_lsp_process.py`.
16 (cost of an edit) is in `tests/daemon/test_documents.py`. 10 is about websockets, which are not offered.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from lsp_client import INLINE, URI, Client, Conversation, asking, changing, converse, hang_up, insert, opening
from scripted_engine import ScriptedEngine
from treegraft_daemon.config import Settings


@pytest.fixture
async def talk(settings: Settings) -> AsyncIterator[Conversation]:
    """A conversation that is not initialized yet."""
    talk = await converse(settings)
    yield talk
    await hang_up(talk)


@pytest.fixture
async def client(talk: Conversation) -> Client:
    await talk.client.initialize()
    return talk.client


@pytest.mark.parametrize(
    "wrong",
    [
        {"context": {"triggerKind": 0}},
        {"context": ...},
        {"context": None},
        {"position": {"line": -1, "character": 0}},
        {"position": {"line": 0, "character": 2**31}},
        {"position": {"line": "0", "character": 0}},
        {"position": []},
        {"textDocument": {}},
        {"textDocument": {"uri": 5}},
    ],
)
async def test_01_wrong_params_are_answered(client: Client, wrong: dict[str, Any]) -> None:
    params = {key: value for key, value in {**asking(0, 0), **wrong}.items() if value is not ...}
    assert (await client.call("textDocument/inlineCompletion", params))["error"]["code"] == -32602


@pytest.mark.parametrize("params", [None, 5, "x", [], {}])
async def test_01_params_that_are_none_at_all_are_answered(client: Client, params: Any) -> None:
    assert (await client.call("textDocument/inlineCompletion", params))["error"]["code"] == -32602


async def test_01_initialize_as_well_known_clients_send_it(talk: Conversation) -> None:
    found = await talk.client.initialize(
        {
            "workspace": {"workspaceFolders": True},
            "textDocument": {"inlineCompletion": {"new": 1}, "completion": {"completionItemKind": {"valueSet": ["?"]}}},
            "general": {"positionEncodings": ["utf-7", "utf-8"]},
        },
        workspaceFolders=[{"uri": "file:///path/to/workspace"}],  # without its name
        initializationOptions={"editorInfo": {"name": "x", "version": "1"}, "editorPluginInfo": {"name": "y"}},
        fromTheFuture=True,
    )
    assert found["capabilities"]["positionEncoding"] == "utf-8"
    assert talk.client.log == []


async def test_01_initialize_with_wrong_params_may_be_tried_again(talk: Conversation) -> None:
    reply = await talk.client.call("initialize", {"capabilities": 5})
    assert reply["error"]["code"] == -32602
    assert "capabilities" in await talk.client.initialize()


async def test_02_a_request_without_params_is_answered(client: Client) -> None:
    assert (await client.call("treegraft/status"))["result"]["kind"] == "Normal"
    assert (await client.call("treegraft/nothing"))["error"]["code"] == -32601
    assert (await client.call("textDocument/inlineCompletion"))["error"]["code"] == -32602


@pytest.mark.parametrize("letter", ["\f", "\v", "\x1c", "\x85", "\u2028"])
async def test_03_only_lf_crlf_and_cr_end_a_line(client: Client, engine: ScriptedEngine, letter: str) -> None:
    client.open(f"a{letter}b\nc\n")
    client.change(2, insert(1, 1, "X"))
    await client.complete(1, 2)
    assert engine.texts[0].decode() == f"a{letter}b\ncX\n"


async def test_04_the_empty_last_line_is_where_one_types(client: Client, engine: ScriptedEngine) -> None:
    client.open("abc\n")
    (item,) = await client.complete(1, 0)
    assert item["range"]["start"] == {"line": 1, "character": 0}
    assert engine.asked[0].offset == 4


async def test_05_a_character_behind_the_end_is_the_end(client: Client, engine: ScriptedEngine) -> None:
    client.open("abc")
    (item,) = await client.complete(0, 99)
    assert engine.asked[0].offset == 3
    assert item["range"]["end"] == {"line": 0, "character": 99}  # the client's position is its own


async def test_06_a_request_sees_the_text_before_a_change_in_the_same_write(
    client: Client, engine: ScriptedEngine
) -> None:
    engine.open.clear()
    message = client.call_message("textDocument/inlineCompletion", asking(0, 4))
    client.send(opening("x = \n"), message, changing(2, insert(0, 4, "y")))
    await engine.asked_for(1)
    engine.open.set()
    assert (await client.reply(message["id"]))["result"]["items"] == []  # an answer to an elder text
    assert len(await client.complete(0, 5)) == 1
    assert engine.texts == [b"x = \n", b"x = y\n"]


async def test_14_files_that_are_not_open_are_not_read(client: Client, engine: ScriptedEngine, tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("x = 1\n")
    assert await client.complete(0, 0, uri=(tmp_path / "a.py").as_uri()) == []
    assert engine.asked == []


async def test_14_an_error_of_ours_tells_no_paths(
    client: Client, talk: Conversation, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(params: Any, reply: Any) -> None:
        raise RuntimeError("/home/me/secret")

    monkeypatch.setitem(talk.server.requests, "treegraft/status", broken)
    error = (await client.call("treegraft/status"))["error"]
    assert error["code"] == -32603
    assert "/" not in error["message"].replace("see the log", "")
    assert set(error) == {"code", "message"}


async def test_15_fields_of_other_dialects_do_no_harm(client: Client) -> None:
    client.open("x = \n")
    params = asking(0, 4)
    params["textDocument"]["version"] = 1
    params["formattingOptions"] = {"tabSize": 4, "insertSpaces": True}
    params["context"]["requestUuid"] = "…"
    assert len((await client.call("textDocument/inlineCompletion", params))["result"]["items"]) == 1


async def test_17_requests_cancelled_in_the_same_write_are_not_worked_on(
    client: Client, engine: ScriptedEngine
) -> None:
    engine.open.clear()
    client.open("x = \n")
    messages: list[dict[str, Any]] = []
    for n in range(50):
        message = client.call_message("textDocument/inlineCompletion", asking(0, n % 5))
        messages += [message, {"jsonrpc": "2.0", "method": "$/cancelRequest", "params": {"id": message["id"]}}]
    client.send(*messages)
    for message in messages[::2]:
        assert (await client.reply(message["id"]))["error"]["code"] == -32800
    await client.call("treegraft/status")
    assert engine.n_running == 0


async def test_17_a_late_answer_to_a_request_of_ours_does_no_harm(
    talk: Conversation, caplog: pytest.LogCaptureFixture
) -> None:
    client = talk.client
    await client.initialize({**INLINE, "workspace": {"configuration": True}})
    await client.until(lambda: len(client.asked) == 1)
    id = client.asked[0]["id"]
    answers: list[dict[str, Any]] = [
        {"result": [{}]}, {"error": {"code": 1, "message": "no"}}, {"error": "no"}, {"result": 5}
    ]  # fmt: skip
    for answer in answers:
        client.send({"jsonrpc": "2.0", "id": id, **answer})
        client.send({"jsonrpc": "2.0", "id": 12345, **answer})
    assert (await client.call("treegraft/status"))["result"]["kind"] == "Normal"
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


async def test_17_an_answer_with_the_id_of_a_running_request_does_not_answer_it(
    client: Client, engine: ScriptedEngine
) -> None:
    engine.open.clear()
    client.open("x = \n")
    message = client.call_message("textDocument/inlineCompletion", asking(0, 4))
    client.send(message, {"jsonrpc": "2.0", "id": message["id"], "result": 5})
    await engine.asked_for(1)
    engine.open.set()
    assert len((await client.reply(message["id"]))["result"]["items"]) == 1


# --- what is no LSP at all ---


@pytest.mark.parametrize(
    ("body", "code", "id"),
    [
        (b"{", -32700, None),
        (b"", -32700, None),
        (b"\xff\xfe", -32700, None),
        (b"[" * 100_000, -32700, None),
        (b'{"jsonrpc": "2.0", "id": 1e999}', -32600, None),
        (b"[]", -32600, None),
        (b"5", -32600, None),
        (b'{"id": 9, "method": "shutdown"}', -32600, 9),
        (b'{"jsonrpc": "2.0", "id": 9, "method": 5}', -32600, 9),
        (b'{"jsonrpc": "2.0", "id": {}, "method": "shutdown"}', -32600, None),
        (b'{"jsonrpc": "2.0", "id": true, "method": "shutdown"}', -32600, None),
        (b'{"jsonrpc": "2.0", "id": null, "method": "shutdown"}', -32600, None),
        (b'{"jsonrpc": "2.0", "id": "\\ud800", "method": "x"}', -32601, "\ud800"),
    ],
)
async def test_what_is_no_message_is_refused_and_the_next_one_heard(
    client: Client, body: bytes, code: int, id: Any
) -> None:
    client.send(body)
    assert (await client.reply(id))["error"]["code"] == code
    assert (await client.call("treegraft/status"))["result"]["kind"] == "Normal"


@pytest.mark.parametrize(
    "noise",
    [b"\r\n\r\n", b"hello\n", b"Content-Length: x\r\n\r\n", b"Content-Length: -5\r\n\r\n", b"{}" * 20_000, b"\0" * 99],
)
async def test_noise_between_messages_is_skipped(client: Client, noise: bytes) -> None:
    client.send_bytes(noise)
    assert (await client.call("treegraft/status"))["result"]["kind"] == "Normal"


async def test_an_absurd_length_costs_one_message(client: Client) -> None:
    client.send_bytes(b"Content-Length: 99999999999\r\n\r\n{}")
    assert (await client.reply(None))["error"]["code"] == -32700
    assert (await client.call("treegraft/status"))["result"]["kind"] == "Normal"


async def test_headers_of_other_clients_are_understood(client: Client) -> None:
    body = b'{"jsonrpc": "2.0", "id": "a", "method": "treegraft/status"}'
    kind = b"application/vscode-jsonrpc; charset=utf-8"
    client.send_bytes(b"Content-Type: %b\r\ncontent-length:%d\r\nX-More: 1\r\n\r\n%b" % (kind, len(body), body))
    assert "result" in await client.reply("a")


async def test_a_message_that_arrives_byte_by_byte(client: Client) -> None:
    body = b'{"jsonrpc": "2.0", "id": "a", "method": "treegraft/status"}'
    for byte in b"Content-Length: %d\r\n\r\n%b" % (len(body), body):
        client.send_bytes(bytes([byte]))
        await asyncio.sleep(0)
    assert "result" in await client.reply("a")


async def test_a_wrong_change_changes_nothing(client: Client, engine: ScriptedEngine) -> None:
    client.open("x = \n")
    client.change(2, insert(0, 0, "a"), {"range": {"start": {"line": 0}}, "text": "b"})
    client.change(3, {"text": 5})
    client.notify("textDocument/didChange", {"textDocument": {"uri": URI}})
    client.notify("textDocument/didChange")
    client.notify("textDocument/didOpen", {"textDocument": {"uri": URI}})
    client.notify("textDocument/didClose", {"textDocument": {"uri": "file:///other"}})
    client.change(4, insert(0, 4, "c"))
    await client.complete(0, 5)
    assert engine.texts == [b"x = c\n"]


async def test_half_a_surrogate_pair_in_any_text(client: Client, engine: ScriptedEngine) -> None:
    client.open("x = '\ud83d'\n", uri="file:///\udc00.py")
    client.change(2, insert(0, 5, "\udc4b"), uri="file:///\udc00.py")
    assert len(await client.complete(0, 7, uri="file:///\udc00.py")) == 1
    assert engine.texts == ["x = '\ufffd\ufffd'\n".encode()]
    assert engine.asked[0].offset == 11
