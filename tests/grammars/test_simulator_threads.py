"""Many threads on one grammar, and many steps in one process: the same answers, and no memory that stays."""

from __future__ import annotations

import random
import re
import resource
from concurrent.futures import ThreadPoolExecutor

import pytest

from reading import texts
from treegraft_grammars.constraint import Grammar, grammar_for
from treegraft_grammars.registry import load


def walk(grammar: Grammar, text: bytes, seed: int) -> list[object]:
    """Answers along a text, asked in an order fixed by the seed."""
    rng = random.Random(seed)
    pieces = re.findall(rb"\s*(?:\w+|[^\w\s]|$)", text)
    state, found = grammar.start(), []
    for piece in pieces:
        if rng.random() < 0.1:
            found.append(state.step(rng.choice(pieces) + b")") is None)
            found.append(state.reach(b")\n"))
        state = state.step(piece) or state
        found.append(hash(state))
    parsed = grammar.parse(text[: len(text) // 2] + b")" + text[len(text) // 2 :])
    return [*found, parsed.first_error, hash(parsed.state)]


@pytest.mark.parametrize("language", ["python", "typescript", "bash"])
def test_eight_threads_get_the_answers_of_one(language: str) -> None:
    grammar = grammar_for(language)
    work = [(text, seed) for seed, (_, text) in enumerate(texts(language, 16, seed=21, max_size=5000))]
    alone = [walk(grammar, text, seed) for text, seed in work]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda one: walk(grammar, *one), work * 2))
    assert together == alone * 2


def steps_of(grammar: Grammar, pieces: list[bytes], n_steps: int, rng: random.Random) -> None:
    state = grammar.start()
    for _ in range(n_steps):
        state = state.step(rng.choice(pieces)) or state
        if rng.random() < 0.002 or state.offset > 20_000:
            state = grammar.start()


@pytest.mark.parametrize("n_steps", [100_000, pytest.param(1_000_000, marks=pytest.mark.slow)])
def test_memory_is_flat_over_many_steps(n_steps: int) -> None:
    grammar = Grammar("python", load("python"))
    [(_, text)] = texts("python", 1, seed=22, max_size=20_000)
    pieces = [piece for piece in re.findall(rb"\s*(?:\w+|[^\w\s]+)", text) if piece]
    rng = random.Random(3)
    steps_of(grammar, pieces, n_steps // 5, rng)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    steps_of(grammar, pieces, n_steps, rng)
    # KiB; one arena of 20 KB of text is far below that.
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 4_000
