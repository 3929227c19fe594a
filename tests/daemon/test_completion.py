"""What is suggested at a cursor, given what the model wants to write: text in, text out."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Sequence
from time import monotonic

import pytest

from scripted import END, ScriptedLaw, Wish
from treegraft_daemon.engine import completion
from treegraft_daemon.engine.completion import suggest
from treegraft_daemon.engine.model.law import Context, alone
from treegraft_daemon.telemetry import Counters
from treegraft_grammars import EndlessParse, Judge
from treegraft_protocol.messages import Complete, Multiline, Suggestions

TOKENS = [bytes([byte]) for byte in range(256)]


def ask(
    text: str,
    wish: Callable[[bytes], Wish],
    tokens: Sequence[bytes] = (),
    *,
    language: str = "python",
    healed: bytes = b"",
    cancelled: Callable[[], bool] = lambda: False,
    counters: Counters | None = None,
    **options: object,
) -> Suggestions:
    """Complete at `$0`; the law's tokens are the single bytes and `tokens`."""
    prefix, suffix = text.encode().split(b"$0")
    law = ScriptedLaw(
        wish, [*TOKENS, *dict.fromkeys(token for token in tokens if len(token) > 1 and token != END)], healed
    )
    context = Context("file:///a", "a", language, prefix, suffix)
    request = Complete(id=1, document="file:///a", version=1, offset=len(prefix), **options)  # type: ignore[arg-type]
    return alone(law, suggest(request, context, law, cancelled=cancelled, counters=counters))


def check(
    text: str,
    draws: Sequence[str | Sequence[str]],
    expect: str | None,
    *,
    language: str = "python",
    healed: str = "",
    multiline: Multiline = "never",
    constraint: bool = True,
) -> Suggestions:
    """`draws[i]`: what the model wants as token i, the most wanted first; a refused first draw is not asked for again.

    After the last of them the model wants line breaks, then everything else.
    """
    wishes = [[wish] if isinstance(wish, str) else list(wish) for wish in draws]
    tokens = [token.encode() for wish in wishes for token in wish]

    n_written = {b"": 0}

    def wish(written: bytes) -> Wish:
        at = n_written.setdefault(written, max(n_written.values()) + 1)
        now = [token.encode() for token in wishes[at]] if at < len(wishes) else [b"\n", END]
        return [*now, *(token for token in TOKENS if token not in now)]

    found = ask(
        text, wish, tokens, language=language, healed=healed.encode(), multiline=multiline, constraint=constraint
    )
    assert [item.text.decode() for item in found.items] == ([] if expect is None else [expect]), found
    return found


def test_second_comma_is_refused() -> None:
    check("f(a, $0)", draws=[[", b", "b"]], expect="b")


def test_the_line_ends_where_the_model_wants_to_break_it() -> None:
    check("x = $0\ny = 2\n", draws=["foo", "(", "1", ")", "\n"], expect="foo(1)")


def test_a_token_is_cut_at_its_line_break() -> None:
    check("x = $0\ny = 2\n", draws=["foo", "(1)\n\n"], expect="foo(1)")
    check("if x$0\n    y = 2\n", draws=[":\n    "], expect=":")


def test_windows_line_breaks_are_line_breaks() -> None:
    check("x = $0\r\ny = 2\r\n", draws=["foo", "\r\n"], expect="foo")


def test_a_break_is_refused_where_the_suffix_cannot_follow() -> None:
    check("x = foo(1$0\ny = 2\nz = 3\n", draws=[["\n", ")"], "\n"], expect=")")


def test_a_block_that_is_opened_is_filled() -> None:
    check("$0\ny = 2\n", draws=["if x:", "\n    ", "pass", "\n"], expect="if x:\n    pass")


def test_a_bracket_that_is_opened_may_span_lines() -> None:
    check("x = $0\ny = 2\n", draws=["foo(", "\n    ", "1,", "\n", ")", "\n"], expect="foo(\n    1,\n)")


def test_the_bracket_behind_the_cursor_is_not_written_again() -> None:
    check("foo($0)\n", draws=["a", ")", "\n"], expect="a")
    check("foo(bar($0)\n", draws=["a", ")", ")", "\n"], expect="a)")
    check("def foo($0):\n    pass\n", draws=["a, b):\n"], expect="a, b")
    check('foo("$0")\n', draws=["a", '")\n'], expect="a")


