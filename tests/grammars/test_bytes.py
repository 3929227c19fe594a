"""Awkward bytes: whatever a file holds and however a model cuts it, the simulator reads it as tree-sitter reads the whole."""

from __future__ import annotations

import random
import time

import pytest

from reading import Reference, texts
from treegraft_grammars import languages
from treegraft_grammars.constraint import grammar_for
from treegraft_grammars.registry import row_of

# The languages of every install.
BASE = [language for language in languages() if not row_of(language).extra]

BOM = b"\xef\xbb\xbf"
PIECES = (
    b"\r", b"\r\n", b"\n\r", b"\f", b"\v", b"\t", b" \t ", b"\0", b"\x1c", b"\x7f", b"\xc2\x85", b"\xc2\xa0", BOM,
    "\u2028".encode(), "\u2029".encode(), "\u200b".encode(), "\u3000".encode(), "é".encode(), "e\u0301".encode(),
    "語".encode(), "क्षि".encode(), "😋".encode(), "𝒳".encode(), b"\x80", b"\xff", b"\xc3", b"\xe2\x80", b"\xf0\x9f\x98",
    b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xe2\x28\xa1",
)  # fmt: skip

NAMES = (
    "имя", "名前", "क्षि", "नाम", "e\u0301té", "é", "𝒳𝒴", "𐐀", "😋", "ªº", "İı", "x\u200dy", "x\u200by", "\u2118", "日本語_1",
    "アb", "x·y", "ﬁ", "\ufeffx", "x\u0301", "\u0301x", "a\u00adb", "ⅷ", "٣", "x٣",
)  # fmt: skip
AROUND_NAME = {
    "python": "{} = f({}.{})\n", "javascript": "let {} = f({}.{});\n", "typescript": "let {}: {} = f({}.{});\n",
    "tsx": "let {} = <{}>{}</{}>;\n", "json": '{{"{}": "{}"}}', "go": "package a\n\nvar {} = f({}.{})\n",
    "rust": "fn {}<'{}>() {{ {}.{}() }}\n", "java": "class {} {{ {} {} = {}; }}\n", "c": "int {} = {}({}->{});\n",
    "cpp": "int {} = {}::{}({});\n", "bash": "{} {} --a={} '{}'\n",
}  # fmt: skip


def reads_like_tree_sitter(language: str, text: bytes, rng: random.Random, longest: int) -> None:
    """The same first error as tree-sitter's; and the same state however the text is cut into pieces."""
    grammar = grammar_for(language, overlay=False)
    checked = grammar.check(text)
    assert checked.first_error == Reference(language).first_error(text), text[-300:]
    state, at = grammar.start(), 0
    while at < len(text):
        end = min(len(text), at + rng.randint(1, longest))
        following = state.step(text[at:end])
        if following is None:
            assert checked.first_error is not None, (at, text[max(0, at - 80) : end])
            assert grammar.parse(text[:end]).first_error is not None, (at, text[max(0, at - 80) : end])
            return
        state, at = following, end
    whole = grammar.parse(text)
    assert whole.first_error is None
    assert language == "bash" or state == whole.state, text[-300:]
    assert state.complete() == (checked.first_error is None)


@pytest.mark.parametrize("language", BASE)
def test_strange_bytes_anywhere_in_a_file(language: str) -> None:
    rng = random.Random(f"bytes {language}")
    for _, text in texts(language, 6, seed=21, max_size=3_000):
        for piece in rng.sample(PIECES, 10):
            place = rng.randrange(len(text) + 1)
            reads_like_tree_sitter(language, text[:place] + piece + text[place:], rng, 8)


