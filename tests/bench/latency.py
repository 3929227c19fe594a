"""How long a person waits: `python tests/bench/latency.py`.

Starts a real language server over stdio with the real engine and the embedded model, and measures, on the machine it
runs on: the answer to `initialize`, the first completion after a cold start of everything, single-line completions at
random places of real files (the standard library) that have been asked about once before, typing along a suggestion, and
the share of the native constraint, parsing included, in the warm completions' time. Prints one table; exits 1 when a bar is missed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import statistics
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from unittest import mock

sys.path.insert(0, str(Path(__file__).parent.parent))  # the helpers of the tests, when run as a script

from lsp_client import compile_sources
from treegraft_daemon import engine_client
from treegraft_daemon.config import Settings
from treegraft_daemon.engine import completion
from treegraft_daemon.engine.model.law import Context, alone
from treegraft_daemon.engine.model.loading import load
from treegraft_grammars import grammar_for
from treegraft_protocol.messages import Complete

BARS_MS = {"initialize": 700, "cold first": 3000, "warm p50": 40, "warm p95": 120, "type-through p95": 5}
CONSTRAINT_SHARE = 0.05


@dataclass
class Client:
    """A language client reduced to what a stopwatch needs."""

    process: asyncio.subprocess.Process
    n_requests: int = 0
    waiting: dict[int, asyncio.Future[Any]] = field(default_factory=dict)

    @classmethod
    async def start(cls, environment: dict[str, str]) -> Client:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "treegraft_daemon", "serve", "--stdio", "--log-level", "ERROR",
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, env=environment,
        )  # fmt: skip
        client = cls(process)
        client.reader = asyncio.create_task(client.read())  # type: ignore[attr-defined]
        return client

    async def read(self) -> None:
        assert self.process.stdout is not None
        while header := await self.process.stdout.readline():
            length = int(header.split(b":")[1])
            while (await self.process.stdout.readline()).strip():
                pass
            message = json.loads(await self.process.stdout.readexactly(length))
            if "method" in message and "id" in message:
                self.send({"id": message["id"], "result": None})
            elif message.get("id") in self.waiting:
                self.waiting.pop(message["id"]).set_result(message.get("result", message.get("error")))

    def send(self, message: dict[str, Any]) -> None:
        body = json.dumps({"jsonrpc": "2.0", **message}).encode()
        assert self.process.stdin is not None
        self.process.stdin.write(b"Content-Length: %d\r\n\r\n%s" % (len(body), body))

    async def request(self, method: str, params: dict[str, Any] | None) -> Any:
        self.n_requests += 1
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.waiting[self.n_requests] = answer
        self.send({"id": self.n_requests, "method": method, "params": params})
        return await asyncio.wait_for(answer, 60)

    def notify(self, method: str, params: dict[str, Any]) -> None:
        self.send({"method": method, "params": params})


async def measure(n_holes: int, seed: int) -> dict[str, float]:
    rng = random.Random(seed)
    with tempfile.TemporaryDirectory(prefix="tg") as folder:
        environment = dict(os.environ, TREEGRAFT_RUNTIME_DIR=folder)
        started = time.perf_counter()
        client = await Client.start(environment)
        capabilities = {"textDocument": {"inlineCompletion": {}}, "general": {"positionEncodings": ["utf-16"]}}
        # Without the debounce: that wait is for the typist, not for the machine.
        await client.request(
            "initialize",
            {
                "processId": os.getpid(),
                "rootUri": None,
                "capabilities": capabilities,
                "initializationOptions": {"debounceMs": 0},
            },
        )
        figures = {"initialize": 1000 * (time.perf_counter() - started)}
        client.notify("initialized", {})
        holes = list(random_holes(rng, n_holes + 1))
        await open_hole(client, holes[0], 0)
        await complete(client, holes[0], 0)
        figures["cold first"] = 1000 * (time.perf_counter() - started)
        warm, along, n_returned = [], [], 0
        for number, hole in enumerate(holes[1:], 1):
            await open_hole(client, hole, number)
            await complete(client, hole.line_start(), number)
            elapsed, items = await timed(complete(client, hole, number))
            warm.append(elapsed)
            n_returned += bool(items)
            if items and (typed := items[0]["insertText"][:1]) and typed != "\n":
                position = {"line": hole.line, "character": hole.column}
                change = {"range": {"start": position, "end": position}, "text": typed}
                document = {"uri": uri(number), "version": 2}
                client.notify("textDocument/didChange", {"textDocument": document, "contentChanges": [change]})
                elapsed, items = await timed(complete(client, hole, number, shift=len(typed)))
                if items:
                    along.append(elapsed)
        figures["warm p50"] = statistics.median(warm)
        figures["warm p95"] = statistics.quantiles(warm, n=20)[-1]
        figures["type-through p95"] = statistics.quantiles(along, n=20)[-1]
        figures["returned share"] = n_returned / n_holes
        figures["constraint share"] = native_ms(holes[1:]) / sum(warm)
        await stop_engine(environment)
        await client.request("shutdown", None)
        client.notify("exit", {})
        await client.process.wait()
    return figures


@dataclass(frozen=True)
class Hole:
    text: str
    line: int
    column: int
    offset: int

    def line_start(self) -> Hole:
        """The same document one look earlier: with it the file has been read, and what is asked for next is still new."""
        n_before = self.column - 1
        return replace(self, column=1, offset=self.offset - n_before)


def random_holes(rng: random.Random, n: int) -> list[Hole]:
    """Rest-of-line holes at random columns of standard library files (ASCII, so that columns agree)."""
    paths = sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py"))
    holes: list[Hole] = []
    while len(holes) < n:
        text = rng.choice(paths).read_text(encoding="utf-8", errors="replace")
        lines = text.split("\n")
        number = rng.randrange(len(lines))
        if not text.isascii() or len(text) > 60_000 or len(lines[number].strip()) < 8:
            continue
        column = rng.randrange(len(lines[number]) - len(lines[number].lstrip()) + 2, len(lines[number]))
        start = sum(len(line) + 1 for line in lines[:number])
        lines[number] = lines[number][:column]
        holes.append(Hole("\n".join(lines), number, column, start + column))
    return holes


def uri(number: int) -> str:
    return f"file:///bench/hole{number}.py"


async def open_hole(client: Client, hole: Hole, number: int) -> None:
    document = {"uri": uri(number), "languageId": "python", "version": 1, "text": hole.text}
    client.notify("textDocument/didOpen", {"textDocument": document})


async def complete(client: Client, hole: Hole, number: int, shift: int = 0) -> list[dict[str, Any]]:
    """One automatic request, as after a keystroke."""
    params = {
        "textDocument": {"uri": uri(number)},
        "position": {"line": hole.line, "character": hole.column + shift},
        "context": {"triggerKind": 2},
    }
    answer = await client.request("textDocument/inlineCompletion", params)
    return answer["items"] if isinstance(answer, dict) and "items" in answer else list(answer or [])


async def timed(awaitable: Any) -> tuple[float, Any]:
    started = time.perf_counter()
    value = await awaitable
    return 1000 * (time.perf_counter() - started), value


async def stop_engine(environment: dict[str, str]) -> None:
    os.environ.update(environment)
    client = await engine_client.connect(Settings.load()[0], start=False)
    await client.stop()
    await client.close()


def native_ms(holes: list[Hole]) -> float:
    """Time in all calls of the native constraint for the same holes, in this process."""
    law, grammar, usual = load("embedded"), TimedGrammar(), Settings()
    with mock.patch.object(completion, "grammar_for", lambda language: grammar):
        for number, hole in enumerate(holes):
            for one in (hole.line_start(), hole):
                text = one.text.encode()
                request = Complete(
                    id=number, document=str(number), version=1, offset=one.offset, language="python",
                    multiline=usual.multiline, min_probability=usual.min_probability,
                )  # fmt: skip
                context = Context(str(number), "a.py", "python", text[: one.offset], text[one.offset :])
                grammar.counts = one is hole
                alone(law, completion.suggest(request, context, law))
    return 1000 * grammar.seconds


class TimedGrammar:
    """Python's grammar with a stopwatch at every call into native code."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.counts = True
        self._grammar = grammar_for("python")

    def call(self, method: Callable[..., Any], *arguments: Any) -> Any:
        started = time.perf_counter()
        found = method(*arguments)
        self.seconds += self.counts * (time.perf_counter() - started)
        return found

    def parse(self, text: bytes) -> Any:
        parsed = self.call(self._grammar.parse, text)
        return replace(parsed, state=TimedState(self, parsed.state))

    def start(self) -> TimedState:
        return TimedState(self, self.call(self._grammar.start))


