"""Microsoft's client library for node talks to the server, over stdio, a pipe and a socket.

Needs node, and the library: `npm install --prefix .cache/node vscode-languageserver-protocol@3.18.5`, or a folder that
holds it in `TREEGRAFT_NODE_MODULES`.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
from pathlib import Path

import pytest

from scripted_engine import ScriptedEngine

ROOT = Path(__file__).parents[2]
MODULES = Path(os.environ.get("TREEGRAFT_NODE_MODULES", ROOT / ".cache" / "node" / "node_modules"))

pytestmark = [
    pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed"),
    pytest.mark.skipif(
        not (MODULES / "vscode-languageserver-protocol").is_dir(),
        reason="vscode-languageserver-protocol is not there; the module's docstring says how to get it",
    ),
]


@pytest.mark.parametrize("kind", ["stdio", "pipe", "socket"])
async def test_a_conversation_of_microsofts_client(
    engine: ScriptedEngine, tmp_path: Path, unused_tcp_port: int, kind: str
) -> None:
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(sys.path),
        "TREEGRAFT_ENGINE_ADDRESS": str(engine.path),
        "NODE_CLIENT_FROM": str(MODULES.parent / "from.js"),
        "NODE_CLIENT_PORT": str(unused_tcp_port),
    }
    script = Path(__file__).parent / "node_client.mjs"
    words = ["node", str(script), kind, sys.executable, "-m", "treegraft_daemon", "serve"]
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*words, env=environment, stdout=pipe, stderr=pipe)
    out, errors = await asyncio.wait_for(process.communicate(), 60)
    assert out, errors.decode()
    found = json.loads(out)
    here = {"line": 1, "character": 4}
    assert found["inline"] is not None
    assert [(item["insertText"], item["range"]) for item in found["items"]] == [
        ("return sum(values)", {"start": here, "end": here})
    ]
    assert [item["insertText"] for item in found["rest"]] == [" sum(values)"]
    assert "without asking the model" in found["why"]
    assert found["cancelled"] == -32800
    assert found["exit"] == 0