def test_what_stands_behind_the_cursor_is_not_written_again() -> None:
    check("x = $0 + other\n", draws=["a", " + ", "other", "\n"], expect="a")


def test_the_end_token_counts_only_where_the_suffix_follows() -> None:
    check("x = f(1$0\ny = 2\nz = 3\n", draws=[["<end>", ")"], "<end>"], expect=")")


def test_trailing_blanks_are_dropped() -> None:
    check("x = $0\ny = 2\n", draws=["foo", "  ", "\n"], expect="foo")


def test_a_complete_line_is_left_alone_if_the_model_is_sure() -> None:
    found = ask("x = 1$0\ny = 2\n", lambda _: {b"\n": 0.9, b"0": 0.1})
    assert not found.items
    assert found.reason == "the line is complete"


def test_a_complete_line_goes_on_if_the_model_is_not_sure() -> None:
    found = ask("x = 1$0\ny = 2\n", lambda text: {b"\n": 0.4, b"0": 0.3} if not text else {b"\n": 1.0})
    assert [item.text for item in found.items] == [b"0"]


def test_blank_lines_are_not_suggested() -> None:
    check("def f():\n    $0\n\ny = 2\n", draws=[["\n", "    "], ["\n", "pass"], "\n"], expect="    pass")


def test_the_next_line_is_not_suggested_again() -> None:
    found = check("def f(a):\n    $0\n    return a\n", draws=["return a", "\n"], expect=None)
    assert found.reason == "only what follows anyway"


def test_healed_bytes_are_not_returned() -> None:
    check("foo.ba$0\n", draws=["bar", "(", ")", "\n"], expect="r()", healed="ba")
    check("foo.ba$0\n", draws=["b", "arc", "\n"], expect="rc", healed="ba")
    check("foo.ba$0\n", draws=[["far", "bar"], "\n"], expect="r", healed="ba")


def test_multiline_ends_with_the_statement() -> None:
    check(
        "$0\n",
        draws=["if x:", "\n    ", "a()", "\n    ", "b()", "\n", "c()", "\n"],
        expect="if x:\n    a()\n    b()",
        multiline="always",
    )
    check("$0\n", draws=["a()", "\n", "b()", "\n"], expect="a()", multiline="always")
    check(
        "function f() {\n  $0\n}\n",
        draws=["if (x) {", "\n    ", "a();", "\n  ", "}", "\n  ", "b();"],
        expect="if (x) {\n    a();\n  }",
        language="javascript",
        multiline="always",
    )


BODY = ["a()", "\n    ", "b()", "\n    ", "c()", "\n"]


def sure(tokens: Sequence[str], chances: Sequence[float]) -> Callable[[bytes], Wish]:
    """A law that wants these tokens, each with its chance."""
    texts = ["".join(tokens[:n]) for n in range(len(tokens) + 1)]

    def wish(written: bytes) -> Wish:
        at = texts.index(written.decode())
        if at == len(tokens):
            return [b"\n", END]
        return {tokens[at].encode(): chances[at]}

    return wish


@pytest.mark.parametrize(
    ("chances", "expect"),
    [
        ([0.9] * 6, "a()\n    b()\n    c()"),
        ([0.9, 0.9, 0.9, 0.9, 0.3, 0.9], "a()\n    b()"),
        ([0.9, 0.9, 0.05, 0.9, 0.9, 0.9], "a()"),
        ([0.05, 0.9, 0.9, 0.9, 0.9, 0.9], "a()"),  # a first line is shown or not by its probability alone
    ],
)
def test_an_empty_block_gets_as_many_lines_as_save_most(chances: list[float], expect: str) -> None:
    tokens = [token.encode() for token in BODY]
    found = ask("def f():\n    $0\n\n\ny = 1\n", sure(BODY, chances), tokens, multiline="auto")
    assert [item.text.decode() for item in found.items] == [expect]
    never = ask("def f():\n    $0\n\n\ny = 1\n", sure(BODY, chances), tokens, multiline="never")
    assert [item.text.decode() for item in never.items] == ["a()"]


