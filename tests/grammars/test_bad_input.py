"""What no grammar was made for costs a clear error or nothing: no crash, no memory without bound."""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Iterator

import pytest

from reading import mutate, texts
from treegraft_grammars import constraint, languages
from treegraft_grammars.constraint import Grammar, grammar_for
from treegraft_grammars.overlays import Overlay
from treegraft_grammars.registry import UnsupportedGrammar, load, row_of

DEEP = {
    "python": (b"x = ", b"["), "javascript": (b"", b"{"), "typescript": (b"let x = ", b"("), "tsx": (b"x = ", b"<a>"),
    "json": (b"", b"["), "go": (b"package a\nvar x = ", b"("), "rust": (b"const X: A = ", b"["), "java": (b"class A ", b"{"),
    "c": (b"void f() ", b"{"), "cpp": (b"int x = ", b"("), "bash": (b"", b"$("),
}  # fmt: skip


def resident_mb() -> float:
    """Memory of this process that is not swapped out."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096 / 2**20


@pytest.mark.parametrize("language", DEEP)
def test_a_hundred_thousand_brackets(language: str) -> None:
    head, opener = DEEP[language]
    began = time.thread_time()
    parsed = grammar_for(language).parse(head + opener * 100_000)
    assert parsed.first_error is None
    assert parsed.state.depth() >= (100_000 if opener != b"<a>" else 0)
    inside = parsed.state.step(b"1" if language == "json" else b"a")
    assert inside is not None and not inside.complete()
    closer = {b"[": b"]", b"{": b"}", b"(": b")", b"$(": b")", b"<a>": b"</a>"}[opener]
    assert not inside.meets(closer * 99_999)
    assert time.thread_time() - began < 10


def test_a_grammar_of_another_version_is_told_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constraint, "overlay_for", lambda language: Overlay(words=("nope",)))
    with pytest.raises(UnsupportedGrammar, match=r"tree-sitter-json has another version than this one knows: .*'nope'"):
        grammar_for.__wrapped__("json")


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="asks /proc how much memory it has")
def test_a_hundred_megabytes_need_little_memory() -> None:
    unit = b"def f(a):\n    return [a, 1, 'x']\n\n"
    text = unit * (100_000_000 // len(unit))
    grammar = Grammar("python", load("python"))
    before = resident_mb()
    assert grammar.parse(text).first_error is None
    assert resident_mb() - before < 300


def work(language: str, rng: random.Random) -> Iterator[None]:
    """One step after another, of states that are kept for a while and of edited texts that are read again, without end."""
    grammar = Grammar(language, load(language), probes=row_of(language).probes)
    files = [text for _, text in texts(language, 6, seed=31, max_size=6_000)]
    kept = [grammar.start()]
    while True:
        text = rng.choice(files)
        if rng.random() < 0.5:
            text = mutate(text, rng)
        begin = rng.randrange(len(text) + 1)
        state = grammar.parse(text[:begin]).state
        yield
        for at in range(begin, min(len(text), begin + 400), 4):
            following = state.step(text[at : at + 4])
            yield
            if rng.random() < 0.3:
                state.step(rng.choice((b")", b" foo", b"\n", b'"')))
                yield
            if following is None:
                break
            state = following
            kept.append(state)
        state.meets(text[begin + 400 :])
        if len(kept) > 1000:
            kept = kept[-10:]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="asks /proc how much memory it has")
def test_a_million_steps_leak_nothing() -> None:
    rng = random.Random(5)
    workers = [work(language, rng) for language in languages() if not row_of(language).extra]
    seen = []
    for n in range(1_000_000):
        next(workers[n % len(workers)])
        if n % 200_000 == 199_999:
            seen.append(resident_mb())
    assert seen[-1] - seen[1] < 8, seen
