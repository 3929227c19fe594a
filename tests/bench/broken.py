"""Half-typed buffers and holes: `python tests/bench/broken.py [--n 300] [--languages python go]`.

Over real files that parse. *Half-typed*: one to three tokens are deleted, doubled or replaced at most 90 tokens before
the cursor; what the author wrote next (120 bytes) should still be viable after recovery. *Surrendered*: the constraint
is off there, and says so. *Holes*: a random middle is taken out; the true middle must be viable and meet the suffix.
*Closers*: the true middle and one closing bracket more; never accepted where the result does not parse.
Prints a table and exits 1 when a bar is missed: 93 % viable, 99.9 % of holes, no closer.
"""

from __future__ import annotations

import argparse
import random
import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))  # the helpers of the tests, when run as a script

import sources
from treegraft_grammars import Grammar, grammar_for, languages
from treegraft_grammars.judge import Judge

VIABLE, HOLES = 0.93, 0.999
AHEAD = 120
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


def half_typed(grammar: Grammar, texts: list[bytes], n: int, rng: random.Random) -> tuple[int, int, int]:
    """(still broken before the cursor, viable or surrendered, surrendered)."""
    n_broken = n_viable = n_surrendered = 0
    while n_broken < n:
        text = rng.choice(texts)
        cursor = rng.randrange(len(text) // 4, len(text))
        broken = break_before(text, cursor, rng)
        if broken is None:
            continue
        parsed = grammar.parse(broken)
        if parsed.first_error is None:
            continue
        n_broken += 1
        ahead = text[cursor : cursor + AHEAD]
        while ahead and ahead[-1] & 0xC0 == 0x80:
            ahead = ahead[:-1]
        n_surrendered += parsed.confidence <= 0
        n_viable += parsed.confidence <= 0 or parsed.state.step(ahead) is not None
    return n_broken, n_viable, n_surrendered


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
        "| language | half-typed | next 120 bytes viable | of these surrendered | holes | true middle met | closers | wrongly accepted |"
    )
    print("|---|---|---|---|---|---|---|---|", flush=True)
    is_good = True
    for language in options.languages:
        grammar, rng = grammar_for(language), random.Random(f"{options.seed} {language}")
        texts = []
        for path in sources.files(language, 120, split="any", seed=options.seed):
            text = path.read_bytes()
            if 500 < len(text) < 40_000 and grammar.check(text).first_error is None:
                texts.append(text)
        if not texts:
            print(f"| {language} | no real file that its grammar takes ||||||||", flush=True)
            continue
        n_broken, n_viable, n_surrendered = half_typed(grammar, texts, options.n, rng)
        n_met, n_closers, n_wrong = holes(grammar, Judge(language), texts, options.n, rng)
        print(
            f"| {language} | {n_broken} | {n_viable / n_broken:.1%} | {n_surrendered / n_broken:.1%} "
            f"| {options.n} | {n_met / options.n:.1%} | {n_closers} | {n_wrong} |",
            flush=True,
        )
        is_good &= n_viable / n_broken >= VIABLE and n_met / options.n >= HOLES and n_wrong == 0
    return 0 if is_good else 1


if __name__ == "__main__":
    sys.exit(main())
