"""Does the simulator agree with tree-sitter? `python tests/bench/fidelity.py [--files N --mutants M --cuts C]`.

Over real files of every language: whole files are accepted or refused alike; so are mutants (a token deleted, put in or
replaced, or a random character), and the first error of both lies at the same byte; and no cut of a file that both
accept, in the middle of a token too, is refused. Overlays are off here: the simulator is compared with the grammar
itself; `judges.py` compares overlays with the languages' own parsers.

Numbers are totals over the languages. Prints the table and every disagreement; exit code 1 if there is one.
`python tests/sources.py` fetches the files; without them, those of this machine are used.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))  # the helpers of the tests, when run as a script

import reading
import sources
from treegraft_grammars import Grammar, grammar_for, languages
from treegraft_grammars.judge import EndlessParse, first_refusal

LARGEST_MUTANT = 16_000  # bytes; the log of a broken text costs about 3 ms per KB


@dataclass
class Tally:
    """One row of the table."""

    files: int = 0
    broken: int = 0  # tree-sitter refuses them
    verdicts_differ: int = 0
    mutants: int = 0
    mutant_verdicts_differ: int = 0
    places_differ: int = 0
    tokens_differ: int = 0
    cuts: int = 0
    cuts_refused: int = 0
    repros: list[str] = field(default_factory=list)

    @property
    def disagreements(self) -> int:
        return (
            self.verdicts_differ
            + self.mutant_verdicts_differ
            + self.places_differ
            + self.tokens_differ
            + self.cuts_refused
        )

    def __add__(self, other: Tally) -> Tally:
        return Tally(*(getattr(self, one.name) + getattr(other, one.name) for one in fields(Tally)))


def compare(language: str, paths: Iterable[Path], n_mutants: int, n_cuts: int, seed: int = 0) -> Tally:
    """Files, then mutants and cuts shared evenly among them."""
    tally = Tally()
    grammar = grammar_for(language, overlay=False)
    texts = [(path, path.read_bytes()) for path in paths]
    rng = random.Random(f"{seed} {language}")
    clean = []
    for path, text in texts:
        tally.files += 1
        accepted = _compare_one(grammar, text, tally, f"file {path}", mutant=False)
        clean += [(path, text)] * accepted
    small = [pair for pair in texts if len(pair[1]) <= LARGEST_MUTANT]
    for n in range(n_mutants if small else 0):
        path, text = small[n % len(small)]
        try:
            _compare_one(grammar, reading.mutate(text, rng), tally, f"mutant {n} of {path}", mutant=True)
            tally.mutants += 1
        except EndlessParse:
            print(f"{language}: mutant {n} of {path}: tree-sitter does not get through", file=sys.stderr)
    for n in range(n_cuts if clean else 0):
        path, text = clean[n % len(clean)]
        place = _at_character(text, rng.randrange(len(text) + 1))
        tally.cuts += 1
        stopped = grammar.parse(text[:place]).first_error
        if stopped is not None:
            tally.cuts_refused += 1
            tally.repros.append(f"{language}: cut {place} of {path}: refused at {stopped}: {_around(text, stopped)}")
    return tally


def _compare_one(grammar: Grammar, text: bytes, tally: Tally, what: str, *, mutant: bool) -> bool:
    """Whether both accept `text`; counts what differs."""
    ours, theirs = grammar.check(text), first_refusal(grammar.language, text)
    place, token = (None, None) if theirs is None else (theirs.read, theirs.start)
    if not mutant:
        tally.broken += theirs is not None
    if (ours.first_error is None) != (theirs is None):
        kind = "accept or refuse"
        if mutant:
            tally.mutant_verdicts_differ += 1
        else:
            tally.verdicts_differ += 1
    elif ours.first_error != place:
        kind = "place"
        tally.places_differ += 1
    elif ours.error_token != token:
        kind = "token"
        tally.tokens_differ += 1
    else:
        return theirs is None
    where = ours.first_error if ours.first_error is not None else place or 0
    tally.repros.append(
        f"{grammar.language}: {what}: {kind}: ours {ours.first_error}/{ours.error_token}, "
        f"tree-sitter {place}/{token}: {_around(text, where)}"
    )
    return False


def _at_character(text: bytes, place: int) -> int:
    """The start of the character at or before `place`."""
    while 0 < place < len(text) and text[place] & 0xC0 == 0x80:
        place -= 1
    return place


def _around(text: bytes, place: int) -> str:
    return repr(text[max(0, place - 60) : place + 30])


COLUMNS = (
    "language", "files", "refused by both", "verdicts differ", "mutants", "verdicts differ", "first error differs",
    "refused token differs", "cuts", "cuts refused", "s",
)  # fmt: skip


def row(name: str, tally: Tally, seconds: float) -> str:
    values = [getattr(tally, one.name) for one in fields(Tally)][:-1]
    return "| " + " | ".join([name, *map(str, values), f"{seconds:.0f}"]) + " |"


def main() -> int:
    parser = argparse.ArgumentParser(description="Compare the simulator with tree-sitter.")
    parser.add_argument("--files", type=int, default=1320)
    parser.add_argument("--mutants", type=int, default=3300)
    parser.add_argument("--cuts", type=int, default=6600)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--languages", nargs="*", default=languages(), choices=languages())
    options = parser.parse_args()
    n = len(options.languages)
    print("| " + " | ".join(COLUMNS) + " |\n|" + "---|" * len(COLUMNS), flush=True)
    total, started = Tally(), time.monotonic()
    for language in options.languages:
        began = time.monotonic()
        paths = sources.files(language, -(-options.files // n), split="any", seed=options.seed)
        tally = compare(language, paths, -(-options.mutants // n), -(-options.cuts // n), options.seed)
        print(row(language, tally, time.monotonic() - began), flush=True)
        total += tally
    print(row("all", total, time.monotonic() - started))
    for repro in total.repros:
        print(repro)
    print(f"disagreements: {total.disagreements}")
    return 1 if total.disagreements else 0


if __name__ == "__main__":
    sys.exit(main())
