"""What an editor and the server say to each other, with a scripted engine behind a real socket."""

from __future__ import annotations

import asyncio
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from awkward import ENCODINGS
from lsp_client import (
    INLINE,
    SUM,
    URI,
    Client,
    Conversation,
    asking,
    changing,
    converse,
    hang_up,
    insert,
    notice,
    opening,
)
from scripted_engine import ScriptedEngine
from treegraft_daemon.config import MAX_DOCUMENT_BYTES, Settings


def texts(items: list[dict[str, Any]]) -> list[str]:
    return [item["insertText"] for item in items]


# --- what is suggested ---


async def test_a_suggestion_is_a_pure_insertion_at_the_cursor(client: Client, engine: ScriptedEngine) -> None:
    (item,) = await client.complete(1, 4)
    place = {"line": 1, "character": 4}
    assert item == {"insertText": "return sum(values)", "range": {"start": place, "end": place}}
    (request,) = engine.asked
    assert (engine.texts[0], request.offset, request.language) == (SUM.encode(), 19, "python")
    assert (request.path, request.n, request.constraint, request.multiline) == ("/code/a.py", 1, True, "auto")


async def test_asked_by_hand_there_are_several_candidates(client: Client, engine: ScriptedEngine) -> None:
    engine.answers = ["pass", "return values", "pass", "  ", "raise"]
    assert texts(await client.complete(1, 4, trigger=1)) == ["pass", "return values"]  # of three, none twice
    assert engine.asked[0].n == 3


async def test_a_candidate_far_less_probable_than_the_first_is_not_offered(
    client: Client, engine: ScriptedEngine
) -> None:
    engine.answers, engine.probability, engine.further = ["pass", "return values", "raise"], 0.01, 0.1
    assert texts(await client.complete(1, 4, trigger=1)) == ["pass", "return values"]


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("before", ["x = ", "é = ", "語='😋' + ", "\ty\f= ", "a\u2028b = "])
@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
async def test_every_encoding_leads_to_the_same_offset(
    settings: Settings, engine: ScriptedEngine, encoding: str, before: str, line_end: str
) -> None:
    talk = await converse(settings)
    width = {"utf-8": ("utf-8", 1), "utf-16": ("utf-16-le", 2), "utf-32": ("utf-32-le", 4)}[encoding]
    capabilities = {**INLINE, "general": {"positionEncodings": [encoding]}}
    found = await talk.client.initialize(capabilities)
    assert found["capabilities"]["positionEncoding"] == encoding
    talk.client.open(f"# é{line_end}{before}{line_end}")
    character = len(before.encode(width[0])) // width[1]
    talk.client.change(2, insert(1, character, "z😋"))
    (item,) = await talk.client.complete(1, character)
    assert item["range"]["start"] == {"line": 1, "character": character}
    head = f"# é{line_end}{before}".encode()
    assert (engine.texts[0][: engine.asked[0].offset], engine.texts[0][len(head) :]) == (
        head,
        f"z😋{line_end}".encode(),
    )
    await hang_up(talk)


async def test_the_engine_has_the_text_after_any_edits(client: Client, engine: ScriptedEngine) -> None:
    rng, text = random.Random(3), SUM
    for version in range(2, 30):
        line, new = rng.randrange(5), rng.choice("ab😋\n")
        lines = text.split("\n")
        lines[line] = new + lines[line]
        text = "é" + "\n".join(lines)
        client.change(version, insert(line, 0, new), insert(0, 0, "é"))
        await client.complete(0, version)
        assert engine.texts[-1].decode() == text
    assert len(engine.asked) == 28


async def test_typing_along_is_answered_without_the_engine(client: Client, engine: ScriptedEngine) -> None:
    await client.complete(1, 4)
    for n, letter in enumerate("return "):
        client.change(n + 2, insert(1, 4 + n, letter))
        (item,) = await client.complete(1, 5 + n)
        assert item["insertText"] == "return sum(values)"[n + 1 :]
    assert len(engine.asked) == 1


