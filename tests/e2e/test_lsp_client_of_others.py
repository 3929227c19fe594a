"""A client that nobody here wrote (pytest-lsp, on pygls' client) talks to `treegraft serve --stdio`."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from lsprotocol import types
from pytest_lsp import ClientServerConfig, LanguageClient, client_capabilities

from scripted_engine import ScriptedEngine

URI = "file:///code/a.py"


@pytest.fixture(params=["visual-studio-code", "neovim", "emacs"])
async def client(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[LanguageClient]:
    """An initialized client with the capabilities of an editor, in front of a scripted engine."""
    engine = ScriptedEngine(tmp_path / "engine.sock")
    engine.answers = ["return sum(values)"]
    await engine.start()
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
    client.set_configuration({"treegraft": {"debounceMs": 0}})
    capabilities = client_capabilities(request.param)
    await client.initialize_session(types.InitializeParams(capabilities=capabilities, process_id=os.getpid()))
    yield client
    await client.shutdown_session()
    await client.stop()  # type: ignore[no-untyped-call]
    await engine.die()


async def test_open_change_complete_accept(client: LanguageClient) -> None:
    text = "def f(values):\n    \n"
    item = types.TextDocumentItem(URI, types.LanguageKind.Python, 1, text)
    client.text_document_did_open(types.DidOpenTextDocumentParams(item))
    place = types.Position(1, 4)
    params = types.InlineCompletionParams(
        types.InlineCompletionContext(types.InlineCompletionTriggerKind.Automatic),
        types.TextDocumentIdentifier(URI),
        place,
    )
    found = await client.text_document_inline_completion_async(params)
    assert isinstance(found, types.InlineCompletionList)
    (suggestion,) = found.items
    assert suggestion.insert_text == "return sum(values)"
    assert suggestion.range == types.Range(place, place)
    change = types.TextDocumentContentChangePartial(types.Range(place, place), "return")
    client.text_document_did_change(
        types.DidChangeTextDocumentParams(types.VersionedTextDocumentIdentifier(2, URI), [change])
    )
    params.position = types.Position(1, 10)
    found = await client.text_document_inline_completion_async(params)
    assert isinstance(found, types.InlineCompletionList)
    assert [rest.insert_text for rest in found.items] == [" sum(values)"]
    popup = await client.text_document_completion_async(
        types.CompletionParams(types.TextDocumentIdentifier(URI), types.Position(1, 10))
    )
    assert isinstance(popup, types.CompletionList)
    assert [item.label for item in popup.items] == ["return sum(values)"]
