"""Where writing may end: the goal in the suffix, line breaks, blanks, and what stands behind the cursor already."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest
from tree_sitter import Node

from reading import texts
from treegraft_daemon.config import Multiline
from treegraft_daemon.engine.stopping import PAIRS, Free, Place, Stopping
from treegraft_grammars import Judge, grammar_for, languages

CLOSING = {opener: closer for closer, opener in PAIRS.items()}


def rules(text: str, *, language: str = "python", multiline: Multiline = "never") -> tuple[Stopping, Place]:
    """The rules at `$0`, and the place there."""
    prefix, suffix = text.encode().split(b"$0")
    grammar = grammar_for(language)
    cursor = grammar.parse(prefix).state
    return Stopping(cursor, grammar.start(), prefix, suffix, multiline=multiline), Place(b"", cursor)


def check(
    text: str, tokens: list[str], expect: str, *, language: str = "python", multiline: Multiline = "never"
) -> None:
    """Write the tokens until one is refused ("refused"), one ends the suggestion ("whole: ..."), or all are written."""
    stopping, place = rules(text, language=language, multiline=multiline)
    result = ""
    for token in tokens:
        after = stopping.write(place, token.encode())
        if after is None:
            result = f"refused: {token!r}"
            break
        place = after
        if place.whole:
            result = f"whole: {place.text.decode()}"
            break
    assert (result or f"on: {place.text.decode()}") == expect


def test_a_line_break_ends_a_place_that_meets_the_suffix() -> None:
    check("x = $0\ny\n", ["1", "\n"], "whole: 1")
    check("x = $0\ny\n", ["1\n    2"], "whole: 1")
    check("x = $0", ["1", "\n"], "whole: 1")
    check("x = $0\n", ["1", "\n"], "whole: 1")


@pytest.mark.parametrize(
    ("language", "text", "written", "may_end"),
    [
        ("python", "x = f(a$0b, 1)\n", "c)  # note", False),
        ("python", "x = f(a$0b, 1)\n", "c", True),
        ("python", "x = a$0\n", "b  # note", True),
        ("python", "x = 1  # a$0b\n", "c", True),
        ("rust", "#[a$0b]\nmod c;\n", "d] // note", False),
        ("javascript", "f();$0\ng(); /* d */\n", " /* c", False),
        ("javascript", "f();$0\ng(); /* d */\n", " /* c */", True),
        ("javascript", "f(a$0, b);\n", "+ `c`", True),
        ("html", "<p>a $0 b</p>\n", "text", True),
        ("yaml", "a: $0 # note\n", "text", True),
    ],
)
def test_no_comment_takes_in_what_stands_behind(language: str, text: str, written: str, may_end: bool) -> None:
    if language not in languages():
        pytest.skip(f"no package with the grammar of {language}")
    stopping, place = rules(text, language=language)
    after = stopping.write(place, written.encode())
    assert after is not None and bool(after.whole or stopping.end(after)) == may_end


def test_a_line_break_elsewhere_is_refused() -> None:
    check("x = f(1$0\ny = 1\nz\n", ["\n"], "refused: '\\n'")
    check("def f(x$0\n    return x\n", ["\n"], "refused: '\\n'")
    check("x = [$0]\n", ["1", " +", "\n"], "refused: '\\n'")


def test_a_line_break_goes_on_inside_of_what_was_opened() -> None:
    check("x = $0\ny\n", ["f(1,", "\n", "2"], "on: f(1,\n2")
    check("$0\ny\n", ["if x:", "\n    ", "y", "\n"], "whole: if x:\n    y")
    check("$0\ny\n", ["@a", "\n", "def f(): pass", "\n"], "whole: @a\ndef f(): pass")


def test_no_blank_line_inside_of_a_single_line() -> None:
    check("x = $0\ny\n", ["f(1,", "\n", "\n"], "refused: '\\n'")


def test_a_block_whose_body_stands_below_is_not_filled() -> None:
    # The second for is broken, so the goal is weak; what follows is indented, so it is the body.
    check(
        "void f() {\n  for (int i = 0; $0\n    g(i);\n  }\n}\nint = 3 3;\n",
        ["i < n; ++i) {", "\n"],
        "whole: i < n; ++i) {",
        language="c",
    )


def test_windows_line_breaks() -> None:
    check("x = $0\r\ny\r\n", ["1", "\r\n"], "whole: 1")
    check("x = $0\r\ny\r\n", ["1\r\n"], "whole: 1")


def test_half_a_windows_line_break_is_none() -> None:
    check("x = $0\r\ny\r\n", ["1", "\r", "\n"], "whole: 1")
    check("x = $0\r\ny\r\n", ["f(", "\r", "\n", "2)", "\r", "\n"], "whole: f(\r\n2)")
    check("x = $0\r\ny\r\n", ["1", "\r", "+"], "refused: '+'")
    check("x = '$0'\r\ny\r\n", ["a\rb"], "refused: 'a\\rb'")


@pytest.mark.parametrize("closer", [")", "):", ") ", ")\n"])
def test_the_bracket_behind_the_cursor_is_met_not_written(closer: str) -> None:
    check("f($0)\n", ["a", closer], "whole: a")
    check("f(g($0)\n", ["a", ")", closer], "whole: a)")


def test_quotes_behind_the_cursor() -> None:
    check('f("$0")\n', ["a", '"'], "whole: a")
    check('f("$0")\n', ["a b", '")'], "whole: a b")


def test_a_bracket_that_is_missing_is_written_although_one_follows() -> None:
    check("x = [f(1$0]\ny = 1\n", ["", ")", "]"], "whole: )")


@pytest.mark.parametrize(
    ("language", "text", "token", "expect"),
    [
        ("python", "foo($0)\n", "a)(b", "whole: a"),
        ("python", "foo($0)\n", ")(b", "whole: "),
        ("python", "x = (a$0) + 1\n", ") + (b", "whole: "),
        ("python", "x = ['$0']\n", "', '", "whole: "),
        ("python", "foo($0)\nx = = 1\n", ")(b", "whole: "),
        ("python", "foo($0)\n", "g(\n  a\n)\n)(b", "refused: 'g(\\n  a\\n)\\n)(b'"),
        ("javascript", "foo($0);\n", ")(b", "whole: "),
        ("javascript", "($0) => x;\n", "a + b)(c", "refused: 'a + b)(c'"),
        ("javascript", "f(`$0`);\n", "` + `", "whole: "),
        ("go", 'package a\n\nvar x = f("$0")\n', '" + "', "whole: "),
        ("go", "package a\n\nvar x = f($0)\n", ")(", "whole: "),
        ("rust", "fn f() { g($0); }\n", ")(", "whole: "),
        ("rust", "fn f() { g(a[$0]); }\n", "1][2", "whole: 1"),
        ("java", 'class A { String a = f("$0"); }\n', '" + "', "whole: "),
        ("c", "int x = f($0);\n", ") + g(", "whole: "),
        ("bash", 'echo "$0"\n', '" "', "whole: "),
        ("json", '["$0"]', '", "', "whole: "),
    ],
)
def test_the_pair_around_the_cursor_is_not_closed(language: str, text: str, token: str, expect: str) -> None:
    check(text, [token], expect, language=language)


@pytest.mark.parametrize(
    ("language", "text", "token"),
    [
        ("python", "foo($0)\n", "x, g(y)"),
        ("python", "foo($0)\n", "':)', (), [')']"),
        ("python", "foo('$0')\n", "\\'a\\'"),
        ("python", 'foo("$0")\n', "'a'"),
        ("python", "x = [f(1$0]\n", "), [a]"),
        ("javascript", "f(`$0`);\n", "${g(`a`)}"),
        ("javascript", "f($0);\n", "() => { g(); }"),
        ("c", "uv_close((uv_handle_$0);\n", "t*)&pipe"),
        ("rust", "fn f() { g($0); }\n", "(), h()"),
        ("go", "package a\n\nvar x = f(g($0)\n", "h())"),
        ("bash", 'echo "$0"\n', '$(ls "a")'),
        ("json", "[$0]", "[1], [2]"),
    ],
)
def test_what_opens_within_the_pair_is_closed_there(language: str, text: str, token: str) -> None:
    check(text, list(token), f"on: {token}", language=language)


@pytest.mark.parametrize("language", ["python", "javascript", "typescript", "go", "rust", "java", "c", "json", "bash"])
def test_what_stands_within_real_pairs_may_be_written_there(language: str) -> None:
    rng, grammar = random.Random(3), grammar_for(language)
    n_holes = n_ended = 0
    clean = [(name, text) for name, text in texts(language, 12, seed=5) if grammar.check(text).first_error is None]
    for name, text in clean:
        found = list(pairs(text, Judge(language).tree(text).root_node))
        for opening, closing in rng.sample(found, min(max(6, 24 // len(clean)), len(found))):
            begin = rng.choice((opening, rng.randint(opening, closing)))
            prefix, middle, suffix = text[:begin], text[begin:closing], text[closing:]
            cursor = grammar.parse(prefix).state
            stopping = Stopping(cursor, grammar.start(), prefix, suffix, multiline="never")
            place: Place | None = Place(b"", cursor)
            while place is not None and not place.whole and len(place.text) < len(middle):
                place = stopping.write(place, middle[len(place.text) :][: rng.choice((1, 2, 5))])
            assert place is not None, (name, begin, middle)
            n_holes += 1
            n_ended += place.text != middle
    # A hole may begin inside of more than the pair; then its first closers look like the pair's.
    assert n_ended <= 0.03 * n_holes and n_holes >= 10, (n_ended, n_holes)


def pairs(text: bytes, root: Node) -> Iterator[tuple[int, int]]:
    """Where the insides of pairs of brackets and quotes on one line begin and end."""
    waiting = [root]
    while waiting:
        children = waiting.pop().children
        waiting.extend(children)
        for idx, opening in enumerate(children):
            closer = CLOSING.get(text[opening.start_byte : opening.end_byte])
            for closing in children[idx + 1 :] if closer else ():
                if text[closing.start_byte : closing.end_byte] == closer:
                    if b"\n" not in text[opening.end_byte : closing.start_byte]:
                        yield opening.end_byte, closing.start_byte
                    break


def test_half_a_character_is_no_place_to_end() -> None:
    stopping, place = rules("# $0\nx\n")
    for byte in "é語😋".encode():
        after = stopping.write(place, bytes([byte]))
        assert after is not None
        place = after
        is_text = place.text in ("é".encode(), "é語".encode(), "é語😋".encode())
        assert (stopping.end(place) is not None) == is_text
    assert [end.text.decode() for end in stopping.fallbacks(place)] == ["é語😋", "é語", "é"]


@pytest.mark.parametrize("data", [b"\x80", b"\xff", b"\xc3a", b"\xe8\xaa\n", b"\xed\xa0\x80", b"a\xc0\x80"])
def test_bytes_that_are_no_characters_are_refused(data: bytes) -> None:
    for text in ("# $0\nx\n", "x = '$0'\n"):
        stopping, place = rules(text)
        assert stopping.write(place, data) is None
    assert Stopping(Free(), Free(), b"", b"", multiline="never").write(Place(b"", Free()), data) is None


def test_the_rest_of_the_line_is_not_written_twice() -> None:
    check("x = $0 + rest\n", ["a", " +", " rest"], "whole: a")


def test_blanks_at_the_end_are_dropped() -> None:
    check("x = $0\ny\n", ["1", "   ", "\n"], "whole: 1")


def test_a_blank_line_is_not_ended_by_a_break() -> None:
    check("def f():\n    $0\ny\n", ["\n"], "refused: '\\n'")
    check("x = 1$0\ny\n", ["\n"], "whole: ")


def test_a_statement_of_several_lines() -> None:
    block = ["if x:", "\n    ", "a", "\n", "    ", "b"]
    check("$0\ny\n", [*block, "\n", "c"], "whole: if x:\n    a\n    b", multiline="always")
    check("$0\ny\n", [*block, "\n", "\n"], "whole: if x:\n    a\n    b", multiline="always")
    check("$0\ny\n", [*block, "\nelse"], "whole: if x:\n    a\n    b", multiline="always")
    check("$0\ny\n", ["a", "\n", "    "], "on: a\n    ", multiline="always")
    check("$0\ny\n", ["a", "\n", "b"], "whole: a", multiline="always")


def test_the_end_needs_the_suffix() -> None:
    stopping, place = rules("f($0)\n")
    half = stopping.write(place, b"g(1")
    assert half is not None and stopping.end(half) is None
    full = stopping.write(half, b")")
    assert full is not None
    end = stopping.end(full)
    assert end is not None and end.whole and end.text == b"g(1)"


def test_a_quote_within_what_was_opened_in_quotes_is_none_of_the_pair() -> None:
    check('    mktemp -t "$($0".X\n# a\n', ["basen", 'ame "'], 'on: basename "', language="bash")


def test_a_handler_may_come_later_for_what_was_tried_before_only() -> None:
    check("try:\n    x = $0\n\ndef f(): pass\n", ["1", "\n"], "whole: 1")
    check("try:\n    x = $0\n\ndef f(): pass\n", ["1", "\n", "y"], "refused: 'y'", multiline="always")
    check("$0\n\ndef f(): pass\n", ["try:", "\n    ", "a", "\n", "except", " b:"], "on: try:\n    a\nexcept b:")
    stopping, place = rules("$0\n\ndef f(): pass\n")
    tried = stopping.write(place, b"try:\n    a")
    assert tried is not None and stopping.end(tried) is None and stopping.fallbacks(tried) == []
    caught = tried.state.step(b"\nexcept b:\n    c")
    assert caught is not None and caught.unfinished() == 0 and tried.state.unfinished() == 1
    end = stopping.end(Place(tried.text + b"\nexcept b:\n    c", caught))
    assert end is not None and end.whole
    check("$0\nexcept b:\n    c\n", ["try:", "\n    ", "a", "\n"], "whole: try:\n    a")


def test_fallbacks_are_the_latest_places_that_meet_the_suffix() -> None:
    stopping, place = rules("x = $0\ny = 1\n")
    for token in (b"a", b".", b"b", b"(", b"1"):
        after = stopping.write(place, token)
        assert after is not None
        place = after
    assert [end.text for end in stopping.fallbacks(place)] == [b"a.b", b"a"]


def test_goal_of_a_document_that_parses_is_all_of_it() -> None:
    stopping, place = rules("x = 1$0\ny = 1\n")
    assert stopping.goal.parses
    broken = place.state.step(b" + ")
    assert broken is not None and not stopping.goal.met(broken)


def test_goal_of_a_broken_document_is_its_old_error_and_the_first_line() -> None:
    stopping, _ = rules("x = 1$0\ny = 1\nz = = 2\n")
    assert not stopping.goal.parses
    assert stopping.goal.base == stopping.goal.least >= len("\ny = 1\nz =")
    stopping, _ = rules("x = f($0\ny = = 1\n")
    assert stopping.goal.least <= len("\ny = =")


def test_repeats() -> None:
    stopping, _ = rules("a = 1\n$0\nreturn_value(a)\n")
    assert stopping.repeats(b"return_value(a)")
    assert not stopping.repeats(b"return_value(b)")
    stopping, _ = rules("f($0 + rest)\n")
    assert stopping.repeats(b" + rest)")
    stopping, _ = rules("if (a) {\n  b();\n$0\n}\nc = = 1\n", language="javascript")
    assert not stopping.repeats(b"}")


def test_without_a_grammar_the_line_break_ends() -> None:
    stopping = Stopping(Free(), Free(), b"x = ", b"\n", multiline="never")
    place = Place(b"", Free())
    after = stopping.write(place, b"f((\n")
    assert after is not None and after.whole and after.text == b"f(("


@pytest.mark.parametrize(
    ("prefix", "data", "indent", "fits"),
    [
        (b"if a:\n    b\n", b"    c", "", True),
        (b"if a:\n    b\n", b"\tc", "", False),
        (b"if a:\n\tb\n", b"\tc", "", True),
        (b"if a:\n\tb\n", b"    c", "", False),
        (b"if a:\n\tb\n", b" * a comment goes on", "", True),
        (b"if a:\n\tb\n", b"x =  1", "", True),
        (b"if a:\n    b\nx", b"\t= 1", "", True),
        (b"if a:\n", b"\tb", "    ", False),
        (b"if a:\n", b"\tb", "\t", True),
        (b"if a:\n", b"    b", "\t", False),
        (b"if a:\n\tb\nif c:\n    d\n", b"\te", "", True),
    ],
)
def test_lines_begin_as_those_of_the_document_do(prefix: bytes, data: bytes, indent: str, fits: bool) -> None:
    stopping = Stopping(Free(), Free(), prefix, b"", multiline="always", indent=indent.encode())
    assert (stopping.write(Place(b"", Free()), data) is not None) == fits
    for at in range(1, len(data)):  # however it is cut into tokens
        head = stopping.write(Place(b"", Free()), data[:at])
        after = stopping.write(head, data[at:]) if head is not None and not head.whole else head
        assert (after is not None) == fits
