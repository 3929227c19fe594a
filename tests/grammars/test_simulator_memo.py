"""What was learnt at other places never changes a verdict: a grammar that has seen thousands of checks against new ones."""

from __future__ import annotations

import random
import re

import pytest

from reading import texts
from treegraft_grammars.constraint import grammar_for, new_grammar

# Short words: names, beginnings of keywords, and some that with a quote behind them begin a string.
WORDS = [
    b" " + word + end
    for word in (b"a", b"of", b"the", b"i", b"in", b"n", b"rb", b"r", b"L", b"u8")
    for end in (b"", b'"', b"'", b"#")
]


def pieces(text: bytes) -> list[bytes]:
    return re.findall(rb"\s*(?:\w+|[^\w\s]+|$)", text)


def compare(language: str, n_files: int, n_rounds: int) -> None:
    rng = random.Random(f"memo {language}")
    seasoned = new_grammar(language)
    files = [text for _, text in texts(language, n_files, seed=12, max_size=6000)]
    everything = [piece for text in files for piece in pieces(text) if piece]
    everything += WORDS * (len(everything) // 200 + 1)
    for text in files:
        state = seasoned.start()
        for place in sorted(rng.sample(range(len(text)), min(60, len(text)))):
            state = seasoned.parse(text[:place]).state
            for piece in rng.choices(everything, k=12):
                state.step(piece)
    n_refused = 0
    for _ in range(n_rounds):
        text = rng.choice(files)
        place = rng.randrange(len(text))
        piece = rng.choice(everything)
        parsed = seasoned.parse(text[:place])
        if parsed.first_error is not None:
            continue  # repairs are chosen among many, also by where reading was taken up again
        known = parsed.state.step(piece)
        fresh = new_grammar(language).parse(text[:place]).state.step(piece)
        assert (known is None) == (fresh is None), (text[max(place - 80, 0) : place], piece)
        n_refused += known is None
    assert n_refused  # Bash refuses little


@pytest.mark.parametrize("language", ["python", "typescript", "bash", "go", "json"])
def test_a_seasoned_grammar_says_what_a_new_one_says(language: str) -> None:
    compare(language, 6, 150)


@pytest.mark.slow
@pytest.mark.parametrize(
    "language", ["python", "javascript", "typescript", "tsx", "bash", "go", "rust", "java", "c", "cpp"]
)
def test_a_seasoned_grammar_says_what_a_new_one_says_at_length(language: str) -> None:
    compare(language, 60, 3000)


@pytest.mark.parametrize("language", ["python", "javascript", "json"])
def test_suffixes_asked_for_before_never_change_how_far_one_reads(language: str) -> None:
    rng = random.Random(f"suffix {language}")
    seasoned = new_grammar(language)
    for _, text in texts(language, 3, seed=14, max_size=4000):
        cursor, typed = rng.randrange(len(text)), b""
        for n in range(60):
            typed = rng.choice([typed + text[cursor + len(typed) :][:1], typed[:-1], typed + b")"])
            # What follows is typed over, deleted, closed by an editor, or broken further down.
            suffix = rng.choice([text[cursor + len(typed) :], text[cursor:], b")" + text[cursor:]])
            if n % 10 == 9:
                place = rng.randrange(len(suffix) + 1)
                suffix = suffix[:place] + b"(" + suffix[place:]
            seasoned_state = seasoned.parse(text[:cursor] + typed).state
            new_state = new_grammar(language).parse(text[:cursor] + typed).state
            for lenient in rng.sample([True, False], 2):
                known = seasoned_state.reach(suffix, lenient)
                assert known == new_state.reach(suffix, lenient), (typed, suffix[:40])


def test_short_texts_with_zero_bytes_are_other_texts() -> None:
    """What is learnt about undecided bytes is kept by their hash, which once took a tab for a line break and a zero."""
    seasoned, zero = new_grammar("go"), b"package a\n\0"
    for n in range(len(zero) + 1):
        seasoned.parse(zero[:n])
    seasoned.check(zero)
    state = seasoned.start()
    for place, byte in enumerate(b"package\ta\n\nimport\t(\n\tb\t"):
        following = state.step(bytes([byte]))
        assert following is not None, place
        state = following


def test_words_of_hex_digits_are_other_words() -> None:
    """Behind `#` a colour was once refused where a word had been."""
    seasoned = grammar_for("css")
    state = seasoned.start().step(b"a {\n  color: #cc")
    assert state is not None
    assert state.step(b"he") is None
    assert state.step(b"cc") is not None
