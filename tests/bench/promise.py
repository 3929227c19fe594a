"""The promise, measured: `python tests/bench/promise.py`.

Cuts holes into real files of held-out packages (nobody here wrote them) at random places, mid-token too, completes them
with and without the constraint, and asks a real tree-sitter parse from nothing and the language's own parser, where one
is on this machine (those of judges.py), whether the completion added an error. Two kinds of hole: a random middle is
taken out, or the cursor stands at the end of a half-typed line with the rest of the file below. Prints a markdown table;
exits 1 when a constrained completion adds an error or fewer than 85 % of the requests return something.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from judges import JUDGES, NoJudge

from treegraft_daemon.engine.completion import suggest
from treegraft_daemon.engine.model.law import Context, Law, alone
from treegraft_daemon.engine.model.loading import load
from treegraft_daemon.telemetry import Counters
from treegraft_daemon.training import corpus
from treegraft_grammars import grammar_for
from treegraft_grammars.judge import adds_error_slow
from treegraft_protocol.messages import Complete

LONGEST_FILE = 40_000
LONGEST_MIDDLE = 200


@dataclass
class Tally:
    """Counts over the holes of one language, with or without the constraint."""

    n_files: int = 0
    n_holes: int = 0
    n_returned: int = 0
    n_withheld: int = 0  # texts that the constraint let pass and the judge in the daemon did not
    n_sound: int = 0
    n_judged: int = 0  # texts that the language's own parser took before something was put in
    n_valid: int = 0  # and after it
    n_tokens: int = 0
    n_checks: int = 0
    ms: float = 0.0

    def row(self, language: str, constraint: bool) -> str:
        sound = 100 * self.n_sound / max(self.n_returned, 1)
        valid = f"{self.n_valid} of {self.n_judged}" if self.n_judged else ""
        return (
            f"| {language} | {'on' if constraint else 'off'} | {self.n_files} | {self.n_holes} | "
            f"{100 * self.n_returned / max(self.n_holes, 1):.1f} % | {self.n_withheld} | {sound:.1f} % | {valid} | "
            f"{self.n_checks / max(self.n_tokens, 1):.2f} | {self.ms / max(self.n_holes, 1):.0f} |"
        )

    def add(self, other: Tally) -> None:
        for name, value in vars(other).items():
            setattr(self, name, getattr(self, name) + value)


def holes(files: list[corpus.SourceFile], n: int, rng: random.Random) -> Iterator[Context]:
    """`n` holes, as many different files as there are."""
    usable = [file for file in files if 400 < len(file.text) < LONGEST_FILE]
    usable = [file for file in usable if grammar_for(file.language).check(file.text).first_error is None]
    rng.shuffle(usable)
    for number in range(n):
        file = usable[number % len(usable)]
        text = file.text
        start = rng.randrange(len(text) // 10, len(text) - 1)
        end = text.find(b"\n", start) if number % 2 else start + rng.randrange(1, LONGEST_MIDDLE)
        start, end = at_character(text, start), at_character(text, len(text) if end < 0 else min(end, len(text)))
        yield Context(f"{number}", file.path, file.language, text[:start], text[end:])


def at_character(text: bytes, place: int) -> int:
    """The start of the character at `place`."""
    while 0 < place < len(text) and text[place] & 0xC0 == 0x80:
        place -= 1
    return place


def measure(law: Law, drawn: list[Context], *, constraint: bool) -> Tally:
    tally, counters = Tally(), Counters()
    completed: list[tuple[Context, bytes]] = []
    for number, context in enumerate(drawn):
        request = Complete(
            id=number,
            document=context.document,
            version=1,
            offset=len(context.prefix),
            language=context.language,
            constraint=constraint,
        )
        answer = alone(law, suggest(request, context, law, counters=counters))
        tally.n_holes += 1
        tally.ms += answer.timings.total_ms
        if not answer.items or not answer.items[0].text.strip():
            continue
        best = answer.items[0]
        tally.n_returned += 1
        tally.n_tokens += best.n_tokens
        tally.n_checks += best.n_checks
        added = adds_error_slow(context.language, context.prefix, best.text, context.suffix)
        tally.n_sound += not added
        if added and constraint:
            print(f"ADDED AN ERROR: {context.path} at {len(context.prefix)}: {best.text!r}", file=sys.stderr)
        completed.append((context, best.text))
    tally.n_files = len({context.path for context in drawn})
    tally.n_withheld = counters.snapshot().get("withheld_by_parse", 0)
    judge(tally, completed, constraint=constraint)
    return tally


def judge(tally: Tally, completed: list[tuple[Context, bytes]], *, constraint: bool) -> None:
    """Asks the language's own parser, of the texts that it took before."""
    if not completed or completed[0][0].language not in JUDGES:
        return
    verdicts = JUDGES[completed[0][0].language]
    try:
        before = verdicts([context.prefix + context.suffix for context, _ in completed])
    except NoJudge:
        return
    usable = [it for it, is_valid in zip(completed, before, strict=True) if is_valid]
    after = verdicts([context.prefix + text + context.suffix for context, text in usable])
    tally.n_judged, tally.n_valid = len(after), sum(after)
    for (context, text), is_valid in zip(usable, after, strict=True):
        if constraint and not is_valid:
            print(f"REFUSED BY ITS PARSER: {context.path} at {len(context.prefix)}: {text!r}", file=sys.stderr)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--n", type=int, default=40, help="holes per language")
    parser.add_argument("--language", action="append", help="only this one; may be repeated")
    parser.add_argument("--seed", type=int, default=5)
    parser.add_argument("--model", default="embedded")
    parser.add_argument("--cache", type=Path, default=Path(".cache/training"))
    options = parser.parse_args()
    files = corpus.read_part("test", options.cache)
    law = load(options.model)
    languages = options.language or sorted({file.language for file in files})
    print(
        "| language | constraint | files | holes | returned | withheld | adds no error | own parser | checks per token | ms |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|")
    totals = {True: Tally(), False: Tally()}
    for language in languages:
        drawn = list(
            holes([file for file in files if file.language == language], options.n, random.Random(options.seed))
        )
        for constraint in (True, False):
            tally = measure(law, drawn, constraint=constraint)
            totals[constraint].add(tally)
            print(tally.row(language, constraint), flush=True)
    for constraint, tally in totals.items():
        print(tally.row("**all**", constraint))
    on = totals[True]
    return 0 if on.n_sound == on.n_returned and on.n_returned >= 0.85 * on.n_holes else 1


if __name__ == "__main__":
    sys.exit(main())
