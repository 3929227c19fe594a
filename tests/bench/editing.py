"""What editing costs the language server: `python tests/bench/editing.py`.

- one key in a file of 20,000 lines, handled while the engine works on a completion of it: median, against one key in a
  file of 200 lines in the same run;
- resident memory of `treegraft serve` with 50 open files of real code, each asked for once;
- what else the model should read, chosen among 50 open files and 8 closed ones with ignore files on: 95th percentile;
- from the start of the process to the answer to `initialize`, against the start of an interpreter that does nothing.

Exits 1 when a bar is missed.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter

sys.path.insert(0, str(Path(__file__).parent.parent))  # the helpers of the tests, when run as a script

from lsp_client import Conversation, asking, changing, compile_sources, converse, hang_up, insert, start_serve
from reading import texts
from treegraft_daemon import engine_client
from treegraft_daemon.config import Settings
from treegraft_daemon.serve.context import siblings
from treegraft_daemon.serve.documents import KEPT_CLOSED, Documents
from treegraft_daemon.serve.exclusion import Exclusion

BARS = {"key ms": 1.0, "memory MB": 150.0, "initialize s": 0.7, "context ms": 30.0}


async def key_ms(talk: Conversation, uri: str, n_lines: int, n_keys: int) -> float:
    """Median time to handle one key, in a document whose completion is running."""
    client, protocol = talk.client, talk.server.protocol
    body = "def f(values):\n    return [value for value in values if value]\n"
    client.open(body * (n_lines // 2), uri)
    await asyncio.sleep(0.1)
    spent: list[float] = []
    receive = protocol.receive

    def measured(message: bytes) -> None:
        started = perf_counter()
        receive(message)
        if b"didChange" in message:
            spent.append((perf_counter() - started) * 1000)

    protocol.receive = measured  # type: ignore[method-assign]
    line = n_lines // 2 + 1
    n_running = 0
    for key in range(n_keys):
        request = client.call_message("textDocument/inlineCompletion", asking(line, 4 + key, uri, trigger=1))
        client.send(request)
        await asyncio.sleep(0.004)
        n_running += request["id"] not in client.replies
        client.send(changing(key + 2, insert(line, 4 + key, "x"), uri=uri))
        await asyncio.sleep(0.02)
    protocol.receive = receive  # type: ignore[method-assign]
    print(f"  {n_lines} lines: {len(spent)} keys, {n_running} of them while a completion ran")
    return statistics.median(spent)


async def memory_mb(n_files: int) -> float:
    process = await start_serve("--stdio", "--log-level", "ERROR")
    await process.client.initialize()
    for number, (path, text) in enumerate(texts("python", n_files, max_size=100_000)):
        uri = f"file://{path}.{number}.py"
        process.client.open(text.decode("utf-8", "replace"), uri)
        await process.client.complete(min(20, text.count(b"\n")), 0, uri)
    status = Path(f"/proc/{process.child.pid}/status").read_text()
    await process.client.leave()
    await process.exit_code()
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


def context_ms(n_files: int, n_times: int = 300) -> float:
    """95th percentile of choosing the context, another file in front each time, one more key typed in it."""
    documents, rng = Documents(), random.Random(0)
    found = list(texts("python", n_files + KEPT_CLOSED, max_size=100_000))
    uris = [f"file://{Path(path).resolve()}.{number}.py" for number, (path, _) in enumerate(found)]
    for uri, (_, text) in zip(uris, found, strict=True):
        documents.open(uri, "python", 1, text.decode("utf-8", "replace"))
    for uri in uris[n_files:]:
        documents.close(uri)
    roots = sorted({str(Path(path).resolve().parent) for path, _ in found})
    excluded = Exclusion(("*.generated.py", "vendor/"), respects_gitignore=True, roots=roots)
    spent = []
    for _ in range(n_times):
        document = documents.use(rng.choice(uris[:n_files]))
        assert document is not None
        document.replace_range((0, 0), (0, 0), "x", "utf-8")
        started = perf_counter()
        siblings(document.snapshot(), documents.recent(), 5, excluded.reason)
        spent.append((perf_counter() - started) * 1000)
    return statistics.quantiles(spent, n=20)[-1]


async def initialize_s() -> float:
    started = perf_counter()
    process = await start_serve("--stdio", "--log-level", "ERROR", TREEGRAFT_ENABLED="false")
    await process.client.initialize()
    waited = perf_counter() - started
    await process.client.leave()
    await process.exit_code()
    return waited


def python_s() -> float:
    started = perf_counter()
    subprocess.run([sys.executable, "-c", ""], check=True)
    return perf_counter() - started


async def measure(options: argparse.Namespace) -> bool:
    settings = Settings(debounce_ms=0, look_ahead=False)
    client = await engine_client.connect(settings, start=True)
    talk = await converse(settings)
    await talk.client.initialize()
    small, large = [
        await key_ms(talk, f"file:///bench/{n_lines}.py", n_lines, options.keys) for n_lines in (200, 20_000)
    ]
    await hang_up(talk)
    compile_sources()
    starts = [(await initialize_s(), python_s()) for _ in range(options.starts)]
    started, bare = (statistics.median(column) for column in zip(*starts, strict=True))
    memory = await memory_mb(50)
    await client.stop()
    context = context_ms(50)
    print("\n| what | measured | bar | beside it |\n|---|---|---|---|")
    print(f"| one key in 20,000 lines, median | {large:.2f} ms | {BARS['key ms']:g} ms | {small:.2f} ms in 200 lines |")
    print(f"| memory of serve, 50 open files | {memory:.0f} MB | {BARS['memory MB']:g} MB | |")
    print(f"| context chosen among 58 files, 95th percentile | {context:.1f} ms | {BARS['context ms']:g} ms | |")
    print(f"| start to initialize, median | {started:.2f} s | {BARS['initialize s']:g} s | bare Python {bare:.2f} s |")
    return (
        context <= BARS["context ms"]
        and large <= BARS["key ms"]
        and memory <= BARS["memory MB"]
        and started <= BARS["initialize s"]
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keys", type=int, default=200)
    parser.add_argument("--starts", type=int, default=9)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tg") as folder:
        os.environ["TREEGRAFT_RUNTIME_DIR"] = folder
        return 0 if asyncio.run(measure(options)) else 1


if __name__ == "__main__":
    sys.exit(main())
