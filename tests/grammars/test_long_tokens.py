"""Comments, strings and heredocs of many bytes: the short ways through them lead where the long way leads."""

from __future__ import annotations

import random
import time

import pytest

from treegraft_grammars.constraint import Grammar, grammar_for
from treegraft_grammars.overlays import overlay_for
from treegraft_grammars.registry import load, row_of

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


def walk(grammar: Grammar, text: bytes, rng: random.Random, n_steps: int) -> None:
    assert grammar.parse(text).first_error is None
    state, written = grammar.parse(text).state, text
    for _ in range(n_steps):
        # Mostly plain words: those are what the shortest way is for.
        piece = rng.choice(NEXT) if rng.random() < 0.5 else rng.choice(NEXT[:6])
        after, whole = state.step(piece), grammar.start().step(written + piece)
        assert (after is None) == (whole is None), (written[-60:], piece)
        if after is None or whole is None:
            break
        assert after == whole and hash(after) == hash(whole), (written[-60:], piece)
        state, written = after, written + piece


@pytest.mark.parametrize("language", BEGINNINGS)
def test_every_way_through_a_long_token_leads_to_the_same_state(language: str) -> None:
    grammar = grammar_for(language)
    rng = random.Random(f"long {language}")
    for text in BEGINNINGS[language]:
        for _ in range(12):
            walk(grammar, text, rng, 25)


WORD, LINE = b"word " * 400, b"word word\n" * 200
UNFINISHED = {
    "python": (b"# " + WORD, b"x = f'''" + LINE, b"x = rb'" + WORD, b'x = f"' + WORD),
    "javascript": (b"/* " + LINE, b"x = `" + LINE, b"x = '" + WORD, b"<a>" + LINE, b"x = /" + WORD),
    "typescript": (b"/* " + LINE, b"x = `" + LINE, b"type A = `" + WORD),
    "tsx": (b"/* " + LINE, b"x = <a>" + LINE, b"x = <a b='" + WORD),
    "json": (b'["' + WORD,),
    "go": (b"package a\n/* " + LINE, b"package a\nvar x = `" + LINE, b'package a\nvar x = "' + WORD),
    "rust": (
        b"/* " + LINE,
        b'const X: &str = "' + LINE,
        b'const X: &str = r#"' + LINE,
        b'const X: &str = br###"' + LINE,
    ),
    "java": (b"/* " + LINE, b'class A { String x = """\n' + LINE, b'class A { String x = "' + WORD),
    "c": (b"/* " + LINE, b'char *x = "' + WORD, b"#define A " + WORD),
    "cpp": (b"/* " + LINE, b'auto x = R"(' + LINE, b'auto x = R"a(' + LINE),
    "bash": (b"cat <<END\n" + LINE, b"cat <<-'END'\n" + LINE, b"x='" + LINE, b"echo " + WORD, b"x=$'" + WORD),
    "csharp": (b"/* " + LINE, b'class A { string x = """' + LINE, b'class A { string x = @"' + LINE),
    "ruby": (b"=begin\n" + LINE, b"=begin\n" + WORD, b"x = <<~END\n" + LINE, b"x = %q(" + WORD),
    "php": (b"<?php /* " + LINE, b"<?php $x = <<<END\n" + LINE, b"<?php $x = '" + LINE, b"<p>" + LINE),
    "lua": (b"--[[ " + LINE, b"x = [==[" + LINE, b"x = '" + WORD),
    "html": (b"<!-- " + LINE, b"<p>" + WORD, b"<script>" + LINE, b'<p a="' + WORD),
    "css": (b"/* " + LINE, b'a { b: "' + WORD),
    "xml": (b"<a><!-- " + LINE, b"<a><![CDATA[" + LINE, b"<a b='" + WORD),
    "yaml": (b"a: |\n  " + WORD, b"a: '" + WORD, b"a: " + WORD),
    "toml": (b"a = '''" + LINE, b'a = """' + LINE, b"# " + WORD),
    "kotlin": (b"/* " + LINE, b'val x = """' + LINE),
    "swift": (b"/* " + LINE, b'let x = """\n' + LINE, b'let x = #"' + WORD),
    "scala": (b"/* " + LINE, b'val x = s"""' + LINE),
    "haskell": (b"{- " + LINE, b'x = "' + WORD, b"{-# " + WORD),
    "ocaml": (b"(* " + LINE, b"let x = {|" + LINE, b"let x = {a|" + LINE),
    "elixir": (b'x = """\n' + LINE, b"x = ~S'''\n" + LINE, b"x = ~r/" + WORD),
    "perl": (b"=pod\n" + LINE, b"$x = <<END;\n" + LINE, b"$x = q(" + LINE),
    "powershell": (b"<# " + LINE, b'$x = @"\n' + LINE, b"$x = @'\n" + LINE),
    "make": (b"a:\n\techo " + WORD, b"define x\n" + LINE),
}


