"""A conversation with a scripted engine behind a real socket, as most tests here want it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from lsp_client import SUM, Client, Conversation, converse, hang_up
from scripted_engine import ScriptedEngine
from treegraft_daemon.config import Settings


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[ScriptedEngine]:
    engine = ScriptedEngine(tmp_path / "engine.sock")
    await engine.start()
    yield engine
    await engine.die()


@pytest.fixture
async def settings(engine: ScriptedEngine) -> Settings:
    return Settings(engine_address=str(engine.path), debounce_ms=0, look_ahead=False)


@pytest.fixture
async def talk(settings: Settings) -> AsyncIterator[Conversation]:
    """A conversation that is initialized, with SUM open."""
    talk = await converse(settings)
    await talk.client.initialize()
    talk.client.open(SUM)
    yield talk
    await hang_up(talk)


@pytest.fixture
async def raw_client(settings: Settings) -> AsyncIterator[Client]:
    """A client that has not said anything yet."""
    talk = await converse(settings)
    yield talk.client
    await hang_up(talk)


@pytest.fixture
def client(talk: Conversation) -> Client:
    return talk.client
