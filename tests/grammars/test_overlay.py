"""Overlays refuse what the language refuses and never what it accepts."""

from __future__ import annotations

import ast
import random
import sysconfig
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from reading import mutate, texts
from treegraft_grammars import languages
from treegraft_grammars.constraint import Grammar, ParseState, grammar_for
from treegraft_grammars.overlays import Order, Overlay, overlay_for
from treegraft_grammars.registry import load


def is_python(text: bytes) -> bool:
    """What CPython says, by its parser alone."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            ast.parse(text)
        except (SyntaxError, ValueError):
            return False
        return True


# Some real pages close elements that are not open; browsers forgive it, HTML does not.
@pytest.mark.parametrize("language", [name for name in languages() if overlay_for(name) and name != "html"])
def test_real_files_that_parse_are_never_refused(language: str) -> None:
    for name, text in texts(language, 40, seed=6):
        if grammar_for(language, overlay=False).check(text).first_error is None:
            assert grammar_for(language).check(text).first_error is None, name


@pytest.mark.slow
def test_the_whole_standard_library_is_python() -> None:
    for path in sorted(Path(sysconfig.get_path("stdlib")).rglob("*.py")):
        text = path.read_bytes()
        if grammar_for("python", overlay=False).check(text).first_error is None and is_python(text):
            assert grammar_for("python").check(text).first_error is None, path


def mutants(n_files: int) -> Iterator[bytes]:
    rng = random.Random(7)
    for _, text in texts("python", n_files, seed=8, max_size=12_000):
        if is_python(text):
            yield from (mutate(text, rng) for _ in range(20))


def test_mutants_are_refused_where_cpython_refuses_them() -> None:
    n_wrong = n_missed = 0
    for text in mutants(30):
        is_clean = grammar_for("python").check(text).first_error is None
        if is_python(text):
            # What the grammar itself refuses is its gap, not the overlay's.
            assert is_clean or grammar_for("python", overlay=False).check(text).first_error is not None, text
        else:
            n_wrong += 1
            n_missed += is_clean
    # Measured: 0.8 % of 2,639 wrong mutants are accepted (3.9 % without the overlay); static semantics mostly.
    assert n_wrong > 100 and n_missed / n_wrong < 0.03


def is_refused(language: str, text: bytes, refused_at: int | None) -> None:
    """Asserts that it is, there or not at all, and that whatever stands before may still become right."""
    assert grammar_for(language).check(text).first_error == refused_at
    for end in range(len(text) if refused_at is None else refused_at):
        assert grammar_for(language).parse(text[:end]).first_error is None, text[:end]


@pytest.mark.parametrize(
    ("text", "refused_at"),
    [
        (b"x =\n5\n", 3),
        (b"print x\n", 5),
        (b"if a:\nb\n", 5),
        (b"if a:\n    b\n      c\n", 11),
        (b"if a:\n    b\n  c\n", 11),
        (b"  a\n", 0),
        (b"for a in b\n:\n    c\n", 10),
        (b"class A:\n    def f(self):\n\ndef g(): pass\n", 25),
        (b"x = [\n1,\n  2]\n", None),
        (b"x = 1 + \\\n  2\n", None),
        (b"if a:\n        b\n# c\nelse:\n\td\n", None),
        (b"\xef\xbb\xbfx = 1\n", None),
        (b"def f():\n    '''\na\n  '''\n    return f'''\n{\n1}'''\n", None),
        (b"if a:\r\n    b\r\n\r\nc\r\n", None),
        (b"if a: b; c\nd\n", None),
        (b"x = (yield)\n\x0cy = 1\n", None),
    ],
)
def test_layout_of_python(text: bytes, refused_at: int | None) -> None:
    assert grammar_for("python").check(text).first_error == refused_at
    assert grammar_for("python", overlay=False).check(text).first_error is None


@pytest.mark.parametrize(
    "text",
    [
        b"def f():\n    x = g(a=\n1)\n    y = 2\n",
        b"if a:\n    x = (b.\nc)\nelse:\n    pass\n",
        b"if a:\n    x = [b //\n c]\n",
        b"if a:\n    x = {b:\n1, **\nc}\n",
        b"class A:\n  def f(a:\nint, b=\n3): pass\n",
        b"if a:\n    x =\ny\n",
        b"if a:\n    x = b.\nc\n",
        b"if a:\n    return not\nb\n",
    ],
)
def test_a_line_in_brackets_may_begin_left_of_its_block(text: bytes) -> None:
    """Where no bracket may close, the grammar's scanner does not see that one is open, and ends the block."""
    assert grammar_for("python", overlay=False).check(text).first_error is not None
    assert (grammar_for("python").check(text).first_error is None) == is_python(text)
    grammar, state = grammar_for("python"), grammar_for("python").start()
    for n in range(len(text)):
        after = state.step(text[n : n + 1])
        if after is None:
            assert not is_python(text)
            break
        state = after
    assert state == grammar.parse(text).state or not is_python(text)


