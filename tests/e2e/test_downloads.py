"""A model downloaded from within the editor: a real downloader, a small hub on this machine."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lsp_client import Client
from small_hub import COMMIT, SmallHub

pytest.importorskip("huggingface_hub")

FILES = {"config.json": b"{}", "tokenizer.json": b"{}", "model.safetensors": bytes(4 << 20), "extra.bin": b"pickle"}
PROGRESS = {"textDocument": {"inlineCompletion": {}}, "window": {"workDoneProgress": True}}


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SmallHub]:
    hub = SmallHub("some/model", FILES)
    monkeypatch.setenv("HF_ENDPOINT", hub.address)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    yield hub
    hub.close()


@pytest.fixture
async def client(raw_client: Client) -> Client:
    await raw_client.initialize(PROGRESS)
    return raw_client


def pulling(client: Client, name: str) -> dict[str, Any]:
    return client.call_message("workspace/executeCommand", {"command": "treegraft.pullModel", "arguments": [name]})


def told(client: Client) -> list[dict[str, Any]]:
    return [notice["params"]["value"] for notice in client.notices if notice["method"] == "$/progress"]


async def test_a_model_is_downloaded_with_progress(client: Client, hub: SmallHub, tmp_path: Path) -> None:
    message = pulling(client, "some/model")
    client.send(message)
    result = (await client.reply(message["id"], timeout=60))["result"]
    folder = tmp_path / "hf" / "hub" / "models--some--model" / "snapshots" / COMMIT
    assert result == {"model": "some/model", "path": str(folder)}
    assert (folder / "model.safetensors").read_bytes() == FILES["model.safetensors"]
    assert not (folder / "extra.bin").exists()
    values = told(client)
    assert [value["kind"] for value in (values[0], values[-1])] == ["begin", "end"]
    assert values[0]["cancellable"] and values[-1]["message"] == "done"
    shares = [value["percentage"] for value in values[1:-1]]
    assert shares and shares == sorted(shares) and shares[-1] >= 99
    assert "window/workDoneProgress/create" in [asked["method"] for asked in client.asked]


@pytest.mark.parametrize("how", ["progress", "request"])
async def test_a_download_is_cancelled(client: Client, hub: SmallHub, tmp_path: Path, how: str) -> None:
    hub.go_on.clear()
    message = pulling(client, "some/model")
    client.send(message)
    await client.until(lambda: bool(told(client)))
    assert await asyncio.to_thread(hub.began.wait, 30)
    [token] = [asked["params"]["token"] for asked in client.asked if "token" in asked["params"]]
    if how == "progress":
        client.notify("window/workDoneProgress/cancel", {"token": token})
    else:
        client.notify("$/cancelRequest", {"id": message["id"]})
    assert (await client.reply(message["id"]))["error"]["code"] == -32800
    await client.until(lambda: told(client)[-1] == {"kind": "end", "message": "cancelled"})
    # Nothing came of it that could pass for a model.
    assert not list((tmp_path / "hf").rglob("snapshots/*/model.safetensors"))


async def test_a_model_that_is_not_there_is_one_sentence(client: Client, hub: SmallHub) -> None:
    message = pulling(client, "none/such")
    client.send(message)
    error = (await client.reply(message["id"], timeout=60))["error"]
    assert error["message"] == "there is no model none/such on the hub, or it is private"
    assert told(client)[-1] == {"kind": "end", "message": "failed"}
    nameless = await client.call("workspace/executeCommand", {"command": "treegraft.pullModel"})
    assert nameless["error"]["code"] == -32602
