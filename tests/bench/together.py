"""Requests of several editors on one model: `python tests/bench/together.py [--model FOLDER]`.

In this process, with the real scheduler, constraint and model: SmolLM2 (`python tests/real_model.py` fetches it), a folder,
or `embedded`. First so many requests that come at the same moment, of different documents that were read before; then
short requests while somebody asks for five candidates of several lines all the time. Both as they are served, and as they
would be if the model served one request after the other. Exits 1 when a short request beside long ones takes more than
2.5 times as long as alone: it may double, as two share the model.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from time import perf_counter
from unittest import mock

sys.path.insert(0, str(Path(__file__).parent.parent))

import real_model
import sources
from treegraft_daemon.engine import scheduler as scheduling
from treegraft_daemon.engine.model.law import Context, Law
from treegraft_daemon.engine.model.loading import load
from treegraft_daemon.engine.scheduler import Job, Scheduler
from treegraft_daemon.engine.service import suggester
from treegraft_daemon.telemetry import Counters, Latencies
from treegraft_protocol.messages import Complete, Problem

SIZES = range(2_000, 20_000)
N_TOGETHER = (1, 2, 4, 8)
DEADLINE_MS = 60_000
MOST_BESIDE = 2.5


class Served:
    """A scheduler with a law that is there already."""

    def __init__(self, law: Law, contexts: list[Context]) -> None:
        self.contexts = contexts
        self.counters = Counters()
        self.scheduler = Scheduler(lambda _: law, suggester(self.counters, Latencies()), counters=self.counters)

    def ask(self, number: int, n_tokens: int, n: int = 1) -> Job:
        context = self.contexts[number]
        request = Complete(
            id=number, document=context.document, version=1, offset=len(context.prefix), language=context.language,
            n=n, temperature=0.8 if n > 1 else 0.0, seed=number, max_tokens=n_tokens, deadline_ms=DEADLINE_MS,
            multiline="always" if n > 1 else "never",
        )  # fmt: skip
        return self.scheduler.enter(f"client {number}", request, context)

    async def at_once(self, n: int, n_tokens: int) -> list[float]:
        """Milliseconds until each of `n` requests is answered."""
        began = perf_counter()

        async def wait(job: Job) -> float:
            assert not isinstance(await job.answer, Problem)
            return (perf_counter() - began) * 1000

        return await asyncio.gather(*(wait(self.ask(number, n_tokens)) for number in range(n)))

    async def keep_asking(self, number: int) -> None:
        """For five candidates of several lines, again as soon as they are there."""
        while True:
            await self.ask(number, 96, n=5).answer


@asynccontextmanager
async def served(law: Law, contexts: list[Context], in_turn: bool) -> AsyncIterator[Served]:
    """in_turn: one request after the other, each until it is answered."""
    n_together, law.n_together = law.n_together, 1 if in_turn else law.n_together
    with mock.patch.object(scheduling, "QUANTUM_S", 1e9 if in_turn else scheduling.QUANTUM_S):
        it = Served(law, contexts)
        it.scheduler.start()
        try:
            yield it
        finally:
            await it.scheduler.stop(60)
            law.n_together = n_together


async def measure(law: Law, contexts: list[Context], n_rounds: int, n_tokens: int) -> bool:
    print(f"{law.name}: {law.n_together} requests in one pass\n")
    print("| requests at once | first / last answer, one after the other, ms | by turns, ms | last, times |")
    print("|---|---|---|---|")
    for n in N_TOGETHER:
        ms: dict[bool, list[list[float]]] = {True: [], False: []}
        for number in range(n_rounds + 1):
            for in_turn in ms:
                async with served(law, contexts, in_turn) as it:
                    found = sorted(await it.at_once(n, n_tokens))
                    if number:  # the first round reads the documents
                        ms[in_turn].append(found)
        first, last = ({key: statistics.median(one[at] for one in of) for key, of in ms.items()} for at in (0, -1))
        print(
            f"| {n} | {first[True]:.0f} / {last[True]:.0f} | {first[False]:.0f} / {last[False]:.0f} "
            f"| {last[False] / last[True]:.2f} |"
        )
    print("\n| a short request | median, ms | longest, ms |\n|---|---|---|")
    medians = []
    for name, beside, in_turn in (("alone", False, False), ("beside long ones", True, False), ("in turn", True, True)):
        async with served(law, contexts, in_turn) as it:
            long, waits = asyncio.create_task(it.keep_asking(1)) if beside else None, []
            for number in range(4 * n_rounds):
                await asyncio.sleep(0.05 + 0.037 * (number % 7))  # anywhere within the long ones
                waits += await it.at_once(1, n_tokens)
            if long is not None:
                long.cancel()
        medians.append(statistics.median(waits))
        print(f"| {name} | {medians[-1]:.0f} | {max(waits):.0f} |")
    return medians[1] <= MOST_BESIDE * medians[0]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", default=str(real_model.FOLDER))
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--tokens", type=int, default=24, help="that a short request may write (default: 24)")
    options = parser.parse_args()
    law, contexts = load(options.model), []
    for path in sources.files("python", 200):
        text = path.read_bytes()
        lines = text.splitlines(keepends=True)
        if len(text) in SIZES and len(lines) > 60 and len(contexts) < max(N_TOGETHER):
            at = len(b"".join(lines[: len(lines) // 2])) + len(lines[len(lines) // 2]) // 2
            end = text.find(b"\n", at)
            contexts.append(Context(str(path), str(path), "python", text[:at], text[end:]))
    return 0 if asyncio.run(measure(law, contexts, options.rounds, options.tokens)) else 1


if __name__ == "__main__":
    sys.exit(main())