async def test_a_suggestion_in_a_crlf_file_has_plain_line_feeds_and_is_typed_along(
    client: Client, engine: ScriptedEngine
) -> None:
    engine.answers = ["if a:\n    b"]
    client.open("x\r\n\r\ny\r\n", uri="file:///crlf.py")
    assert texts(await client.complete(1, 0, uri="file:///crlf.py")) == ["if a:\n    b"]
    client.change(2, insert(1, 0, "if a:\r\n    "), uri="file:///crlf.py")
    assert texts(await client.complete(2, 4, uri="file:///crlf.py")) == ["b"]
    assert len(engine.asked) == 1


async def test_other_open_files_go_along_but_no_secrets(client: Client, engine: ScriptedEngine) -> None:
    client.open("B = 1\n", uri="file:///code/b.py")
    client.open('{"password": 1}', uri="file:///code/credentials.json", language="json")
    client.open("TOKEN=1", uri="file:///code/.env", language="shellscript")
    await client.complete(1, 4)
    assert engine.siblings == [[("/code/b.py", b"B = 1\n")]]


async def test_a_position_outside_the_document_is_clamped_and_echoed(client: Client, engine: ScriptedEngine) -> None:
    (item,) = await client.complete(99, 99)
    assert item["range"]["start"] == {"line": 99, "character": 99}
    assert engine.asked[0].offset == len(SUM)


# --- the popup ---


async def test_a_selected_popup_item_is_extended(client: Client, engine: ScriptedEngine) -> None:
    client.change(2, insert(1, 4, "pri"))
    engine.answers = ["(values)"]
    word = {"start": {"line": 1, "character": 4}, "end": {"line": 1, "character": 7}}
    (item,) = await client.complete(1, 7, selectedCompletionInfo={"range": word, "text": "print"})
    assert item == {"insertText": "print(values)", "range": word}
    assert engine.texts[0] == SUM.replace("    \n", "    print\n", 1).encode()
    client.change(3, insert(1, 7, "nt"))  # the item was accepted
    assert texts(await client.complete(1, 9)) == ["(values)"]
    assert len(engine.asked) == 1


async def test_a_selected_item_that_changes_what_is_typed_gets_nothing(client: Client, engine: ScriptedEngine) -> None:
    client.change(2, insert(1, 4, "pri"))
    word = {"start": {"line": 1, "character": 4}, "end": {"line": 1, "character": 7}}
    assert await client.complete(1, 7, selectedCompletionInfo={"range": word, "text": "sprint"}) == []
    assert engine.asked == []


async def test_a_client_without_inline_completion_gets_one_popup_item(
    settings: Settings, engine: ScriptedEngine
) -> None:
    talk = await converse(settings)
    found = await talk.client.initialize({"textDocument": {"completion": {}}})
    assert found["capabilities"]["completionProvider"]["triggerCharacters"]
    assert "inlineCompletionProvider" in found["capabilities"]  # some use it without announcing it
    talk.client.open("x = é.val\n")
    engine.answers = ["ues(1,\n  2)"]
    place = {"textDocument": {"uri": URI}, "position": {"line": 0, "character": 9}}
    result = (await talk.client.call("textDocument/completion", place))["result"]
    (item,) = result["items"]
    assert result["isIncomplete"] is True
    assert (item["label"], item["filterText"], item["detail"]) == ("values(1,", "val", "treegraft")
    word = {"start": {"line": 0, "character": 6}, "end": {"line": 0, "character": 9}}
    assert item["textEdit"] == {"range": word, "newText": "values(1,\n  2)"}
    assert item["documentation"] == "values(1,\n  2)"
    assert item["insertTextFormat"] == 1
    await hang_up(talk)