class TimedState:
    """What `stopping` asks of a state, timed."""

    def __init__(self, grammar: TimedGrammar, state: Any) -> None:
        self._grammar, self._state = grammar, state

    def step(self, data: bytes) -> TimedState | None:
        after = self._grammar.call(self._state.step, data)
        return None if after is None else TimedState(self._grammar, after)

    def reach(self, suffix: bytes, lenient: bool = True) -> int:
        return int(self._grammar.call(self._state.reach, suffix, lenient))

    def depth(self) -> int:
        return int(self._grammar.call(self._state.depth))

    def unfinished(self) -> int:
        return int(self._grammar.call(self._state.unfinished))

    def __hash__(self) -> int:
        return int(self._grammar.call(hash, self._state))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TimedState) and bool(self._grammar.call(self._state.__eq__, other._state))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-n", type=int, default=60, help="holes (default: 60)")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    compile_sources()
    figures = asyncio.run(measure(options.n, options.seed))
    print("| what | measured | bar |\n|---|---|---|")
    missed = 0
    for name, value in figures.items():
        if name in BARS_MS:
            print(f"| {name} | {value:.1f} ms | ≤ {BARS_MS[name]} ms |")
            missed += value > BARS_MS[name]
        elif name == "constraint share":
            print(f"| {name} | {100 * value:.1f} % | ≤ {100 * CONSTRAINT_SHARE:.0f} % |")
            missed += value > CONSTRAINT_SHARE
        else:
            print(f"| {name} | {100 * value:.0f} % | |")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