@pytest.mark.parametrize(
    ("text", "language", "draws", "expect"),
    [
        # Something stands in the block already, above or below.
        ("def f():\n    x()\n    $0\n", "python", BODY, "a()"),
        ("def f():\n    $0\n    x()\n", "python", BODY, "a()"),
        ("x = $0\ny = 2\n", "python", ["1", "\n", "z = 3", "\n"], "1"),
        # What opens a block goes on within it.
        ("$0\ny = 2\n", "python", ["if x:", "\n    ", "a()", "\n    ", "b()", "\n", "c()"], "if x:\n    a()\n    b()"),
        ("int f() {\n  $0\n}\n", "c", ["a();", "\n  ", "b();", "\n", "}", "\n"], "a();\n  b();"),
    ],
)
def test_where_a_suggestion_goes_on_by_itself(text: str, language: str, draws: list[str], expect: str) -> None:
    found = ask(
        text, sure(draws, [1.0] * len(draws)), [token.encode() for token in draws], language=language, multiline="auto"
    )
    assert [item.text.decode() for item in found.items] == [expect]


@pytest.mark.parametrize(
    ("text", "language", "draws", "expect"),
    [
        ('def f():\n    $0\n\ndef g():\n    """G."""\n', "python", ['"""', "F.", "\n"], '"""F."""'),
        ('def f():\n    $0\n\ndef g():\n    """G."""\n', "python", ["x = 1", " # a", "\n"], "x = 1 # a"),
        ("function f() { if ($0\n/* a */ }\n", "javascript", ["x) y", " /* b", "\n"], "x) y /* b*/"),
        ("int f() { if ($0\n/* a */ }\n", "c", ["x) y();", " /* b", "\n"], "x) y(); /* b*/"),
        # Whoever writes in one may go on in it.
        ('def f(:\n    """F. $0\n    """\n', "python", ["More.", "\n"], "More."),
    ],
)
def test_what_a_suggestion_opens_it_closes(text: str, language: str, draws: list[str], expect: str) -> None:
    check(text, draws, expect, language=language)


def test_a_docstring_that_begins_in_the_next_line_is_left_to_its_author() -> None:
    law = {b"": {b'"""': 0.6, b"pass": 0.4}, b'"""': {b"\n": 1.0}, b"pass": {b"\n": 1.0}}
    found = ask('def f():\n    $0\n\ndef g():\n    """G."""\n', law.__getitem__, [b'"""', b"pass"])
    assert [item.text for item in found.items] == [b"pass"]


@pytest.mark.parametrize(
    ("text", "language", "draws", "expect"),
    [
        ("test(() => {\n  expect(z()).to(descript$0ion).to(d);\n});\n", "javascript", ["ion", ");", "\n"], "ion"),
        ("int f() {\n  uv_f((void*) &udp,$0r == 0);\n  h(a);\n}\n", "c", [" &fd", ");", "\n"], " &fd"),
    ],
)
def test_nothing_is_mended_by_making_a_comment_of_the_rest(
    text: str, language: str, draws: list[str], expect: str
) -> None:
    counters = Counters()
    wishes = [token.encode() for token in draws]
    law = {b"".join(wishes[:n]): [token] for n, token in enumerate(wishes)}
    found = ask(text, lambda written: law.get(written, [b"\n"]), wishes, language=language, counters=counters)
    assert [item.text.decode() for item in found.items] == [expect]
    assert "withheld_by_parse" not in counters.snapshot()


def test_several_candidates_are_of_one_line() -> None:
    tokens = [token.encode() for token in BODY]
    found = ask("def f():\n    $0\n\n\ny = 1\n", sure(BODY, [0.9] * 6), tokens, multiline="auto", n=2)
    assert found.items[0].text == b"a()"


def test_braces_of_the_completion_are_closed() -> None:
    check(
        "function f() {\n  $0\n}\n",
        draws=["if (x) {", "\n    ", "a();", "\n  ", "}", "\n"],
        expect="if (x) {\n    a();\n  }",
        language="javascript",
    )


def test_a_broken_suffix_is_read_as_far_as_before() -> None:
    check("x = $0\ny = = 2\n", draws=["foo", "\n"], expect="foo")