async def test_the_popup_is_off_for_a_client_that_completes_inline(client: Client, engine: ScriptedEngine) -> None:
    place = {"textDocument": {"uri": URI}, "position": {"line": 1, "character": 4}}
    assert (await client.call("textDocument/completion", place))["result"]["items"] == []
    assert engine.asked == []


# --- cancelling, superseding, one reply each ---


async def test_a_cancelled_request_is_answered_so_and_leaves_the_engine(client: Client, engine: ScriptedEngine) -> None:
    engine.open.clear()
    message = client.call_message("textDocument/inlineCompletion", asking(1, 4))
    client.send(message)
    await engine.asked_for(1)
    client.notify("$/cancelRequest", {"id": message["id"]})
    assert (await client.reply(message["id"], timeout=2))["error"]["code"] == -32800
    async with asyncio.timeout(5):
        while engine.n_running:
            await asyncio.sleep(0.002)
    assert engine.cancelled == [engine.asked[0].id]


async def test_a_newer_request_answers_the_elder_with_nothing(client: Client, engine: ScriptedEngine) -> None:
    engine.open.clear()
    elder = client.call_message("textDocument/inlineCompletion", asking(1, 4))
    newer = client.call_message("textDocument/inlineCompletion", asking(2, 0))
    client.send(elder)
    await engine.asked_for(1)
    client.send(newer)
    assert (await client.reply(elder["id"], timeout=2))["result"] == {"items": []}
    await engine.asked_for(2)
    engine.open.set()
    assert texts((await client.reply(newer["id"]))["result"]["items"]) == ["return sum(values)"]
    assert len(client.replies[elder["id"]]) == 1


async def test_another_document_is_not_superseded(client: Client, engine: ScriptedEngine) -> None:
    engine.open.clear()
    client.open(SUM, uri="file:///code/b.py")
    messages = [
        client.call_message("textDocument/inlineCompletion", asking(1, 4, uri=uri))
        for uri in (URI, "file:///code/b.py")
    ]
    client.send(*messages)
    await engine.asked_for(2)
    engine.open.set()
    for message in messages:
        assert len((await client.reply(message["id"]))["result"]["items"]) == 1


async def test_an_answer_for_an_elder_text_is_dropped_and_remembered(client: Client, engine: ScriptedEngine) -> None:
    engine.open.clear()
    message = client.call_message("textDocument/inlineCompletion", asking(1, 4))
    client.send(message)
    await engine.asked_for(1)
    client.change(2, insert(1, 4, "ret"))
    await client.call("treegraft/status")  # the change has been handled
    engine.open.set()
    assert (await client.reply(message["id"]))["result"]["items"] == []
    assert texts(await client.complete(1, 7)) == ["urn sum(values)"]
    assert len(engine.asked) == 1


async def test_closing_a_document_answers_its_request(client: Client, engine: ScriptedEngine) -> None:
    engine.open.clear()
    message = client.call_message("textDocument/inlineCompletion", asking(1, 4))
    client.send(message)
    await engine.asked_for(1)
    client.notify("textDocument/didClose", {"textDocument": {"uri": URI}})
    assert (await client.reply(message["id"], timeout=2))["result"]["items"] == []


async def test_a_hundred_requests_cancelled_at_random_moments_get_a_hundred_replies(
    client: Client, engine: ScriptedEngine
) -> None:
    rng = random.Random(11)
    ids = []
    for n in range(100):
        if rng.random() < 0.3:
            engine.open.clear()
        message = client.call_message("textDocument/inlineCompletion", asking(n % 6, 0))
        client.send(message)
        ids.append(message["id"])
        await asyncio.sleep(rng.choice((0, 0, 0.001, 0.004)))
        if rng.random() < 0.7:
            client.notify("$/cancelRequest", {"id": rng.choice(ids[-3:])})
        if rng.random() < 0.5:
            engine.open.set()
    engine.open.set()
    for id in ids:
        reply = await client.reply(id)
        assert "result" in reply or reply["error"]["code"] == -32800
    await client.call("treegraft/status")
    assert {len(client.replies[id]) for id in ids} == {1}
    assert engine.n_running == 0


