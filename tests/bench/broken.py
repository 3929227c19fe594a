"""Half-typed buffers and holes: `python tests/bench/broken.py [--n 300] [--languages python go]`.

Over real files that parse. *Half-typed*: one to three tokens are deleted, doubled or replaced at most 90 tokens before
the cursor; what the author wrote next (120 bytes) should still be viable after recovery. *Surrendered*: the constraint
is off there, and says so. *Elsewhere*: whether the same place takes 30 bytes from anywhere in the file, and whether it
does with nothing broken: a recovery that takes anything would be viable, too. *Holes*: a random middle is taken out; the true middle must be viable and meet the suffix.
*Closers*: the true middle and one closing bracket more; never accepted where the result does not parse.
Prints a table and exits 1 when a bar is missed: 93 % viable, 99.9 % of holes, no closer.
"""

from __future__ import annotations

import argparse
import random
import re
import sys
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))  # the helpers of the tests, when run as a script

import sources
from treegraft_grammars import Grammar, Parsed, grammar_for, languages
from treegraft_grammars.judge import Judge

VIABLE, HOLES = 0.93, 0.999
AHEAD, ELSEWHERE = 120, 30
TOKEN = re.compile(rb"\w+|[^\w\s]")


def break_before(text: bytes, cursor: int, rng: random.Random) -> bytes | None:
    """text[:cursor] with one to three tokens damaged within the last 90; None if there are too few."""
    tokens = [found.span() for found in TOKEN.finditer(text, max(0, cursor - 2000), cursor)][-90:]
    if len(tokens) < 6:
        return None
    n = rng.randint(1, 3)
    at = rng.randrange(len(tokens) - n)
    start, end = tokens[at][0], tokens[at + n - 1][1]
    other_start, other_end = rng.choice(tokens)
    damaged = rng.choice([b"", text[start:end] * 2, text[other_start:other_end]])
    return text[:start] + damaged + text[end:cursor]


@dataclass(slots=True)
class Recovery:
    n: int = 0  # texts that are still broken before the cursor
    n_viable: int = 0  # or surrendered
    n_surrendered: int = 0
    n_elsewhere: int = 0  # that take a piece of another place
    n_elsewhere_unbroken: int = 0  # the same with nothing broken


def half_typed(grammar: Grammar, texts: list[bytes], n: int, rng: random.Random) -> Recovery:
    result = Recovery()
    while result.n < n:
        text = rng.choice(texts)
        cursor = rng.randrange(len(text) // 4, len(text))
        broken = break_before(text, cursor, rng)
        if broken is None:
            continue
        parsed = grammar.parse(broken)
        if parsed.first_error is None:
            continue
        result.n += 1
        result.n_surrendered += parsed.confidence <= 0
        result.n_viable += parsed.confidence <= 0 or takes(parsed, text, cursor, AHEAD)
        elsewhere = rng.randrange(len(text))
        result.n_elsewhere += takes(parsed, text, elsewhere, ELSEWHERE)
        result.n_elsewhere_unbroken += takes(grammar.parse(text[:cursor]), text, elsewhere, ELSEWHERE)
    return result


def takes(parsed: Parsed, text: bytes, start: int, n: int) -> bool:
    piece = text[at_character(text, start) : at_character(text, min(len(text), start + n))]
    return parsed.state.step(piece) is not None


def holes(grammar: Grammar, judge: Judge, texts: list[bytes], n: int, rng: random.Random) -> tuple[int, int, int]:
    """(true middles that are viable and meet the suffix, closers tried, closers wrongly accepted)."""
    n_met = n_closers = n_wrong = 0
    for _ in range(n):
        text = rng.choice(texts)
        start = rng.randrange(len(text))
        end = min(len(text), start + rng.randrange(1, 300))
        start, end = at_character(text, start), at_character(text, end)
        state = grammar.parse(text[:start]).state.step(text[start:end])
        n_met += state is not None and state.meets(text[end:])
        if state is None:
            continue
        for closer in rng.sample([b")", b"]", b"}"], 1):
            after = state.step(closer)
            n_closers += 1
            accepted = after is not None and after.meets(text[end:])
            n_wrong += accepted and judge.first_error(text[:end] + closer + text[end:]) is not None
    return n_met, n_closers, n_wrong


def at_character(text: bytes, place: int) -> int:
    while 0 < place < len(text) and text[place] & 0xC0 == 0x80:
        place -= 1
    return place


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--languages", nargs="*", default=languages(), choices=languages())
    parser.add_argument("--n", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    print(
        "| language | half-typed | next 120 bytes viable | of these surrendered | elsewhere: broken / whole | holes "
        "| true middle met | closers | wrongly accepted |"
    )
    print("|---|---|---|---|---|---|---|---|---|", flush=True)
    is_good = True
    for language in options.languages:
        grammar, rng = grammar_for(language), random.Random(f"{options.seed} {language}")
        texts = []
        for path in sources.files(language, 120, split="any", seed=options.seed):
            text = path.read_bytes()
            if 500 < len(text) < 40_000 and grammar.check(text).first_error is None:
                texts.append(text)
        if not texts:
            print(f"| {language} | no real file that its grammar takes |||||||||", flush=True)
            continue
        found = half_typed(grammar, texts, options.n, rng)
        n_met, n_closers, n_wrong = holes(grammar, Judge(language), texts, options.n, rng)
        print(
            f"| {language} | {found.n} | {found.n_viable / found.n:.1%} | {found.n_surrendered / found.n:.1%} "
            f"| {found.n_elsewhere / found.n:.0%} / {found.n_elsewhere_unbroken / found.n:.0%} | {options.n} | {n_met / options.n:.1%} | {n_closers} | {n_wrong} |",
            flush=True,
        )
        is_good &= found.n_viable / found.n >= VIABLE and n_met / options.n >= HOLES and n_wrong == 0
    return 0 if is_good else 1


if __name__ == "__main__":
    sys.exit(main())