def test_out_of_tokens_the_last_whole_place_is_returned() -> None:
    text = b"aa.bb(1, 2) + cc.dd(3"
    found = ask("x = $0\ny = 2\n", lambda written: [text[len(written) : len(written) + 1]], max_tokens=20)
    assert [item.text for item in found.items] == [b"aa.bb(1, 2) + cc.dd"]
    assert found.items[0].stop_reason == "tokens"


def test_rejected_tokens_are_counted() -> None:
    counters = Counters()
    ask("x = f($0\n", lambda text: [b"]", b"1"] if not text else [b")"], counters=counters)
    assert counters.snapshot()["tokens_rejected"] >= 1


def test_nothing_that_fits_is_said() -> None:
    found = ask("x = f($0\n", lambda _: [b")", b"]"] if _ == b"" else [b"]"])
    assert [item.text for item in found.items] == [b")"]
    assert found.items[0].stop_reason == "stuck"
    found = ask("x = [$0)\n", lambda _: [b"}"])
    assert (found.items, found.reason) == ((), "nothing fits")


def test_without_constraint_the_line_is_written_as_it_comes() -> None:
    found = check("f(a, $0)\n", draws=[", b", "]]", "\n"], expect=", b]]", constraint=False)
    assert not found.constrained
    assert found.reason == "constraint off: not asked for"


def test_an_unknown_language_is_said() -> None:
    found = check("x $0\n", draws=["y", "\n"], expect="y", language="cobol")
    assert not found.constrained
    assert found.reason == "constraint off: no grammar for cobol"


def test_a_huge_file_is_completed_without_constraint_and_at_once() -> None:
    began = monotonic()
    found = check("x = 1\n" * 2_000_000 + "y $0\n", draws=["y", "\n"], expect="y")
    assert not found.constrained
    assert found.reason == "constraint off: the file is larger than 8 MiB"
    assert monotonic() - began < 2  # To read it takes 5 s.


def test_a_language_whose_grammar_is_not_trusted_is_said() -> None:
    found = check("- x $0\n", draws=["y", "\n"], expect="y", language="markdown")
    assert not found.constrained
    assert found.reason == "constraint off: markdown is not trusted: its grammar takes every text"


def test_a_script_is_read_by_the_grammar_of_its_own_language() -> None:
    page = "<p>)]\n<script>\nlet x = f([$0;\n</script>\n<p>b\n"
    found = check(page, draws=[[")", "1"], ["}", "]"], [")"], "\n"], expect="1])", language="html")
    assert (found.language, found.constrained) == ("javascript", True)
    check("<style>\na { color: $0\n}\n</style>", draws=[["}}", "red"], ";", "\n"], expect="red;", language="html")
    check(
        '<script type="application/json">[1, $0]</script>', draws=[[",", "]", "2"], "\n"], expect="2", language="html"
    )
    # A template is of no language that we know.
    found = check("<script type=text/x>f([$0\n</script>", draws=[")", "\n"], expect=")", language="html")
    assert found.language == "html"


def test_a_completion_does_not_end_the_script_it_stands_in() -> None:
    check(
        "<script>\nx = '$0';\n</script>\n",
        draws=["<", ["/script", "/b"], ">", "'", "\n"],
        expect="</b>",
        language="html",
    )
    # The joint counts, too.
    page = "<script>\nx = '$0script';\n</script>\n"
    check(page, draws=["a", "<", "/", "<end>"], expect="a<", language="html")


def test_a_fenced_block_is_read_by_the_grammar_of_its_own_language() -> None:
    page = "# A\n\nSome (words.\n\n```python\nx = f([$0\n```\n\nMore) words.\n"
    found = check(page, draws=[[")", "1"], ["}", "]"], [")"], "\n"], expect="1])", language="markdown")
    assert (found.language, found.constrained, found.reason) == ("python", True, "")
    # A line of a template may be a fence for JavaScript, but not here.
    page = "```js\nx = $0\ny\n```\n"
    check(page, draws=["f(`a", ["\n```\n", "b"], "`)", "\n"], expect="f(`a`)", language="markdown")