@pytest.mark.parametrize(
    ("text", "refused_at"),
    [
        # Behind a named argument comes none without a name, nor anything that cannot become one.
        (b"f(a=1, b)\n", 8),
        (b"f(a=1, b.c)\n", 8),
        (b"f(a=1, 'b')\n", 6),
        (b"f(a, b=1, *c, d)\n", 15),
        (b"f(**a, b)\n", 8),
        (b"class A(b=1, C): pass\n", 14),
        (b"f(g(a=1, b), c)\n", 10),
        (b"f(a=g(b), c=[d, e], **h, i=1)(j, *k, l)[m, n]\n", None),
        (b"f(a, match=1, type=2, *b.c, **d)\n{**a, 'b': 1, c: 2}\n", None),
        # Nor behind one with a default, save behind a star.
        (b"def f(a=1, b): pass\n", 12),
        (b"def f(a=1, /, b: int): pass\n", 20),
        (b"lambda a=1, b: 0\n", 13),
        (b"def f(a, b: x = 1, *c: int, d, e=2, g, **h): pass\n", None),
        (b"def f(a, /, b=1, *, c, d=1, e): pass\nlambda *a, b=1, c: 0\n", None),
        # What is tried has handlers.
        (b"try:\n    a\nb\n", 10),
        (b"try: a\nb\n", 6),
        (b"try:\n    a\nexcept b:\n    try: c\n    finally: d\nelse:\n    e\n", None),
        # Keywords are no names, whatever comes next.
        (b"async def f():\n    return await\n", 31),
        (b"async = 1\n", 5),
        (b"f(await=1)\n", 7),
        (b"async def f():\n    async with await a as b: return [c async for c in await d]\n", None),
        # Python 2, and two of what stands once.
        (b"try: a\nexcept A, b: c\n", 15),
        (b"raise a, b\n", 7),
        (b"[a for a in b, c]\n", 13),
        (b"for a in b, c: d\n", None),
        (b"a <> b\n", 1),
        (b"a += b = c\n", 6),
        (b"a += b += c\n", 11),
        (b"a = b += c\n", 10),
        (b"a = b := c\n", 5),
        (b"a = (b := c)\nd[a:b:c]\n", None),
        (b"a: b: c\n", 7),
    ],
)
def test_python_that_only_its_grammar_takes(text: bytes, refused_at: int | None) -> None:
    assert is_python(text) == (refused_at is None)
    is_refused("python", text, refused_at)


@pytest.mark.parametrize(
    ("language", "before", "after"),
    [
        ("javascript", b'x = "a', b'";\n'),
        ("typescript", b"let x = 'a", b"';\n"),
        ("tsx", b'let x = "', b'";\n'),
        ("java", b'class A { String x = "a', b'"; }\n'),
        ("json", b'["', b'"]'),
        ("c", b'char *x = "a', b'";\n'),
        ("cpp", b'auto x = "', b'";\n'),
    ],
)
def test_a_quoted_string_ends_in_its_line(language: str, before: bytes, after: bytes) -> None:
    grammar = grammar_for(language)
    assert grammar.check(before + after).first_error is None
    assert grammar.check(before + b"\n" + after).first_error is not None
    assert grammar_for(language, overlay=False).check(before + b"\n" + after).first_error is None
    state = grammar.parse(before).state
    assert state.step(b"\n") is None and state.step(b"b") is not None


