"""An editor as a process of its own: `python editor_process.py [--stay]`, for tests that kill it or take things away.

Starts `treegraft serve --stdio`, opens a file, asks once, prints one line of JSON: how many suggestions came, the process
ids of the server and of its engine, and the server's last status. Then it leaves, or stays until it is killed.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys

from lsp_client import URI, start_serve

SOURCE = "import os\n\n\ndef first(path):\n    with open(path) as stream:\n        return stream.\n"


async def main(stays: bool) -> None:
    process = await start_serve("--stdio", "--log-level", "ERROR")
    client = process.client
    await client.initialize(processId=os.getpid())
    client.open(SOURCE)
    items = await client.complete(5, 22, URI)
    status = (await client.call("treegraft/status"))["result"]
    engine = status["engine"]
    found = {
        "items": len(items),
        "serve": process.child.pid,
        "engine": engine["pid"] if engine else None,
        "message": status["message"],
    }
    print(json.dumps(found), flush=True)
    if stays:
        await asyncio.sleep(600)
    await client.leave()
    assert await process.exit_code() == 0


if __name__ == "__main__":
    asyncio.run(main("--stay" in sys.argv))
