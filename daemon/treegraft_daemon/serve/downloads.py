"""A model downloaded because somebody asked for it in the editor: by `treegraft models pull`, in a process of its own, so
that what it loads and what it waits for are not ours.

Knows no LSP.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncGenerator
from contextlib import suppress
from typing import Any

from treegraft_daemon.errors import ModelNotFound


async def pull(model: str) -> AsyncGenerator[dict[str, Any], None]:
    """What is done so far (`percent`, `bytes`, `ofBytes`), and at last the `path`. Closing it ends the download.

    What has come by then is kept, and the next download goes on from there. Raises ModelNotFound with the reason.
    """
    words = [sys.executable, "-m", "treegraft_daemon", "models", "pull", model, "--json"]
    pipe = asyncio.subprocess.PIPE
    child = await asyncio.create_subprocess_exec(*words, stdin=asyncio.subprocess.DEVNULL, stdout=pipe, stderr=pipe)
    assert child.stdout is not None and child.stderr is not None
    complaints = asyncio.ensure_future(child.stderr.read())
    try:
        async for line in child.stdout:
            yield json.loads(line)
        if await child.wait():
            last = (await complaints).decode(errors="replace").strip().rpartition("\n")[2]
            raise ModelNotFound(last.removeprefix("treegraft: ") or f"cannot download {model}")
    finally:
        complaints.cancel()
        with suppress(ProcessLookupError):
            child.kill()
        await child.wait()