def test_a_name_that_the_grammar_lost_is_an_error() -> None:
    for overlay in (
        Overlay(words=("nope",)),
        Overlay(forbidden=(("nope", ":"),)),
        Overlay(unbroken=("nope",)),
        Overlay(one_line=("nope",)),
        Overlay(layout=("nope", "_indent", "_dedent", "comment", "_string_content")),
        Overlay(in_frame=(("(", ",", "nope"),)),
        Overlay(stands_on=(("nope", "="),)),
        Overlay(base=(("=", "nope"),)),
        Overlay(reduce=((",", "", "nope"),)),
        Overlay(statements=((("nope",), "", "expression_statement"),)),
        Overlay(reserved=((("nope",), "", ""),)),
        Overlay(closed=("nope",)),
        Overlay(apart=(("{", "nope"),)),
        Overlay(barred=(("nope", ""),)),
        Overlay(alone=(("nope", "block"),)),
        Overlay(only=(("{", "nope", "block"),)),
        Overlay(top_words=(("nope",), ())),
        Overlay(order=Order(",", ("nope",), (), (), (), (), (), (), ())),
        Overlay(order=Order("nope", (), (), (), (), (), (), (), ())),
        Overlay(first=("nope",)),
        Overlay(top=("nope", ())),
        Overlay(ends_line=("nope",)),
        Overlay(decimals=("nope",)),
    ):
        with pytest.raises(LookupError, match="nope"):
            Grammar("python", load("python"), overlay)


def test_languages_without_rules_have_no_overlay() -> None:
    assert overlay_for("csharp") is None and overlay_for("python") is not None


@pytest.mark.parametrize(
    ("text", "refused_at"),
    [
        (b"fi\n", 0),
        (b"test a; then\n", 7),
        (b"if a; then\n  b\nelse\ndone\n", 19),
        (b"a && fi\n", 4),
        (b"a | done\n", 3),
        (b"{ fi; }\n", 1),
        (b"echo $(fi)\n", 7),
        (b"echo fi; a=(do done)\n", None),
        (b"case a in fi|do) b;; esac\n", None),
        (b"for done in if then; do b; done\n", None),
        (b"fix; do-it; fi.sh; done/x; 'fi'; \\done\n", None),
        (b"fi=1; x=1 fi\n", None),
        (b"[ fi ] && [ a = done ] || [[ do ]]\n", None),
        (b"cat <<fi\nfi\n", None),
        (b"f() {a; }\n", 5),
        (b"f() { a; }; { (b); }; {\na\n}; a{b,c}; ${a}\n", None),
    ],
)
def test_reserved_words_of_bash_are_no_commands(text: bytes, refused_at: int | None) -> None:
    is_refused("bash", text, refused_at)