async def test_a_burst_of_keys_asks_the_engine_once(settings: Settings, engine: ScriptedEngine) -> None:
    talk = await converse(replace(settings, debounce_ms=60))
    await talk.client.initialize()
    talk.client.open(SUM)
    await talk.client.complete(0, 0)
    messages = [talk.client.call_message("textDocument/inlineCompletion", asking(1, n)) for n in range(5)]
    talk.client.send(*messages)
    replies = [await talk.client.reply(message["id"]) for message in messages]
    assert [len(reply["result"]["items"]) for reply in replies] == [0, 0, 0, 0, 1]
    assert len(engine.asked) == 2  # the first of all, and the last of the burst
    talk.client.send(message := talk.client.call_message("textDocument/inlineCompletion", asking(4, 0, trigger=1)))
    await asyncio.wait_for(talk.client.reply(message["id"]), 2)
    await hang_up(talk)


# --- an engine in trouble ---


async def test_a_dying_engine_costs_one_empty_answer(client: Client, engine: ScriptedEngine) -> None:
    engine.dies_when_asked = True
    assert await client.complete(1, 4) == []
    assert client.statuses[-1]["kind"] == "Error"
    engine.dies_when_asked = False
    await engine.start()
    assert len(await client.complete(1, 4)) == 1
    assert client.statuses[-1] == {"kind": "Normal", "message": "", "busy": False}


async def test_an_engine_that_refuses_costs_an_empty_answer(client: Client, engine: ScriptedEngine) -> None:
    engine.problem = "internal"
    assert await client.complete(1, 4) == []
    engine.problem = None
    assert len(await client.complete(1, 4)) == 1