def test_a_block_of_a_language_without_a_grammar_is_said() -> None:
    found = check("```scss\na { $0\n```\n", draws=["x", "\n"], expect="x", language="markdown")
    assert (found.language, found.constrained) == ("scss", False)
    assert found.reason == "constraint off: scss is not trusted: it refuses most files that use modules"
    # Unconstrained or not, the block must not be closed.
    check("```scss\na {\n$0\n```\n", draws=["b\n", "```\n", "\n"], expect="b", language="markdown", multiline="always")


def test_both_grammars_judge_what_is_written_in_a_script(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    class Strict(Judge):
        def adds_error(self, prefix: bytes, completion_: bytes, suffix: bytes) -> bool:
            asked.append((prefix, completion_, suffix))
            return super().adds_error(prefix, completion_, suffix)

    monkeypatch.setattr(completion, "Judge", Strict)
    monkeypatch.setattr(completion, "_JUDGES", OrderedDict())
    check("<p>\n<script>let x = $0;</script>\n", draws=["1", "\n"], expect="1", language="html")
    assert asked == [(b"let x = ", b"1", b";"), (b"<p>\n<script>let x = ", b"1", b";</script>\n")]


def test_a_text_that_tree_sitter_does_not_get_through_costs_the_suggestion_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Stuck(Judge):
        def adds_error(self, prefix: bytes, completion_: bytes, suffix: bytes) -> bool:
            raise EndlessParse

    with monkeypatch.context() as patch:
        patch.setattr(completion, "Judge", Stuck)
        patch.setattr(completion, "_JUDGES", OrderedDict())
        found = check("x = $0\n", draws=["1", "\n"], expect=None)
        assert found.reason == "withheld by the final parse"
    check("x = $0\n", draws=["1", "\n"], expect="1")


def test_cancelled_before_and_within() -> None:
    assert ask("x = $0\n", lambda _: [b"a"], cancelled=lambda: True).reason == "cancelled"
    polls = iter([False] * 5 + [True] * 9)
    found = ask("x = $0\n", lambda _: [b"a"], cancelled=lambda: next(polls))
    assert (found.reason, found.items) == ("cancelled", ())
    assert found.timings.n_steps <= 5


def test_time_runs_out() -> None:
    found = ask("x = $0\n", lambda _: [b"a"], deadline_ms=0)
    assert (found.reason, found.items) == ("nothing fits within the time allowed", ())


def test_what_the_judge_refuses_is_withheld_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    class Strict:
        def adds_error(self, prefix: bytes, completion_: bytes, suffix: bytes) -> bool:
            return completion_ != b"f"

        def swallows(self, prefix: bytes, completion_: bytes, suffix: bytes) -> bool:
            return False

    monkeypatch.setattr(completion, "_judge", lambda document, language: Strict())
    counters = Counters()
    text = b"f.a\n"
    found = ask("x = $0\n", lambda written: [text[len(written) : len(written) + 1]], counters=counters)
    assert [item.text for item in found.items] == [b"f"]
    assert counters.snapshot() == {"withheld_by_parse": 1}


def test_greedy_asks_for_one_check_per_token() -> None:
    found = check("x = $0\ny = 2\n", draws=["foo", "(", "1", ")", "\n"], expect="foo(1)")
    assert found.items[0].n_checks == found.items[0].n_tokens == 5


def test_what_is_missing_is_closed_when_the_model_wants_to_break_the_line() -> None:
    found = ask("x = f([$0\ny = 2\n", lambda text: [b"\n", b"1"])
    assert [item.text for item in found.items] == [b"1])"]
    found = ask("if x$0\n    y = 2\n", lambda text: [b"\n", b"1"])
    assert [item.text for item in found.items] == [b"1:"]


def test_a_token_that_fits_by_its_letter_only_is_taken_back() -> None:
    # After f(x) an = may become == only; the model means an assignment, and 20 ways to go on with one.
    values = [bytes([byte]) for byte in range(ord("a"), ord("u"))]
    wishes: dict[bytes, list[bytes]] = {
        b"": [b"f"],
        b"f": [b"("],
        b"f(": [b")"],
        b"f()": [b"=", b"."],
        b"f()=": [*values, b"="],
        b"f().": [b"x"],
    }
    found = ask("$0\ny = 2\n", lambda text: wishes.get(text, [b"\n"]))
    assert [item.text for item in found.items] == [b"f().x"]
    assert found.items[0].n_checks < 30


def test_when_going_back_does_not_help_the_longest_way_counts() -> None:
    found = ask("x = $0\ny = 2\n", lambda text: [b"a", b"]"] if len(text) < 3 else [b"]"])
    assert [item.text for item in found.items] == [b"aaa"]


LINE = {b"": {b"a": 0.5, b"b": 0.3, b")": 0.2}, b"a": {b"\n": 1.0}, b"b": {b"\n": 0.5, b"c": 0.5}, b"bc": {b"\n": 1.0}}


def test_candidates_of_a_beam_are_the_most_probable() -> None:
    found = ask("x = $0\ny = 2\n", lambda text: LINE[text], n=3)
    assert [item.text for item in found.items] == [b"a", b"b", b"bc"]
    assert [round(math.exp(item.log_probability), 3) for item in found.items] == [0.5, 0.15, 0.15]


def test_particles_are_ranked_by_their_posterior() -> None:
    found = ask("x = $0\ny = 2\n", lambda text: LINE[text], n=400, temperature=1.0)
    assert found.items[0].text == b"a"
    assert {item.text for item in found.items} == {b"a", b"b", b"bc"}
    shares = {item.text: math.exp(item.log_weight) for item in found.items}
    assert abs(shares[b"a"] - 5 / 8) < 0.11
    assert sum(shares.values()) == pytest.approx(1)


SPACED = {b"": {b"f(": 0.6, b"g(a)": 0.4}, b"f(": {b"a)": 0.5, b" a )": 0.5}}


def spaced(text: bytes) -> Wish:
    return SPACED.get(text, {END: 1.0})


def test_texts_that_differ_in_blanks_are_one_candidate() -> None:
    found = ask("x = $0\ny = 2\n", spaced, [b"f(", b"g(a)", b"a)", b" a )"], n=60, temperature=1.0)
    assert len(found.items) == 2
    assert found.items[0].text.replace(b" ", b"") == b"f(a)"
    assert math.exp(found.items[0].log_weight) == pytest.approx(0.6, abs=0.2)
    assert sum(math.exp(item.log_weight) for item in found.items) == pytest.approx(1)


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_what_the_constraint_left_is_told_for_each_token(temperature: float) -> None:
    found = ask("x = $0\ny = 2\n", spaced, [b"f(", b"g(a)", b"a)", b" a )"], n=4, temperature=temperature)
    for item in found.items:
        assert len(item.masses) == item.n_tokens
        assert all(lower <= upper + 1e-9 for _, lower, upper in item.masses)
        assert item.probability == pytest.approx(math.exp(item.log_probability))


@pytest.mark.parametrize("multiline", ["never", "auto"])
def test_what_can_only_be_improbable_is_not_written_to_its_end(multiline: Multiline) -> None:
    def law(text: bytes) -> Wish:
        return {b"a": 0.6, b"b": 0.3} if len(text.strip()) < 12 else {b"\n": 1.0}

    whole = ask("x = $0\ny = 2\n", law, multiline=multiline, max_tokens=30)
    assert whole.items[0].text == b"a" * 12 and whole.timings.n_steps == 12
    for text in ("x = $0\ny = 2\n", "def f():\n    $0\n"):
        found = ask(text, law, multiline=multiline, max_tokens=30, min_probability=0.1)
        assert (found.items, found.reason) == ((), "improbable")
        assert found.timings.n_steps == 4  # the fifth token makes it 0.6 ** 5
    assert ask("x = $0\ny = 2\n", law, multiline=multiline, n=3, min_probability=0.1).items, "several are only ranked"


def test_a_comment_whose_lines_and_end_stand_below_may_begin() -> None:
    check("class A {\n  $0\n   * Old text.\n   */\n  int b;\n}\n", ["/**", "\n"], "/**", language="java")
    check("f();\n$0\n * Old text.\n */\ng();\n", ["/**", "\n"], "/**", language="javascript")
    check("f();\n$0\ng(;\n/* old */\nh();\n", ["/**", "\n"], "/***/", language="javascript")
