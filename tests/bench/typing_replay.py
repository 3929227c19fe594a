"""Human-like typing of held-out files with the real engine: `python tests/bench/typing_replay.py`.

Lines of files from packages that no law was trained on are typed again, with slips, pastes, undo and looks elsewhere, at a
human's pace. At each key the server's text is held against the editor's; each request must be answered once; what is on
the screen when the next key comes must not break the parse. A suggestion that is exactly what would have been typed is
taken. Prints what a person would have saved and waited; exits 1 when a promise was broken.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import sys
import tempfile
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


async def measure(options: argparse.Namespace, settings: Settings, files: list[corpus.SourceFile]) -> bool:
    rng = random.Random(options.seed)
    talk = await converse(settings)
    await talk.client.initialize()
    client = await engine_client.connect(settings, start=True)
    all_of_it = Tally()
    print(
        "| language | files | keystrokes | with a suggestion | saved | breaking | median ms | 95 % ms | not in time |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    for language in options.languages:
        tally, judge = Tally(), Judge(language)
        fitting = [file for file in files if file.language == language and len(file.text) in SIZES]
        fitting = [file for file in fitting if b"\r" not in file.text and judge.first_error(file.text) is None]
        rng.shuffle(fitting)

        def breaks(before: str, text: str, after: str, judge: Judge = judge) -> bool:
            return judge.adds_error(before.encode(), text.encode(), after.encode())

        for file in fitting[: options.files]:
            before, rest, after = cut(file.text.decode(), rng, options.lines)
            typist = Typist(before, rest, after, rng)
            uri = f"file:///{file.package}/{file.path}"
            await replay(talk, uri, language, typist, tally, speed=options.speed, breaks=breaks)
            assert typist.text == file.text.decode()
        _print(language, min(len(fitting), options.files), tally)
        for name in ("n_characters", "n_saved", "n_requests", "n_shown", "n_breaking"):
            setattr(all_of_it, name, getattr(all_of_it, name) + getattr(tally, name))
        all_of_it.kinds += tally.kinds
        all_of_it.latencies_ms += tally.latencies_ms
        all_of_it.late_ms += tally.late_ms
    _print("**all**", options.files * len(options.languages), all_of_it)
    counters = talk.server.counters.snapshot()
    print(f"\nstrokes: {dict(all_of_it.kinds.most_common())}")
    for name in ("answered_from_memory", "answered_from_ahead", "looked_ahead", "model_asked", "requests_superseded"):
        print(
            f"{name.replace('_', ' ')}: {counters.get(name, 0) / all_of_it.n_requests:.1%} of {all_of_it.n_requests} requests"
        )
    await hang_up(talk)
    await client.stop()
    return all_of_it.n_breaking == 0 and counters["requests"] == all_of_it.n_requests


def _print(name: str, n_files: int, tally: Tally) -> None:
    median, tail = np.percentile(tally.latencies_ms or [float("nan")], [50, 95])
    n_late = len(tally.late_ms)
    print(
        f"| {name} | {n_files} | {tally.n_strokes} | {tally.n_shown / tally.n_requests:.1%} "
        f"| {tally.n_saved / tally.n_characters:.1%} | {tally.n_breaking} | {median:.1f} | {tail:.1f} "
        f"| {n_late / tally.n_requests:.1%} |",
        flush=True,
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--languages", nargs="+", default=LANGUAGES)
    parser.add_argument("--files", type=int, default=3, help="per language (default: 3)")
    parser.add_argument("--lines", type=int, default=8, help="typed in each file (default: 8)")
    parser.add_argument("--speed", type=float, default=1.0, help="times a human's pace (default: 1)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--model", default="embedded")
    parser.add_argument("--cache", type=Path, default=Path(".cache/training"))
    options = parser.parse_args()
    files = corpus.read_part("test", options.cache)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["TREEGRAFT_RUNTIME_DIR"] = folder
        settings = Settings(model=options.model)
        return 0 if asyncio.run(measure(options, settings, files)) else 1


if __name__ == "__main__":
    sys.exit(main())