async def test_a_wedged_engine_costs_an_empty_answer(
    settings: Settings, engine: ScriptedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("treegraft_daemon.serve.suggester.PATIENCE_S", 0.05)
    talk = await converse(replace(settings, deadline_ms=50))
    await talk.client.initialize()
    talk.client.open(SUM)
    await talk.client.complete(0, 0)
    engine.open.clear()
    assert await talk.client.complete(1, 4) == []
    assert "in time" in talk.client.statuses[-1]["message"]
    engine.open.set()  # it answers after all: not shown then, but remembered
    async with asyncio.timeout(5):
        while engine.n_running:
            await asyncio.sleep(0.002)
    assert len(await talk.client.complete(1, 4)) == 1
    assert len(engine.asked) == 2
    await hang_up(talk)


async def test_a_blank_answer_shows_nothing(client: Client, engine: ScriptedEngine) -> None:
    engine.answers, engine.reason = [" \n  "], "nothing fits"
    assert await client.complete(1, 4) == []
    assert (await client.call("treegraft/status"))["result"]["lastReason"] == "nothing fits"
    assert client.statuses[-1] == {"kind": "Normal", "message": "", "busy": False}


# --- documents that get nothing, and why ---


@pytest.mark.parametrize(
    ("uri", "text", "why"),
    [
        ("file:///code/a.bin", "a\0b", "NUL"),
        ("file:///code/huge.py", "x = 1\n" * (MAX_DOCUMENT_BYTES // 6 + 1), "larger than 4 MiB"),
        ("file:///code/.env", "TOKEN=", "secrets"),
    ],
)
async def test_binary_huge_and_secret_files_get_nothing_and_a_reason(
    client: Client, engine: ScriptedEngine, uri: str, text: str, why: str
) -> None:
    client.open(text, uri=uri)
    assert await client.complete(0, 0, uri=uri) == []
    report = (await client.call("treegraft/status"))["result"]
    assert report["kind"] == "Inactive"
    assert why in report["message"]
    assert client.statuses[-1]["message"] == report["message"]
    assert engine.asked == []
    assert len(await client.complete(1, 4)) == 1  # other files are served as before
    assert client.statuses[-1]["kind"] == "Normal"


async def test_a_document_that_is_not_open_gets_nothing(client: Client) -> None:
    assert await client.complete(0, 0, uri="file:///etc/hostname") == []


async def test_an_empty_file_is_served(client: Client, engine: ScriptedEngine) -> None:
    client.open("", uri="file:///code/new.py")
    assert len(await client.complete(0, 0, uri="file:///code/new.py")) == 1


async def test_a_file_without_a_name_has_the_language_its_editor_says(client: Client, engine: ScriptedEngine) -> None:
    client.open("x", uri="untitled:Untitled-1", language="go")
    await client.complete(0, 1, uri="untitled:Untitled-1")
    assert engine.asked[0].language == "go"


async def test_an_unknown_language_is_served_and_told_to_be_unchecked(client: Client, engine: ScriptedEngine) -> None:
    engine.constrained = False
    client.open("(de", uri="file:///code/a.lisp", language="commonlisp")
    assert len(await client.complete(0, 3, uri="file:///code/a.lisp")) == 1
    assert engine.asked[0].language is None
    status = client.statuses[-1]
    assert (status["kind"], "not checked" in status["message"]) == ("Warning", True)
    assert "commonlisp" in status["message"]


async def test_ignore_files_count_for_the_document_and_for_context(
    client: Client, engine: ScriptedEngine, tmp_path: Path
) -> None:
    (tmp_path / ".treegraftignore").write_text("private/\n")
    private, public = (f"file://{tmp_path}/{name}.py" for name in ("private/a", "public"))
    client.open("a = 1\n", private)
    client.open("b = 2\n", public)
    assert await client.complete(1, 0, private) == []
    assert client.statuses[-1]["message"] == f"a.py is excluded by {tmp_path}/.treegraftignore"
    assert await client.complete(1, 0, public)
    assert [path for path, _ in engine.siblings[-1]] == ["/code/a.py"]


async def test_files_are_excluded_by_a_setting(client: Client, engine: ScriptedEngine) -> None:
    client.notify("workspace/didChangeConfiguration", {"settings": {"treegraft": {"excludedFiles": ["a.*"]}}})
    assert await client.complete(1, 4) == []
    assert client.statuses[-1]["message"] == "a.py is excluded by a setting"
    assert engine.asked == []


async def test_beside_the_popup_nothing_if_so_set(client: Client, engine: ScriptedEngine) -> None:
    client.notify("workspace/didChangeConfiguration", {"settings": {"treegraft": {"besidePopup": "hide"}}})
    selected = {"range": {"start": {"line": 1, "character": 4}, "end": {"line": 1, "character": 4}}, "text": "ret"}
    assert await client.complete(1, 4, selectedCompletionInfo=selected) == []
    assert await client.complete(1, 4)


# --- settings ---


async def test_settings_come_with_initialize(settings: Settings, engine: ScriptedEngine) -> None:
    talk = await converse(settings)
    await talk.client.initialize(initializationOptions={"treegraft": {"maxTokens": 7, "temperature": 0.5}})
    talk.client.open(SUM)
    await talk.client.complete(1, 4)
    assert (engine.asked[0].max_tokens, engine.asked[0].temperature) == (7, 0.5)
    await hang_up(talk)


async def test_settings_are_pulled_and_pulled_again(settings: Settings, engine: ScriptedEngine) -> None:
    talk = await converse(settings)
    talk.client.answers["workspace/configuration"] = [{"maxTokens": 9}]
    await talk.client.initialize({**INLINE, "workspace": {"configuration": True}})
    await talk.client.until(lambda: len(talk.client.asked) == 1)
    assert talk.client.asked[0]["params"] == {"items": [{"section": "treegraft"}]}
    talk.client.open(SUM)
    await talk.client.complete(1, 4)
    talk.client.answers["workspace/configuration"] = [{"maxTokens": 10, "multiline": None}]
    talk.client.notify("workspace/didChangeConfiguration", {"settings": None})
    await talk.client.until(lambda: len(talk.client.asked) == 2)
    await talk.client.complete(2, 0)
    assert [request.max_tokens for request in engine.asked] == [9, 10]
    await hang_up(talk)


@pytest.mark.parametrize("is_dynamic", [True, False])
async def test_changed_settings_are_asked_for_where_clients_want_that(settings: Settings, is_dynamic: bool) -> None:
    talk = await converse(settings)
    workspace = {"configuration": True, "didChangeConfiguration": {"dynamicRegistration": is_dynamic}}
    await talk.client.initialize({**INLINE, "workspace": workspace})
    await talk.client.until(lambda: len(talk.client.asked) == 1 + is_dynamic)
    asked = {asked["method"]: asked["params"] for asked in talk.client.asked}
    assert asked.pop("workspace/configuration") == {"items": [{"section": "treegraft"}]}
    wanted = {
        "id": "treegraft-settings",
        "method": "workspace/didChangeConfiguration",
        "registerOptions": {"section": "treegraft"},
    }
    assert asked == ({"client/registerCapability": {"registrations": [wanted]}} if is_dynamic else {})
    await hang_up(talk)


async def test_inline_completion_is_registered_while_it_is_on_where_clients_can_be_told(settings: Settings) -> None:
    talk = await converse(settings)
    talk.client.answers["workspace/configuration"] = [{}]
    dynamic = {
        "textDocument": {"inlineCompletion": {"dynamicRegistration": True}},
        "workspace": {"configuration": True},
    }
    found = await talk.client.initialize(dynamic)
    assert "inlineCompletionProvider" not in found["capabilities"]
    await talk.client.until(lambda: len(talk.client.asked) == 2)
    ours = {"id": "treegraft-inline-completion", "method": "textDocument/inlineCompletion"}
    registered = {"method": "client/registerCapability", "params": {"registrations": [ours | {"registerOptions": {}}]}}
    gone = {"method": "client/unregisterCapability", "params": {"unregisterations": [ours]}}

    def told() -> list[dict[str, Any]]:
        asked = [{key: asked[key] for key in ("method", "params")} for asked in talk.client.asked]
        return [one for one in asked if one["method"] != "workspace/configuration"]

    assert told() == [registered]
    talk.client.answers["workspace/configuration"] = [{"enabled": False}]
    talk.client.notify("workspace/didChangeConfiguration", {"settings": None})
    await talk.client.until(lambda: len(told()) == 2)
    await talk.client.call("workspace/executeCommand", {"command": "treegraft.toggle"})
    await talk.client.until(lambda: len(told()) == 3)
    assert told() == [registered, gone, registered]
    await hang_up(talk)


async def test_what_is_off_from_the_beginning_is_not_registered(settings: Settings) -> None:
    talk = await converse(replace(settings, enabled=False))
    await talk.client.initialize({"textDocument": {"inlineCompletion": {"dynamicRegistration": True}}})
    assert (await talk.client.call("treegraft/status", {}))["result"]["enabled"] is False
    assert talk.client.asked == []
    await hang_up(talk)


async def test_settings_are_pushed(client: Client, engine: ScriptedEngine) -> None:
    client.notify("workspace/didChangeConfiguration", {"settings": {"treegraft": {"multiline": "always"}, "other": 1}})
    await client.complete(1, 4)
    assert engine.asked[0].multiline == "always"


async def test_wrong_settings_are_told_once_and_the_rest_holds(client: Client, engine: ScriptedEngine) -> None:
    section = {"maxTokens": "many", "colour": 1, "nCandidates": 2, "trace": {"server": "off"}}
    for _ in range(3):
        client.notify("workspace/didChangeConfiguration", {"settings": {"treegraft": section}})
    await client.complete(1, 4, trigger=1)
    assert (engine.asked[0].max_tokens, engine.asked[0].n) == (48, 2)
    assert len(client.log) == 2
    assert "maxTokens" in client.log[0]
    assert "colour" in client.log[1]


async def test_what_is_improbable_is_shown_only_when_asked_for(client: Client, engine: ScriptedEngine) -> None:
    engine.probability = 0.3
    client.notify(
        "workspace/didChangeConfiguration", {"settings": {"treegraft": {"minProbability": 0.31, "nCandidates": 1}}}
    )
    assert await client.complete(1, 4) == []
    assert await client.complete(1, 4, trigger=1) != []
    engine.probability = 0.32
    client.change(2, insert(1, 4, " "))
    assert await client.complete(1, 5) != []
    assert [asked.min_probability for asked in engine.asked] == [0.31, 0.0, 0.31]


async def test_what_the_command_line_says_stays(settings: Settings, engine: ScriptedEngine) -> None:
    talk = await converse(settings)
    talk.server._pinned = frozenset({"max_tokens"})
    await talk.client.initialize(initializationOptions={"maxTokens": 7, "multiline": "always"})
    talk.client.open(SUM)
    await talk.client.complete(1, 4)
    assert (engine.asked[0].max_tokens, engine.asked[0].multiline) == (48, "always")
    await hang_up(talk)


async def test_switched_off_altogether_or_for_a_language(client: Client, engine: ScriptedEngine) -> None:
    for section in ({"enabled": False}, {"disabledLanguages": ["python"]}):
        client.notify("workspace/didChangeConfiguration", {"settings": {"treegraft": section}})
        assert await client.complete(1, 4) == []
        assert "switched off" in client.statuses[-1]["message"]
    assert engine.asked == []


async def test_another_model_means_another_engine(client: Client, engine: ScriptedEngine, tmp_path: Path) -> None:
    await client.complete(1, 4)
    other = ScriptedEngine(tmp_path / "other.sock")
    other.answers = ["pass"]
    await other.start()
    section = {"engineAddress": str(other.path)}
    client.notify("workspace/didChangeConfiguration", {"settings": {"treegraft": section}})
    assert texts(await client.complete(1, 4)) == ["pass"]
    await other.die()


# --- the Copilot dialect, status, commands ---


async def test_the_copilot_dialect(client: Client, engine: ScriptedEngine) -> None:
    params = {**asking(1, 4), "formattingOptions": {"tabSize": 4, "insertSpaces": True}}
    params["textDocument"]["version"] = 1
    (item,) = (await client.call("textDocument/inlineCompletion", params))["result"]["items"]
    client.notify("textDocument/didShowCompletion", {"item": item})
    client.notify("textDocument/didPartiallyAcceptCompletion", {"item": item, "acceptedLength": 6})
    client.notify("textDocument/didFocus", {"textDocument": {"uri": URI}})
    client.notify("textDocument/didFocus", {})
    assert (await client.call("signIn", {}))["result"] == {"status": "AlreadySignedIn", "user": "local"}
    counters = (await client.call("treegraft/status"))["result"]["counters"]
    assert (counters["suggestions_shown"], counters["suggestions_partly_accepted"]) == (1, 1)


async def test_status_tells_the_engine_and_starts_none(
    client: Client, engine: ScriptedEngine, settings: Settings
) -> None:
    await client.complete(1, 4)
    report = (await client.call("treegraft/status"))["result"]
    assert (report["kind"], report["documents"], report["positionEncoding"]) == ("Normal", 1, "utf-16")
    assert report["engine"]["model"] == "scripted"
    quiet = await converse(replace(settings, enabled=False))
    await quiet.client.initialize()
    assert (await quiet.client.call("treegraft/status"))["result"]["engine"] is None
    assert engine.n_connections == 1
    await hang_up(quiet)


async def test_accepting_is_counted_for_clients_that_run_commands(settings: Settings, engine: ScriptedEngine) -> None:
    talk = await converse(settings)
    found = await talk.client.initialize({**INLINE, "workspace": {"executeCommand": {}}})
    assert found["capabilities"]["executeCommandProvider"]["commands"] == [
        f"treegraft.{name}"
        for name in ("accept", "toggle", "why", "stats", "restartEngine", "switchModel", "saveRequest", "pullModel")
    ]
    talk.client.open(SUM)
    (item,) = await talk.client.complete(1, 4)
    command = {"command": item["command"]["command"], "arguments": item["command"]["arguments"]}
    assert (await talk.client.call("workspace/executeCommand", command))["result"] is None
    assert (await talk.client.call("treegraft/status"))["result"]["counters"]["suggestions_accepted"] == 1
    reply = await talk.client.call("workspace/executeCommand", {"command": "rm"})
    assert reply["error"]["code"] == -32602
    await hang_up(talk)


async def test_lsp_mode_is_spared_notifications_that_it_would_warn_about(
    settings: Settings, engine: ScriptedEngine
) -> None:
    talk = await converse(settings)
    await talk.client.initialize(clientInfo={"name": "emacs"})
    talk.client.open("a\0b")
    assert await talk.client.complete(0, 0) == []
    assert talk.client.statuses == []
    await hang_up(talk)


async def test_two_clients_at_once_see_their_own_documents(settings: Settings, engine: ScriptedEngine) -> None:
    talks = [await converse(settings) for _ in range(2)]
    for n, talk in enumerate(talks):
        await talk.client.initialize()
        talk.client.open(f"x = {n}\n")
    for _ in range(3):
        assert [len(items) for items in await asyncio.gather(*(talk.client.complete(1, 0) for talk in talks))] == [1, 1]
    assert sorted(set(engine.texts)) == [b"x = 0\n", b"x = 1\n"]
    await hang_up(talks[0])
    talks[1].client.send(changing(2, insert(0, 0, "y")))
    assert len(await talks[1].client.complete(1, 0)) == 1
    assert engine.texts[-1] == b"yx = 1\n"
    await hang_up(talks[1])


# --- stages ---


async def test_before_initialize_requests_are_refused(settings: Settings) -> None:
    talk = await converse(settings)
    talk.client.send(opening(SUM))
    reply = await talk.client.call("textDocument/inlineCompletion", asking(1, 4))
    assert reply["error"]["code"] == -32002
    await talk.client.initialize()
    reply = await talk.client.call("initialize", {"processId": None, "rootUri": None, "capabilities": {}})
    assert reply["error"]["code"] == -32600
    assert await talk.client.complete(1, 4) == []  # what was opened before initialize was not opened
    await hang_up(talk)


async def test_after_shutdown_requests_are_refused_and_exit_is_0(talk: Conversation, engine: ScriptedEngine) -> None:
    engine.open.clear()
    message = talk.client.call_message("textDocument/inlineCompletion", asking(1, 4))
    talk.client.send(message)
    await engine.asked_for(1)
    assert (await talk.client.call("shutdown"))["result"] is None
    assert (await talk.client.reply(message["id"]))["error"]["code"] == -32800
    assert (await talk.client.call("textDocument/inlineCompletion", asking(1, 4)))["error"]["code"] == -32600
    talk.client.send(notice("exit"))
    assert await asyncio.wait_for(talk.over, 5) == 0


async def test_unknown_methods(client: Client) -> None:
    assert (await client.call("textDocument/hover", {}))["error"]["code"] == -32601
    assert (await client.call("$/whatever"))["error"]["code"] == -32601
    client.notify("$/whatever", {"x": 1})
    client.notify("whatever")
    assert len(await client.complete(1, 4)) == 1
