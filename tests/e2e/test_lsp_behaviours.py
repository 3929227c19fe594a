"""What people expect of a server beside suggestions: it is of one mind with them, says why, counts, and obeys."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lsp_client import INLINE, SUM, URI, Client, Conversation, asking, converse, edit, hang_up, insert
from scripted_engine import ScriptedEngine
from treegraft_daemon.config import Settings
from treegraft_daemon.saved_request import load_request
from treegraft_daemon.serve import server

COMMANDS: dict[str, Any] = {**INLINE, "workspace": {"executeCommand": {}}}


async def command(client: Client, name: str, *arguments: Any) -> Any:
    params = {"command": f"treegraft.{name}", "arguments": list(arguments)}
    return (await client.call("workspace/executeCommand", params))["result"]


async def why(client: Client) -> str:
    found: str = (await client.call("treegraft/why"))["result"]["why"]
    return found


def ask(client: Client, line: int, character: int, **context: Any) -> int:
    message = client.call_message("textDocument/inlineCompletion", asking(line, character, **context))
    client.send(message)
    number: int = message["id"]
    return number


async def answer(client: Client, number: int) -> list[str]:
    reply = await client.reply(number)
    return (
        [item["insertText"] for item in reply["result"]["items"]] if "result" in reply else [reply["error"]["message"]]
    )


# --- typing ahead of a request ---


@pytest.mark.parametrize("cancels", [False, True])
async def test_typing_ahead_of_a_request_waits_for_its_answer(
    client: Client, engine: ScriptedEngine, cancels: bool
) -> None:
    engine.open.clear()
    first = ask(client, 1, 4)
    await engine.asked_for(1)
    client.change(2, insert(1, 4, "ret"))
    if cancels:
        client.notify("$/cancelRequest", {"id": first})
    second = ask(client, 1, 7)
    assert await answer(client, first) == (["cancelled"] if cancels else [])
    engine.open.set()
    assert await answer(client, second) == ["urn sum(values)"]
    assert len(engine.asked) == 1


async def test_typing_something_else_ahead_asks_again(client: Client, engine: ScriptedEngine) -> None:
    engine.open.clear()
    ask(client, 1, 4)
    await engine.asked_for(1)
    client.change(2, insert(1, 4, "x"))
    second = ask(client, 1, 5)
    engine.open.set()
    engine.answers = ["return sum(values)", "never"]
    await engine.asked_for(2)
    assert engine.texts[1] == SUM.replace("    \n", "    x\n", 1).encode()
    assert await answer(client, second) == ["return sum(values)"]


async def test_a_request_that_is_typed_over_and_never_followed_leaves_the_engine(
    client: Client, engine: ScriptedEngine
) -> None:
    engine.open.clear()
    first = ask(client, 1, 4)
    await engine.asked_for(1)
    client.change(2, insert(1, 4, "ret"))
    client.notify("$/cancelRequest", {"id": first})
    await client.reply(first)
    async with asyncio.timeout(5):
        while engine.n_running:
            await asyncio.sleep(0.005)
    assert len(engine.cancelled) == 1


async def test_an_edit_elsewhere_takes_the_elder_request_off_the_engine(client: Client, engine: ScriptedEngine) -> None:
    engine.open.clear()
    ask(client, 1, 4)
    await engine.asked_for(1)
    client.change(2, edit(5, 4, 5, 8, "return"))
    ask(client, 5, 10)
    await engine.asked_for(2)
    assert len(engine.cancelled) == 1


# --- looking ahead ---


async def test_what_follows_a_suggestion_is_ready_when_it_is_accepted(
    settings: Settings, engine: ScriptedEngine
) -> None:
    talk = await converse(replace(settings, look_ahead=True))
    await talk.client.initialize()
    talk.client.open(SUM)
    await talk.client.complete(1, 4)
    engine.answers = ["\n    # more"]
    await engine.asked_for(2)
    assert b"    return sum(values)\n" in engine.texts[1]
    assert [request.ahead for request in engine.asked] == [False, True]
    talk.client.change(2, insert(1, 4, "return sum(values)"))
    assert [item["insertText"] for item in await talk.client.complete(1, 22)] == ["\n    # more"]
    assert talk.server.counters.snapshot()["looked_ahead"] == 1
    await hang_up(talk)


async def test_a_key_ends_looking_ahead(settings: Settings, engine: ScriptedEngine) -> None:
    talk = await converse(replace(settings, look_ahead=True))
    await talk.client.initialize()
    talk.client.open(SUM)
    await talk.client.complete(1, 4)
    engine.open.clear()
    await engine.asked_for(2)
    talk.client.change(2, insert(1, 4, "x"))
    ask(talk.client, 1, 5)
    await engine.asked_for(3)
    assert len(engine.cancelled) == 1
    await hang_up(talk)


# --- worth showing ---


async def test_a_closing_mark_is_shown_only_when_asked_for(client: Client, engine: ScriptedEngine) -> None:
    engine.answers = [")"]
    assert await client.complete(1, 4) == []
    assert await why(client) == "nothing in a.py: only closing marks"
    assert len(await client.complete(1, 4, trigger=1)) == 1


# --- why ---


async def test_why_tells_what_became_of_the_last_request(
    client: Client, engine: ScriptedEngine, tmp_path: Path
) -> None:
    assert await why(client) == "nothing was asked for yet"
    await client.complete(1, 4)
    assert (await why(client)).startswith("the last request, in a.py, got 1 suggestion in ")
    client.change(2, insert(1, 4, "ret"))
    await client.complete(1, 7)
    assert "without asking the model" in await why(client)
    engine.probability = 0.001
    client.change(3, insert(1, 4, "x"))
    assert await client.complete(1, 5) == []
    assert await why(client) == "nothing in a.py: not sure enough"
    engine.problem = "loading"
    assert await client.complete(1, 3) == []
    assert await why(client) == "nothing in a.py: the model is being loaded"
    client.open("x", "file:///p/.env")
    assert await client.complete(0, 1, "file:///p/.env") == []
    assert await why(client) == "nothing in .env: .env may hold secrets"
    assert await client.complete(0, 0, "file:///nowhere.py") == []
    assert await why(client) == "nothing in file:///nowhere.py: the document is not open"


async def test_why_tells_no_text(client: Client, engine: ScriptedEngine) -> None:
    await client.complete(1, 4)
    told = str(await client.call("treegraft/why")) + str(await client.call("treegraft/stats"))
    assert "values" not in told


async def test_why_tells_that_the_model_is_being_loaded(client: Client, engine: ScriptedEngine) -> None:
    engine.state = "loading"
    await client.complete(1, 4)
    assert (await why(client)).endswith("; the engine: loading")


async def test_the_command_why_shows_its_sentence(settings: Settings, engine: ScriptedEngine) -> None:
    talk = await converse(settings)
    await talk.client.initialize(COMMANDS)
    await command(talk.client, "why")
    shown = [notice["params"] for notice in talk.client.notices if notice["method"] == "window/showMessage"]
    assert shown == [{"type": 3, "message": "treegraft: nothing was asked for yet"}]
    await hang_up(talk)


# --- progress ---


async def test_loading_a_model_is_progress(settings: Settings, engine: ScriptedEngine) -> None:
    engine.state = "loading"
    talk = await converse(settings)
    await talk.client.initialize({**INLINE, "window": {"workDoneProgress": True}})

    def progress() -> list[dict[str, Any]]:
        return [notice["params"]["value"] for notice in talk.client.notices if notice["method"] == "$/progress"]

    await talk.client.until(lambda: len(progress()) >= 2)
    assert [asked["method"] for asked in talk.client.asked] == ["window/workDoneProgress/create"]
    assert progress()[0] == {"kind": "begin", "title": "treegraft", "message": "loading the model scripted"}
    assert progress()[1]["kind"] == "report"
    assert talk.client.statuses[-1] == {"kind": "Normal", "message": "loading the model scripted", "busy": True}
    engine.loaded = 0.43
    await talk.client.until(lambda: progress()[-1].get("percentage") == 43)
    assert talk.client.statuses[-1]["message"] == "loading the model scripted, 43 %"
    assert (await why(talk.client)).endswith("; the engine: loading 43 %")
    engine.state = "ready"
    await talk.client.until(lambda: progress()[-1]["kind"] == "end")
    await talk.client.until(lambda: not talk.client.statuses[-1]["busy"])
    await hang_up(talk)


async def test_without_the_capability_there_is_no_progress(settings: Settings, engine: ScriptedEngine) -> None:
    engine.state = "loading"
    talk = await converse(settings)
    await talk.client.initialize()
    await talk.client.until(lambda: bool(talk.client.statuses))
    engine.state = "failed: no such file"
    await talk.client.until(lambda: talk.client.statuses[-1]["kind"] == "Error")
    assert talk.client.statuses[-1]["message"] == "failed: no such file"
    assert talk.client.asked == []
    await hang_up(talk)


# --- commands ---


async def test_toggle_switches_off_and_on(client: Client, engine: ScriptedEngine) -> None:
    assert await command(client, "toggle") == {"enabled": False}
    assert await client.complete(1, 4) == []
    assert client.statuses[-1] == {"kind": "Inactive", "message": "switched off by a command", "busy": False}
    client.notify("workspace/didChangeConfiguration", {"settings": {"treegraft": {"maxTokens": 9}}})
    assert await client.complete(1, 4) == []  # what a command said outlives other settings
    assert await command(client, "toggle") == {"enabled": True}
    assert len(await client.complete(1, 4)) == 1
    assert engine.asked[-1].max_tokens == 9


async def test_another_model_by_command(client: Client, engine: ScriptedEngine) -> None:
    await client.complete(1, 4)
    assert await command(client, "switchModel", "/models/other") == {"model": "/models/other"}
    await client.complete(1, 4)
    assert engine.n_connections == 2
    refused = await client.call("workspace/executeCommand", {"command": "treegraft.switchModel"})
    assert refused["error"]["code"] == -32602


async def test_restarting_the_engine(settings: Settings, engine: ScriptedEngine) -> None:
    """An engine of another machine is not ours to end; one of this machine ends, and the next one is found."""
    talk = await converse(settings)
    await talk.client.initialize()
    refused = await talk.client.call("workspace/executeCommand", {"command": "treegraft.restartEngine"})
    assert refused["error"]["code"] == -32803
    await hang_up(talk)

    async def connect(_: Settings) -> Any:
        from treegraft_daemon import engine_client

        return await engine_client.connect(settings, start=False)

    talk = await converse(Settings(debounce_ms=0, look_ahead=False), connect)
    await talk.client.initialize()
    talk.client.open(SUM)
    await talk.client.complete(1, 4)
    assert await command(talk.client, "restartEngine") == {"running": True}
    assert engine.n_stopped == 1
    await talk.client.complete(1, 4)
    assert len(engine.asked) == 2  # nothing is answered from what the elder engine said
    await hang_up(talk)


async def test_a_request_is_saved_when_asked_for(client: Client, engine: ScriptedEngine, tmp_path: Path) -> None:
    path = tmp_path / "request.json"
    save = {"command": "treegraft.saveRequest", "arguments": [str(path)]}
    assert (await client.call("workspace/executeCommand", save))["error"]["message"] == "the engine was not asked yet"
    client.open("b = 2\n", "file:///code/b.py")
    await client.complete(1, 4)
    assert await command(client, "saveRequest", str(path)) == {"path": str(path)}
    assert path.stat().st_mode & 0o777 == 0o600
    saved = load_request(path)
    assert (saved.text, saved.offset) == (SUM.encode(), 19)
    assert saved.siblings == (("/code/b.py", b"b = 2\n"),)
    save["arguments"] = [str(tmp_path / "none" / "request.json")]
    assert "cannot write" in (await client.call("workspace/executeCommand", save))["error"]["message"]


# --- statistics ---


async def test_what_is_kept_and_what_is_not(
    settings: Settings, engine: ScriptedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "RETAINED_AFTER_S", 0.05)
    talk = await converse(settings)
    await talk.client.initialize(COMMANDS)
    talk.client.open(SUM)
    (item,) = await talk.client.complete(1, 4)
    talk.client.change(2, insert(1, 4, item["insertText"]))
    await command(talk.client, "accept", *item["command"]["arguments"])
    await command(talk.client, "accept", *item["command"]["arguments"])  # twice is once
    await asyncio.sleep(0.1)
    engine.answers = ["total = 0"]
    (item,) = await talk.client.complete(2, 0)
    await command(talk.client, "accept", *item["command"]["arguments"])  # and is taken back at once
    await asyncio.sleep(0.1)
    stats = await command(talk.client, "stats")
    counters = stats["counters"]
    assert counters["suggestions_offered"] == counters["suggestions_accepted"] == 2
    assert counters["characters_accepted"] == len("return sum(values)total = 0")
    assert (counters["suggestions_retained"], counters["suggestions_changed_later"]) == (1, 1)
    median, high, tail = stats["latenciesMs"]["answer"]
    assert 0 < median <= high <= tail
    await hang_up(talk)


async def test_the_engine_is_told_what_was_counted(talk: Conversation, engine: ScriptedEngine) -> None:
    await talk.client.complete(1, 4)
    await talk.client.complete(1, 4)
    await hang_up(talk)
    async with asyncio.timeout(5):
        while not engine.told:
            await asyncio.sleep(0.005)
    told = engine.told[0]
    assert told.counts["requests"] == told.counts["suggestions_offered"] == 2
    assert told.counts["answered_from_memory"] == 1
    assert len(told.latencies_ms["answer"]) == 2


# --- the Copilot dialect ---


async def test_formatting_options_reach_the_engine(client: Client, engine: ScriptedEngine) -> None:
    params = {**asking(1, 4), "formattingOptions": {"tabSize": 2, "insertSpaces": True}}
    await client.call("textDocument/inlineCompletion", params)
    client.change(2, insert(1, 4, "x"))
    params = {**asking(1, 5), "formattingOptions": {"tabSize": 8, "insertSpaces": False}}
    await client.call("textDocument/inlineCompletion", params)
    client.change(3, insert(1, 4, "y"))
    params = {**asking(1, 6), "formattingOptions": {"tabSize": "wide"}}
    await client.call("textDocument/inlineCompletion", params)
    assert [request.indent for request in engine.asked] == ["  ", "\t", ""]


async def test_the_panel_shows_all_candidates(client: Client, engine: ScriptedEngine) -> None:
    engine.answers = ["a", "b", "c"]
    params = {"textDocument": {"uri": URI, "version": 1}, "position": {"line": 1, "character": 4}}
    reply = await client.call("textDocument/copilotPanelCompletion", params)
    assert [item["insertText"] for item in reply["result"]["items"]] == ["a", "b", "c"]
    assert (await client.call("textDocument/copilotPanelCompletion", {}))["error"]["code"] == -32602


async def test_the_dialect_as_it_was_before_inline_completion(client: Client, engine: ScriptedEngine) -> None:
    engine.answers = ["urn 1", "urn 2", "aise"]
    client.change(2, insert(1, 4, "ré = ret"))
    doc = {"uri": URI, "version": 2, "position": {"line": 1, "character": 12}, "tabSize": 2, "insertSpaces": True}
    (shown,) = (await client.call("getCompletions", {"doc": doc}))["result"]["completions"]
    assert shown["text"] == "    ré = return 1" and shown["displayText"] == "urn 1"
    assert shown["range"] == {"start": {"line": 1, "character": 0}, "end": {"line": 1, "character": 12}}
    assert (shown["position"], shown["docVersion"]) == (doc["position"], 2)
    assert engine.asked[0].indent == "  "
    cycled = (await client.call("getCompletionsCycling", {"doc": doc}))["result"]["completions"]
    assert [one["displayText"] for one in cycled] == ["urn 1", "urn 2", "aise"]
    assert (await client.call("notifyShown", {"uuid": shown["uuid"]}))["result"] == "OK"
    assert (await client.call("notifyAccepted", {"uuid": shown["uuid"]}))["result"] == "OK"
    assert (await client.call("notifyRejected", {"uuids": [one["uuid"] for one in cycled]}))["result"] == "OK"
    counted = (await client.call("treegraft/stats"))["result"]["counters"]
    assert (counted["suggestions_shown"], counted["suggestions_accepted"]) == (1, 1)


@pytest.mark.parametrize("params", [{}, {"doc": 3}, {"doc": {"uri": URI}}, {"doc": {"uri": 1, "position": {}}}, None])
async def test_what_is_no_document_of_the_dialect_is_refused(client: Client, params: object) -> None:
    assert (await client.call("getCompletions", params))["error"]["code"] == -32602


async def test_an_elder_request_of_the_dialect_is_answered_in_its_own_form(
    client: Client, engine: ScriptedEngine
) -> None:
    engine.open.clear()
    doc = {"uri": URI, "version": 1, "position": {"line": 1, "character": 4}}
    elder = asyncio.ensure_future(client.call("getCompletions", {"doc": doc}))
    await client.until(lambda: len(engine.asked) == 1)
    client.change(2, insert(1, 4, "x"))
    later = asyncio.ensure_future(client.complete(1, 5))
    assert (await elder)["result"] == {"completions": []}
    engine.open.set()
    await later


async def test_the_rest_of_the_dialect_is_answered(client: Client, engine: ScriptedEngine) -> None:
    for method, params, key in (
        ("signIn", {}, "status"),
        ("signInConfirm", {}, "status"),
        ("signOut", {}, "status"),
        ("checkStatus", {}, "status"),
        ("getVersion", {}, "version"),
        (
            "textDocument/copilotInlineEdit",
            {"textDocument": {"uri": URI}, "position": {"line": 0, "character": 0}},
            "edits",
        ),
    ):
        assert key in (await client.call(method, params))["result"]
    assert (await client.call("setEditorInfo", {"editorInfo": {"name": "x", "version": "1"}}))["result"] == "OK"