@pytest.mark.parametrize("language", BASE)
def test_line_breaks_and_marks_of_other_systems(language: str) -> None:
    rng = random.Random(f"breaks {language}")
    for _, text in texts(language, 4, seed=22, max_size=3_000):
        for variant in (
            text.replace(b"\r", b"").replace(b"\n", b"\r\n"), text.replace(b"\n", b"\r"), BOM + text, BOM + BOM + text,
            text.replace(b"\n", b"\n\f"), text.replace(b"\n", b"\f\n"), text.replace(b"    ", b"\t"), text + b"\0",
            text.replace(b" ", b"\t"), text.replace(b"\n", b" \t\r\n\r\n"), text[: len(text) // 2] + b"\r",
        ):  # fmt: skip
            reads_like_tree_sitter(language, variant, rng, 5)


@pytest.mark.parametrize("language", BASE)
def test_names_of_any_script(language: str) -> None:
    rng = random.Random(f"names {language}")
    form = AROUND_NAME[language]
    n_taken = 0
    for name in NAMES:
        text = form.format(*[name] * form.count("{}")).encode()
        reads_like_tree_sitter(language, text, rng, 1)
        n_taken += grammar_for(language, overlay=False).check(text).first_error is None
    assert n_taken >= 5, "the letters of all scripts are letters"


LONG = 100_000
LONG_TEXTS = {
    "python": ("# {}\nx = 1\n", "x = '''{}'''\n", "x = f'''{}{{a}}'''\n", "x = '{}'\n", "{} = 1\n", "x = [{}]\n"),
    "javascript": ("/* {} */ f();\n", "x = `{}${{a}}`;\n", "x = '{}';\n", "x = /{}/;\n", "f({});\n", "<a>{}</a>;\n"),
    "typescript": ("/* {} */ f();\n", "x = `{}${{a}}`;\n", "type A = '{}';\n"),
    "tsx": ("/** {} */ f();\n", "x = <a>{}</a>;\n", "x = <a b='{}'/>;\n"),
    "json": ('["{}"]', "[{}]"),
    "go": ("package a\n/* {} */\n", "package a\n\nvar x = `{}`\n", 'package a\n\nvar x = "{}"\n'),
    "rust": ("/* /* {} */ */\n", 'const X: &str = r#"{}"#;\n', 'const X: &str = "{}";\n', "// {}\n"),
    "java": ('class A {{ String x = """\n{}"""; }}\n', "/** {} */\n", 'class A {{ String x = "{}"; }}\n'),
    "c": ("/* {} */ int x;\n", 'char *x = "{}";\n', "int {};\n", "#define A {}\n"),
    "cpp": ('auto x = R"a({})a";\n', "// {}\nint x;\n", 'auto x = "{}";\n'),
    "bash": ("cat <<END\n{}\nEND\n", "cat <<'END'\n{}\nEND\n", 'x="{}"\n', "x='{}'\n", "# {}\n", "echo {}\n"),
}  # fmt: skip
FILLINGS = ("word ", "x", "é語😋 ", "\\\\", "a, ", "1, ", "line\n", "*{}")


@pytest.mark.parametrize("language", BASE)
def test_long_lines_and_tokens(language: str) -> None:
    rng = random.Random(f"long {language}")
    for form in LONG_TEXTS[language]:
        long_text(language, form, rng.choice(FILLINGS), rng)


@pytest.mark.slow
@pytest.mark.parametrize("language", BASE)
def test_many_long_lines_and_tokens(language: str) -> None:
    rng = random.Random(f"longer {language}")
    for form in LONG_TEXTS[language]:
        for filling in FILLINGS:
            long_text(language, form, filling, rng)


def long_text(language: str, form: str, filling: str, rng: random.Random) -> None:
    """The same first error, and the same state however the last bytes are cut into pieces."""
    grammar = grammar_for(language, overlay=False)
    text = form.format(filling * (LONG // len(filling.encode()))).encode()
    checked = grammar.check(text)
    assert checked.first_error == Reference(language).first_error(text), text[:80]
    at = len(text) - 300
    before = grammar.parse(text[:at])
    if before.first_error is not None:
        assert before.first_error == checked.first_error, text[:80]
        return
    state = before.state
    while at < len(text):
        end = min(len(text), at + rng.randint(1, 9))
        following = state.step(text[at:end])
        if following is None:
            assert grammar.parse(text[:end]).first_error is not None, text[:80]
            return
        state, at = following, end
    assert language == "bash" or state == grammar.parse(text).state, text[:80]
    assert state.complete() == (checked.first_error is None), text[:80]


def test_columns_in_a_long_line_are_counted_once() -> None:
    text = b"cat <<END\n" + b"x" * LONG
    began = time.thread_time()
    state = grammar_for("bash").parse(text).state
    assert state.meets(b"\nEND\n") and not state.meets(b"END\n)")
    # 10 ms; counting anew at every character takes a minute.
    assert time.thread_time() - began < 1