# Lines of comments, where what comes first is not decided before the line of code that follows.
UNDECIDED = {
    "python": (
        b"class A:\n    def f(self):\n        # word word word word",
        b"def f():\n    # word word\n    # word word word word",
        b"if x:\n    y = 1  # word\n# word word word word",
    ),
    "yaml": (b"a:\n  # word word word word", b"a: [word word word word word"),
    "haskell": (b"a = b\n  where\n  -- word word word word",),
    "bash": (b"if a; then\n  # word word word word", b"echo word\\ word\\ word\\ word word"),
    "rust": (b"fn a() {}\n/// word word word word", b"//! word word word word"),
}


@pytest.mark.parametrize("language", UNFINISHED)
def test_every_way_through_a_token_of_a_few_words_leads_to_the_same_state(language: str) -> None:
    grammar = grammar_for(language)
    rng = random.Random(f"short {language}")
    for text in UNFINISHED[language]:
        begun = text[: text.index(b"word") + 20]
        for _ in range(6):
            walk(grammar, begun, rng, 16)
    for text in UNDECIDED.get(language, ()):
        for _ in range(12):
            walk(grammar, text, rng, 16)


@pytest.mark.parametrize("language", UNFINISHED)
def test_a_grammar_that_has_learnt_nothing_yet_knows_how_a_long_token_ends(language: str) -> None:
    for text in UNFINISHED[language]:
        grammar = Grammar(language, load(language), overlay_for(language), row_of(language).probes)
        assert grammar.parse(text).first_error is None, text[:40]


@pytest.mark.parametrize("words", [10, 190, 210, 1000])
def test_a_quoted_string_of_bash_may_be_longer_than_what_its_scanner_looks_ahead(words: int) -> None:
    grammar = grammar_for("bash")
    text = b"x=$'" + b"word " * words
    assert grammar.start().step(text) == grammar.parse(text).state
    assert grammar.check(text + b"'\ny=1\n").first_error is None
    assert grammar.start().step(text + b"'\n") is not None


@pytest.mark.parametrize("language", UNFINISHED)
def test_a_character_cut_in_two_goes_on_in_a_long_token(language: str) -> None:
    grammar = grammar_for(language)
    for text in UNFINISHED[language]:
        state = grammar.parse(text).state
        cut = state.step(b"\xc3")
        assert (cut is None) == (grammar.start().step(text + b"\xc3") is None)
        if cut is not None:
            assert cut.step(b"\xa9") == state.step("\xe9".encode())


@pytest.mark.parametrize(
    "text",
    [
        b"def f():\n    # ",
        b"class A:\n    def f(self):\n        # one\n        # two ",
        b"if x:\n    y = 1\n    # ",
        b'if x:\n    y = """a\n',
    ],
)
def test_a_character_cut_in_two_may_stand_in_a_comment_before_the_first_line_of_a_block(text: bytes) -> None:
    state = grammar_for("python").parse(text).state
    for character in ("é", "一", "😀"):
        for n in range(1, len(character.encode())):
            begun = state.step(character.encode()[:n])
            assert begun is not None
            assert begun.step(character.encode()[n:]) == state.step(character.encode())


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
