"""How often the suggestion is what the author wrote, on packages that were never trained on.

`python tests/bench/usefulness.py [--language python] [--n 300]` takes the rest of random lines out and asks for it, with
five other files of the package open and with the document alone, constraint on and off; with `--next-line` whole lines,
of which only the indentation is there. A match is exact but for blanks at the end. The packages come from the training cache (`python -m treegraft_daemon.training --fetch-only` fills it).
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from treegraft_daemon.engine.completion import suggest
from treegraft_daemon.engine.model.law import Context, Law, alone
from treegraft_daemon.engine.model.loading import load
from treegraft_daemon.training import corpus
from treegraft_daemon.training.holes import Hole, holes
from treegraft_protocol.messages import Complete, Suggestion


@dataclass(frozen=True, slots=True)
class Score:
    """Shares of n holes: first answer exact, one of the answers exact, any answer at all; and the time of each."""

    n: int
    first: float
    any_of: float
    answered: float
    p50_ms: float


def measure(law: Law, drawn: list[Hole], *, siblings: bool, constraint: bool, n_candidates: int) -> Score:
    """Ask for every hole once."""
    first = any_of = answered = 0
    times = []
    for idx, hole in enumerate(drawn):
        context = hole.context if siblings else replace(hole.context, siblings=())
        started = time.perf_counter()
        texts = [item.text for item in ask(law, context, idx, n_candidates, constraint)]
        times.append((time.perf_counter() - started) * 1000)
        found = [hole.is_exact(text) for text in texts]
        first += bool(found and found[0])
        any_of += any(found)
        answered += bool(texts and texts[0].strip())
    n = len(drawn)
    return Score(n, first / n, any_of / n, answered / n, float(np.median(times)))


def ask(
    law: Law, context: Context, seed: int, n_candidates: int = 1, constraint: bool = True
) -> tuple[Suggestion, ...]:
    """The candidates, best first."""
    request = Complete(
        id=seed,
        document=context.document,
        version=1,
        offset=len(context.prefix),
        language=context.language,
        n=n_candidates,
        seed=seed,
        constraint=constraint,
    )
    return alone(law, suggest(request, context, law)).items


def at_indentation(hole: Hole) -> Hole:
    """The hole of a whole line with the cursor where an editor puts it."""
    n_blank = len(hole.middle) - len(hole.middle.lstrip(b" \t"))
    prefix = hole.context.prefix + hole.middle[:n_blank]
    return Hole(replace(hole.context, prefix=prefix), hole.middle[n_blank:])


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--language", action="append", help="only this one; may be repeated")
    parser.add_argument("--n", type=int, default=300, help="holes per language")
    parser.add_argument("--part", default="test", choices=["dev", "test"])
    parser.add_argument("--next-line", action="store_true", help="whole lines instead of rests of lines")
    parser.add_argument("--candidates", type=int, default=1)
    parser.add_argument("--model", default="embedded")
    parser.add_argument("--seed", type=int, default=11)
    parser.add_argument("--cache", type=Path, default=Path(".cache/training"))
    options = parser.parse_args()
    files = corpus.read_part(options.part, options.cache)
    law = load(options.model)
    languages = options.language or sorted({file.language for file in files})
    print(
        "| language | open | constraint | holes | exact, first | exact, any | answered | p50 ms |\n|---|---|---|---|---|---|---|---|"
    )
    for language in languages:
        drawn = list(holes(files, language, options.n, options.seed, 1.0, whole_lines=float(options.next_line)))
        if options.next_line:
            drawn = [at_indentation(hole) for hole in drawn]
        if not drawn:  # no held-out package is written in it
            continue
        for siblings in (True, False):
            for constraint in (True, False):
                score = measure(law, drawn, siblings=siblings, constraint=constraint, n_candidates=options.candidates)
                print(
                    f"| {language} | {'document + 5' if siblings else 'document'} | {'on' if constraint else 'off'} "
                    f"| {score.n} | {score.first:.1%} | {score.any_of:.1%} | {score.answered:.1%} | {score.p50_ms:.0f} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
