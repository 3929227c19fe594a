"""What docs/behaviours.md promises, in conversations with `treegraft serve --stdio` of a client that nobody here wrote:
pytest-lsp, on pygls' client. It checks each message against the types of the specification.

What is no matter of the protocol (sockets, kills, the grammar, the model's cache) is tested elsewhere only.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from lsprotocol import types
from pygls.exceptions import JsonRpcException, JsonRpcRequestCancelled
from pytest_lsp import ClientServerConfig, LanguageClient, client_capabilities

from lsp_client import SUM, URI
from scripted_engine import ScriptedEngine

HERE = types.Position(1, 4)
AUTOMATIC, INVOKED = types.InlineCompletionTriggerKind.Automatic, types.InlineCompletionTriggerKind.Invoked


@dataclass
class Editor:
    """The client, and what an editor does with it."""

    client: LanguageClient
    engine: ScriptedEngine
    server: types.ServerCapabilities
    versions: dict[str, int] = field(default_factory=dict)

    def open(self, text: str = SUM, uri: str = URI, language: str = "python") -> None:
        self.versions[uri] = 1
        item = types.TextDocumentItem(uri, language, 1, text)
        self.client.text_document_did_open(types.DidOpenTextDocumentParams(item))

    def type(self, text: str, place: types.Position = HERE, uri: str = URI) -> None:
        self.versions[uri] += 1
        document = types.VersionedTextDocumentIdentifier(self.versions[uri], uri)
        change = types.TextDocumentContentChangePartial(types.Range(place, place), text)
        self.client.text_document_did_change(types.DidChangeTextDocumentParams(document, [change]))

    def asking(
        self,
        place: types.Position = HERE,
        uri: str = URI,
        kind: types.InlineCompletionTriggerKind = AUTOMATIC,
        selected: types.SelectedCompletionInfo | None = None,
    ) -> types.InlineCompletionParams:
        context = types.InlineCompletionContext(kind, selected)
        return types.InlineCompletionParams(context, types.TextDocumentIdentifier(uri), place)

    async def items(self, *args: Any, **more: Any) -> list[types.InlineCompletionItem]:
        found = await self.client.text_document_inline_completion_async(self.asking(*args, **more))
        assert isinstance(found, types.InlineCompletionList)
        return list(found.items)

    async def texts(self, *args: Any, **more: Any) -> list[Any]:
        return [item.insert_text for item in await self.items(*args, **more)]

    async def command(self, name: str, *arguments: Any) -> Any:
        params = types.ExecuteCommandParams(f"treegraft.{name}", list(arguments))
        return await self.client.workspace_execute_command_async(params)

    async def request(self, method: str, params: Any = None) -> Any:
        return await self.client.protocol.send_request_async(method, params)


Start = Callable[..., Awaitable[Editor]]


@pytest.fixture
async def start(tmp_path: Path) -> AsyncIterator[Start]:
    """Starts editors: each a server process of its own before one scripted engine."""
    engine = ScriptedEngine(tmp_path / "engine.sock")
    await engine.start()
    clients: list[LanguageClient] = []

    async def begin(
        like: str = "visual-studio-code",
        change: Callable[[types.ClientCapabilities], None] | None = None,
        **settings: Any,
    ) -> Editor:
        config = ClientServerConfig(
            [sys.executable, "-m", "treegraft_daemon", "--stdio"],
            server_env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join(sys.path),
                "TREEGRAFT_ENGINE_ADDRESS": str(engine.path),
            },
        )
        client = await config.start()
        assert isinstance(client, LanguageClient)
        clients.append(client)
        options = {"debounceMs": 0, "lookAhead": False, **settings}
        client.set_configuration({"treegraft": options})
        capabilities = client_capabilities(like)
        if change is not None:
            change(capabilities)
        greeting = await client.initialize_session(
            types.InitializeParams(capabilities, process_id=os.getpid(), initialization_options=options)
        )
        return Editor(client, engine, greeting.capabilities)

    yield begin
    for client in clients:
        await client.shutdown_session()
        await client.stop()  # type: ignore[no-untyped-call]
    await engine.die()


@pytest.fixture
async def editor(start: Start) -> Editor:
    """One that is as Visual Studio Code is, with a document open."""
    editor = await start()
    editor.open()
    return editor


@pytest.mark.parametrize("like", ["visual-studio-code", "neovim", "emacs"])
async def test_open_change_complete_accept(start: Start, like: str) -> None:
    editor = await start(like)
    editor.open()
    [suggestion] = await editor.items()
    assert suggestion.insert_text == "return sum(values)"
    assert suggestion.range == types.Range(HERE, HERE)
    editor.type("return")
    assert await editor.texts(types.Position(1, 10)) == [" sum(values)"]
    assert len(editor.engine.asked) == 1
    popup = await editor.client.text_document_completion_async(
        types.CompletionParams(types.TextDocumentIdentifier(URI), types.Position(1, 10))
    )
    assert isinstance(popup, types.CompletionList)
    assert [item.label for item in popup.items] == ["return sum(values)"]


async def test_what_is_typed_over_is_answered_with_nothing_and_a_cancelled_request_as_cancelled(editor: Editor) -> None:
    editor.engine.open.clear()
    first = asyncio.ensure_future(editor.texts())
    await editor.engine.asked_for(1)
    editor.type("x = ")
    params = editor.asking(types.Position(1, 8))
    second = editor.client.protocol.send_request_async("textDocument/inlineCompletion", params, msg_id="second")
    waiting = asyncio.ensure_future(second)
    assert await first == []
    await editor.engine.asked_for(2)
    editor.client.cancel_request(types.CancelParams("second"))
    with pytest.raises((JsonRpcRequestCancelled, asyncio.CancelledError)):
        await waiting
    assert len(editor.engine.cancelled) == 2


async def test_a_late_answer_is_nothing_now_and_there_the_next_time(start: Start) -> None:
    editor = await start(deadlineMs=10)
    editor.open()
    await editor.texts(types.Position(0, 0))  # now the engine is connected, and waited for no longer than this
    editor.engine.open.clear()
    assert await editor.texts() == []
    editor.engine.open.set()
    async with asyncio.timeout(10):
        while await editor.texts() != ["return sum(values)"]:
            await asyncio.sleep(0.05)
    assert len(editor.engine.asked) == 2


@pytest.mark.parametrize(("encoding", "units"), [("utf-8", 7), ("utf-16", 5), ("utf-32", 4)])
async def test_positions_in_the_clients_encoding(start: Start, encoding: str, units: int) -> None:
    def prefer(capabilities: types.ClientCapabilities) -> None:
        capabilities.general = types.GeneralClientCapabilities(position_encodings=[encoding])

    editor = await start(change=prefer)
    assert editor.server.position_encoding == encoding
    editor.open('"😀" \n')
    [item] = await editor.items(types.Position(0, units))
    assert editor.engine.asked[0].offset == 7
    assert item.range is not None and item.range.start.character == units


async def test_crlf_and_tabs(editor: Editor) -> None:
    editor.open("def f():\r\n\t\r\n", "file:///b.py")
    editor.engine.answers = ["if x:\r\n\t\treturn"]
    assert await editor.texts(types.Position(1, 1), "file:///b.py") == ["if x:\n\t\treturn"]


async def test_wrong_requests_cost_an_error_and_nothing_else(editor: Editor) -> None:
    with pytest.raises(JsonRpcException):
        await editor.request("treegraft/nothing")
    with pytest.raises(JsonRpcException):
        await editor.client.text_document_hover_async(types.HoverParams(types.TextDocumentIdentifier(URI), HERE))
    with pytest.raises(JsonRpcException):
        await editor.command("noSuchCommand")
    assert await editor.texts() == ["return sum(values)"]


async def test_a_dead_engine_costs_empty_answers(editor: Editor) -> None:
    await editor.engine.die()
    assert await editor.texts() == []
    assert "engine" in (await editor.request("treegraft/why")).why


async def test_two_editors_one_engine(start: Start) -> None:
    one, other = await start(), await start("neovim")
    one.open("a = \n")
    other.open("b = \n")
    assert await one.texts(types.Position(0, 4)) == await other.texts(types.Position(0, 4)) == ["return sum(values)"]
    assert one.engine.texts == [b"a = \n", b"b = \n"]
    assert one.engine.n_connections == 2


async def test_status_why_and_stats(editor: Editor) -> None:
    assert (await editor.request("treegraft/status")).documents == 1
    assert editor.engine.asked == []
    await editor.texts()
    assert "got 1 suggestion" in (await editor.request("treegraft/why")).why
    editor.client.protocol.notify("textDocument/didShowCompletion", {"item": {}})
    stats = await editor.request("treegraft/stats")
    assert (stats.counters.model_asked, stats.counters.suggestions_shown) == (1, 1)


async def test_within_a_burst_of_keys_the_last_is_a_question(start: Start) -> None:
    editor = await start(debounceMs=600)
    editor.open()
    editor.engine.answers = ["n sum(values)"]
    asked = []
    for n, key in enumerate("retur"):
        editor.type(key, types.Position(1, 4 + n))
        asked.append(asyncio.ensure_future(editor.texts(types.Position(1, 5 + n))))
        await asyncio.sleep(0.02)
    answers = await asyncio.gather(*asked)
    assert answers[1:] == [[], [], [], ["n sum(values)"]]
    assert len(editor.engine.asked) == 2  # the first key comes after a quiet moment


async def test_asked_by_hand_there_are_several_and_also_what_is_not_shown_unasked(editor: Editor) -> None:
    editor.engine.answers = ["return sum(values)", "return max(values)"]
    assert await editor.texts(kind=INVOKED) == ["return sum(values)", "return max(values)"]
    editor.open("f(a\n", "file:///b.py")
    editor.engine.answers = [")"]
    assert await editor.texts(types.Position(0, 3), "file:///b.py") == []
    assert await editor.texts(types.Position(0, 3), "file:///b.py", INVOKED) == [")"]


async def test_what_is_improbable_is_not_shown(editor: Editor) -> None:
    editor.engine.probability = 0.001
    assert await editor.texts() == []
    assert "not sure enough" in (await editor.request("treegraft/why")).why


@pytest.mark.parametrize(("beside", "expect"), [("extend", ["return sum(values)"]), ("hide", [])])
async def test_beside_the_popup(start: Start, beside: str, expect: list[str]) -> None:
    editor = await start(besidePopup=beside)
    editor.open(SUM.replace("    \n", "    ret\n", 1))
    editor.engine.answers = [" sum(values)"]
    word = types.Range(HERE, types.Position(1, 7))
    selected = types.SelectedCompletionInfo(word, "return")
    assert await editor.texts(types.Position(1, 7), selected=selected) == expect


async def test_secrets_are_left_alone_and_a_toggle_is_obeyed(editor: Editor) -> None:
    editor.open("KEY=\n", "file:///code/.env", "plaintext")
    assert await editor.texts(types.Position(0, 4), "file:///code/.env") == []
    assert editor.engine.asked == []
    assert (await editor.command("toggle"))["enabled"] is False
    assert await editor.texts() == []
    assert (await editor.command("toggle"))["enabled"] is True
    assert await editor.texts() == ["return sum(values)"]
    assert [path for path, _ in editor.engine.siblings[0]] == []


async def test_other_open_files_go_along(editor: Editor) -> None:
    editor.open("def help(): ...\n", "file:///code/help.py")
    await editor.texts()
    assert editor.engine.siblings == [[("/code/help.py", b"def help(): ...\n")]]


async def test_what_follows_is_prepared_while_one_reads(start: Start) -> None:
    editor = await start(lookAhead=True)
    editor.open()
    await editor.texts()
    editor.engine.answers = ["\n    # more"]
    await editor.engine.asked_for(2)
    editor.type("return sum(values)")
    async with asyncio.timeout(10):
        while await editor.texts(types.Position(1, 22)) != ["\n    # more"]:
            await asyncio.sleep(0.02)
    assert [request.ahead for request in editor.engine.asked] == [False, True]


async def test_a_request_is_saved(editor: Editor, tmp_path: Path) -> None:
    await editor.texts()
    saved = await editor.command("saveRequest", str(tmp_path / "request.json"))
    assert saved["path"] == str(tmp_path / "request.json")
    assert (tmp_path / "request.json").stat().st_mode & 0o777 == 0o600


async def test_what_is_not_checked_is_said(editor: Editor) -> None:
    editor.engine.constrained = False
    editor.open("x\n", "file:///a.unknown", "unknown")
    await editor.texts(types.Position(0, 1), "file:///a.unknown")
    status = await editor.request("treegraft/status")
    assert (status.kind, "not checked" in status.message) == ("Warning", True)


async def test_the_elder_requests_of_the_copilot_dialect(editor: Editor) -> None:
    assert (await editor.request("checkStatus")).status == "OK"
    doc = {"uri": URI, "version": 1, "position": {"line": 1, "character": 4}, "tabSize": 4, "insertSpaces": True}
    [found] = (await editor.request("getCompletions", {"doc": doc})).completions
    assert (found.text, found.displayText) == ("    return sum(values)", "return sum(values)")
    assert await editor.request("notifyAccepted", {"uuid": found.uuid}) == "OK"


async def test_no_text_of_a_document_is_logged(editor: Editor) -> None:
    editor.open("secret_name = \n", "file:///b.py")
    editor.engine.problem = "internal"
    assert await editor.texts(types.Position(0, 14), "file:///b.py") == []
    assert not [message for message in editor.client.log_messages if "secret_name" in message.message]
