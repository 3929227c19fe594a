"""Real files, token by token: `python tests/bench/tokens.py --tokenizer SMALL --tokenizer LARGE [--tokens 1000000]`.

Every file that parses is read as a model would write it, each token a step of its own: none may be refused. Where a
language has too few files for the number of tokens that is asked for, they are read again with a part of the tokens cut
in two at random places, in characters too; the column of passes says how often. Two tokenizers take turns over the same
files; the table ends with what a step costs with each (mean of the calling thread's processor time, both looks at the
clock included), and the ratio.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))  # the helpers of the tests, when run as a script

from constraint import Cutter

import sources
from treegraft_daemon.engine.model.mixture import EMBEDDED
from treegraft_grammars import Grammar, grammar_for, languages
from treegraft_grammars.registry import row_of

CUT_IN_TWO = 0.3
LARGEST = 200_000  # bytes; a file of data would be most of what is read


@dataclass
class Tally:
    n_tokens: int = 0
    n_refused: int = 0
    nanoseconds: int = 0


def cut_in_two(tokens: list[bytes], rng: random.Random) -> Iterator[bytes]:
    for token in tokens:
        place = rng.randrange(len(token)) if rng.random() < CUT_IN_TWO else 0
        if place:
            yield token[:place]
        yield token[place:]


def read(grammar: Grammar, name: str, tokens: list[bytes], tally: Tally) -> None:
    state = grammar.start()
    steps = []
    began = time.thread_time_ns()
    for n, token in enumerate(tokens):
        following = state.step(token)
        if following is None:
            steps.append(n)
            break
        state = following
    tally.nanoseconds += time.thread_time_ns() - began
    tally.n_tokens += len(tokens)
    for n in steps:
        tally.n_refused += 1
        print(f"refused: {tokens[n]!r} of {name} behind {b''.join(tokens[:n])[-60:]!r}")


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    first = [language for language in languages() if not row_of(language).extra]
    parser.add_argument("--languages", nargs="*", default=first, choices=languages())
    parser.add_argument("--tokenizer", type=Path, action="append", help="a tokenizer.json; several may be given")
    parser.add_argument("--tokens", type=int, default=1_000_000, help="at least so many of each language and tokenizer")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    cutters = [Cutter(path) for path in options.tokenizer or [EMBEDDED / "tokenizer.json"]]
    sizes = [len(cutter.vocabulary) for cutter in cutters]
    print(
        "| language | files | bytes | passes |"
        + "".join(f" tokens of {n} | refused | us a step |" for n in sizes)
        + " ratio |"
    )
    print("|---|---|---|---|" + "---|---|---|" * len(sizes) + "---|", flush=True)
    n_refused = 0
    for language in options.languages:
        rng = random.Random(options.seed)
        grammar = grammar_for(language)
        texts = []
        for path in sources.files(language, 100_000, split="any", seed=options.seed):
            try:
                text = path.read_bytes().decode()
            except UnicodeDecodeError:
                continue
            if len(text) <= LARGEST and grammar.check(text.encode()).first_error is None:
                texts.append((str(path), text))
        tallies = [Tally() for _ in cutters]
        n_bytes = n_files = n_passes = 0
        while texts and min(tally.n_tokens for tally in tallies) < options.tokens:
            rng.shuffle(texts)
            n_passes += 1
            for name, text in texts:
                if min(tally.n_tokens for tally in tallies) >= options.tokens:
                    break
                n_files += n_passes == 1
                n_bytes += len(text.encode()) if n_passes == 1 else 0
                turns = list(zip(cutters, tallies, strict=True))
                rng.shuffle(turns)  # the first to read a file learns for the others
                for cutter, tally in turns:
                    tokens = cutter.cut(text)
                    read(grammar, name, tokens if n_passes == 1 else list(cut_in_two(tokens, rng)), tally)
        costs = [tally.nanoseconds / max(tally.n_tokens, 1) / 1000 for tally in tallies]
        columns = "".join(
            f" {tally.n_tokens} | {tally.n_refused} | {cost:.2f} |" for tally, cost in zip(tallies, costs, strict=True)
        )
        ratio = max(costs) / min(costs) if min(costs) else 0
        print(f"| {language} | {n_files} | {n_bytes} | {n_passes} |{columns} {ratio:.2f} |", flush=True)
        n_refused += sum(tally.n_refused for tally in tallies)
    return 1 if n_refused else 0


if __name__ == "__main__":
    sys.exit(main())
