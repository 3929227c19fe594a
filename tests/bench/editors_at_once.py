"""Eight people type at once, at a human's pace, with one engine: `python tests/bench/editors_at_once.py [--minutes 10]`.

Each editor is a process of its own with its language server, typing lines of held-out files as in typing_replay.py. First
one alone, for a fifth of the time, then all. Prints the latencies of requests that were answered before the next key, and
the engine's resident memory through the minutes, and the median of each, since the parse of a broken file takes and gives
20 MB; exits 1 when eight wait more than twice as long as one at the 95th percentile, or the memory, once the first
minute is over, grows by more than 2 %. The packages come from the training cache
(`python -m treegraft_daemon.training --fetch-only` fills it).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from itertools import islice
from pathlib import Path

import numpy as np

sys.path.insert(1, str(Path(__file__).parents[1]))

from lsp_client import converse, hang_up
from replay import Tally, cut, replay
from treegraft_daemon import engine_client
from treegraft_daemon.config import Settings
from treegraft_daemon.training import corpus
from treegraft_grammars import Judge
from typist import Typist

LANGUAGES = ("python", "typescript", "go", "rust", "java", "c")
SIZES = range(1_500, 40_000)
N_LINES = 6
SLOWER, GROWN = 2.0, 1.02


async def type_for(seconds: float, seed: int, chosen: list[dict[str, str]], model: str) -> Tally:
    """One editor: file after file until the time is over; the file under way is finished."""
    rng, tally = random.Random(seed), Tally()
    talk = await converse(Settings(model=model))
    await talk.client.initialize()
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        file = rng.choice(chosen)
        typist = Typist(*cut(file["text"], rng, N_LINES), rng)
        uri = f"file:///editor{seed}/{tally.n_requests}/{file['path']}"
        await replay(talk, uri, file["language"], typist, tally, speed=1.0, breaks=lambda *_: False)
    await hang_up(talk)
    return tally


async def engine_memory(model: str) -> tuple[int, float]:
    """The engine's process, started if there is none, and its resident memory in MB."""
    client = await engine_client.connect(Settings(model=model), start=True)
    pid = (await client.status()).pid
    await client.close()
    return pid, resident_mb(pid)


def resident_mb(pid: int) -> float:
    return int(Path(f"/proc/{pid}/status").read_text().split("VmRSS:")[1].split()[0]) / 1000


def phase(n_editors: int, seconds: float, chosen: Path, model: str, pid: int) -> tuple[Tally, list[float]]:
    """What all editors together saw, and the engine's memory every ten seconds."""
    command = [sys.executable, __file__, "--chosen", str(chosen), "--seconds", str(seconds), "--model", model]
    told = [chosen.with_name(f"editor{seed}.json") for seed in range(n_editors)]
    editors = [subprocess.Popen([*command, "--seed", str(seed), "--tell", str(path)]) for seed, path in enumerate(told)]
    memory = []
    while any(editor.poll() is None for editor in editors):
        time.sleep(10)
        memory.append(resident_mb(pid))
    tally = Tally()
    for path in told:
        found = json.loads(path.read_text())
        tally.n_requests += found["n_requests"]
        tally.latencies_ms += found["latencies_ms"]
        tally.late_ms += found["late_ms"]
    return tally, memory


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--editors", type=int, default=8)
    parser.add_argument("--model", default="embedded")
    parser.add_argument("--cache", type=Path, default=Path(".cache/training"))
    parser.add_argument("--chosen", type=Path, help=argparse.SUPPRESS)  # ... these four by us, for one editor
    parser.add_argument("--tell", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--seconds", type=float, help=argparse.SUPPRESS)
    parser.add_argument("--seed", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.chosen is not None:
        chosen = json.loads(options.chosen.read_text())
        tally = asyncio.run(type_for(options.seconds, options.seed, chosen, options.model))
        found = {name: getattr(tally, name) for name in ("n_requests", "latencies_ms", "late_ms")}
        options.tell.write_text(json.dumps(found))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        os.environ["TREEGRAFT_RUNTIME_DIR"] = folder
        return measured(options, Path(folder) / "chosen.json")


def measured(options: argparse.Namespace, chosen: Path) -> int:
    files = corpus.read_part("test", options.cache)
    random.Random(1).shuffle(files)
    kept = []
    for language in LANGUAGES:
        judge = Judge(language)
        fitting = (file for file in files if file.language == language and len(file.text) in SIZES)
        sound = (file for file in fitting if b"\r" not in file.text and judge.first_error(file.text) is None)
        kept += [{"language": language, "path": file.path, "text": file.text.decode()} for file in islice(sound, 10)]
    chosen.write_text(json.dumps(kept))
    pid, _ = asyncio.run(engine_memory(options.model))
    seconds = options.minutes * 60
    p95 = []
    print("| editors | requests | median ms | 95 % ms | 99 % ms | not before the next key |\n|---|---|---|---|---|---|")
    for n_editors, time_s in ((1, seconds / 5), (options.editors, seconds)):
        tally, memory = phase(n_editors, time_s, chosen, options.model, pid)
        median, tail, last = np.percentile(tally.latencies_ms, [50, 95, 99])
        p95.append(tail)
        late = len(tally.late_ms) / tally.n_requests
        print(f"| {n_editors} | {tally.n_requests} | {median:.0f} | {tail:.0f} | {last:.0f} | {late:.1%} |", flush=True)
    after_a_minute = memory[6:] or memory[-1:]
    grown = max(after_a_minute) / after_a_minute[0]
    medians = [statistics.median(after_a_minute[at : at + 6]) for at in range(0, len(after_a_minute), 6)]
    told = ", ".join(f"{mb:.0f}" for mb in medians)
    print(f"\nengine, MB, median of each minute after the first: {told}; at most {grown:.3f} of the first look")
    print(f"{options.editors} editors wait {p95[1] / p95[0]:.2f} times as long as one at the 95th percentile")

    async def stop() -> None:
        client = await engine_client.connect(Settings(model=options.model), start=False)
        await client.stop()
        await client.close()

    asyncio.run(stop())
    return int(p95[1] > SLOWER * p95[0] or grown > GROWN)


if __name__ == "__main__":
    sys.exit(main())