@pytest.mark.parametrize(
    ("language", "text", "refused_at"),
    [
        ("ruby", b"a\nend\n", 1),
        ("ruby", b"module A\n  modul B\n  end\nend\n", 24),
        ("ruby", b"foo\nthen\n", 3),
        ("ruby", b"x.end; def end; end; :end; {end: 1, if: 2}; f(then: 1); %i[end do]; alias do end\n", None),
        ("ruby", b"case a\nin {end: 1} then 2\nend\np(end:)\nfoo[end: 1]\ndef then(do:); end\n", None),
        ("lua", b"x = then\n", 3),
        ("lua", b"x$ = 1\n", 0),
        ("lua", b"x = 'a\n'\n", 5),
        ("lua", b"x = 'a\\\nb' .. 'c\\z\n  d'\nlocal t = {a = 1, ['end'] = 2}\ngoto e\n::e:: const = 1\n", None),
        # What stands at the top of a file of Rust are items, and macros.
        ("rust", b"fn a() {}\nlet b = 1;\n", 9),
        ("rust", b"use a;\nb;\n", 8),
        ("rust", b"use a;\nb::c;\n", 11),
        ("rust", b"fn a() {}\n{ b }\n", 9),
        ("rust", b"use a;\n::b;\n", 10),
        ("rust", b"#![a]\n//! b\nc!(d);\ne::f! {}\ncrate::g![h];\nimpl !I for J {}\n", None),
        ("rust", b"fn a() { let b = 1; b; { c } }\nmacro_rules! d { ($e:expr) => { $e } }\n", None),
        # A macro in parentheses that is a statement ends in a semicolon, and `$a` stands in macros.
        ("rust", b"a!(b)\nmod c;\n", 5),
        ("rust", b"fn a() { b!(c) d }\n", 14),
        ("rust", b"fn a() { $b }\n", 8),
        ("rust", b"fn a() { b!(c); #[d(e)] f!{g} h!(i)?; j!(k) }\nstruct L(M);\n", None),
        # Between the attributes of a tag braces hold what is spread.
        ("javascript", b"x = <a {b}/>;\n", 8),
        ("tsx", b"x = <a b={c} {d}></a>;\n", 14),
        ("tsx", b"x = <a {...b} c={d} {/* e */ ...f}>{g}{/* h */}{}</a>;\n", None),
        # What is taken apart must be given.
        ("javascript", b"var {a};\n", 7),
        ("javascript", b"let b = c, [a], d;\n", 14),
        ("typescript", b"const {a}\nb\n", 9),
        ("tsx", b"for (const {a} of b); for (let [c] in d); const {e}: f = g, [h] = [i];\n", None),
        ("javascript", b"try { var {a} = {b} } catch ({c}) {}\nfunction d({e}, [f]) {}\n", None),
    ],
)
def test_what_the_grammars_take_and_the_languages_do_not(language: str, text: bytes, refused_at: int | None) -> None:
    assert grammar_for(language, overlay=False).check(text).first_error is None
    is_refused(language, text, refused_at)


def test_what_is_tried_may_get_its_handler_later() -> None:
    grammar = grammar_for("python")
    rest = b"\nb\n"
    for before, n_unfinished in (
        (b"try:\n    a", 1),
        (b"try:\n    try:\n        a", 2),
        (b"try:\n    a\nexcept b:\n    c", 0),
        (b"try:\n    a\nexcept b:\n    try:\n        c", 1),
        (b"try:\n    try:\n        a\n    finally:\n        c", 1),
        (b"try: a\nexcept b: c\nd", 0),
    ):
        state = grammar.parse(before).state
        assert state.unfinished() == n_unfinished, before
        assert state.meets(rest)
        assert (state.step(rest) is not None) == (n_unfinished == 0)


@pytest.mark.parametrize("language", ["javascript", "tsx"])
def test_a_closing_tag_has_the_name_of_the_open_one(language: str) -> None:
    grammar = grammar_for(language)
    fits = b"x = <a.b c={1 < d.e}>t{f(y => <g-h key='k'><i:j/></g-h>)}<></></a.b>"
    state: ParseState | None = grammar.start()
    for at in range(len(fits)):
        state = state and state.step(fits[at : at + 1])
        assert state is not None, fits[: at + 1]
    assert state is not None and state.complete
    for text in (
        b"<a>",
        b"<></>",
        b"<a.b></a>",
        b"<a><b></a>",
        b"<g-h></g>",
        b"<a:b></a:c>",
        b"<a>{<b></a>}",
        b"<></a>",
        b"<a></aa>",
    ):
        assert grammar_for(language, overlay=False).parse(text).first_error is None
    for begun, wrong in (
        (b"<a></", b"b"), (b"<a></", b">"), (b"<a></a", b"a"), (b"<></", b"a"), (b"<a.b></a", b">"), (b"<a.b></a.", b"a"),
        (b"<a></a", b"."), (b"<g-h></g", b">"), (b"<a:b></a:", b"c"), (b"<a><b></", b"a"), (b"<a>{<b></", b"a"),
    ):  # fmt: skip
        before = grammar.start().step(b"x = " + begun)
        assert before is not None and before.step(wrong) is None, begun + wrong
    name = b"QueryErrorResetBoundaryContext.SomethingThatProvides"
    for at in range(len(name)):
        assert grammar.parse(b"x = <" + name + b">{y}</" + name[:at]).state.step(name[at : at + 3]), at
    # A suffix closes what stands before the cursor, and nothing else.
    assert grammar.parse(b"x = <div>\n  <p>").state.meets(b"</p></div>\n")
    assert not grammar.parse(b"x = <div>\n  <p>").state.meets(b"</div></p>\n")
