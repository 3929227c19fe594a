"""Comments, strings and heredocs of many bytes: the short ways through them lead where the long way leads."""

from __future__ import annotations

import random
import time

import pytest

from treegraft_grammars.constraint import grammar_for

WORDS = b"word " * 120
BEGINNINGS = {
    "python": (b"x = 1  # " + WORDS, b"x = '''" + WORDS, b"x = f'''" + WORDS, b'x = "' + WORDS),
    "javascript": (b"x = 1 /* " + WORDS, b"x = `" + WORDS, b"x = '" + WORDS, b"// " + WORDS),
    "bash": (b"cat <<END\n" + b"word word word\n" * 40, b"cat <<-A\n" + WORDS, b'x="' + WORDS, b"# " + WORDS),
    "go": (b"package a\n/* " + WORDS, b"package a\nvar x = `" + WORDS, b'package a\nvar x = "' + WORDS),
    "rust": (b"/* " + WORDS, b'const X: &str = r#"' + WORDS, b"/* /* " + WORDS),
    "java": (b'class A { String x = """\n' + WORDS, b"/** " + WORDS),
    "json": (b'["' + WORDS,),
    "c": (b"int x; /* " + WORDS, b'char *x = "' + WORDS),
}
NEXT = (
    b"a", b" word", b"END", b"EN", b"D", b"A", b"\n", b"\n\n", b"*", b"/", b"*/", b'"', b'"""', b'"#', b"'", b"'''", b"`",
    b"\\", b"n", b"$", b"{", b"}", b"${a}", b"#", b"0", b", ", b".", b"\t", b"\xc3\xa9", b"\xc3", b";", b"/*", b")", b"]",
)  # fmt: skip


@pytest.mark.parametrize("language", BEGINNINGS)
def test_every_way_through_a_long_token_leads_to_the_same_state(language: str) -> None:
    grammar = grammar_for(language)
    rng = random.Random(f"long {language}")
    for text in BEGINNINGS[language]:
        for _ in range(12):
            assert grammar.parse(text).first_error is None
            state, written = grammar.parse(text).state, text
            for _ in range(25):
                # Mostly plain words: those are what the shortest way is for.
                piece = rng.choice(NEXT) if rng.random() < 0.5 else rng.choice(NEXT[:6])
                after, whole = state.step(piece), grammar.start().step(written + piece)
                assert (after is None) == (whole is None), (written[-60:], piece)
                if after is None or whole is None:
                    break
                assert after == whole and hash(after) == hash(whole), (written[-60:], piece)
                state, written = after, written + piece


@pytest.mark.parametrize("language", ["python", "javascript", "go", "rust"])
def test_a_word_in_a_comment_of_100_kb_is_cheap(language: str) -> None:
    state = grammar_for(language).parse(BEGINNINGS[language][0].replace(WORDS, WORDS * 170)).state
    spent = []
    for _ in range(20):
        began = time.thread_time()
        assert state.step(b"word") is not None
        spent.append(time.thread_time() - began)
    # 0.1 ms; reading it again takes 1 to 8 ms.
    assert min(spent) < 0.0005
