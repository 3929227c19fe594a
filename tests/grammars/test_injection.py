"""Which language is written at a cursor: scripts and styles of HTML, fenced blocks of Markdown."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator

import pytest

from reading import texts
from treegraft_grammars import Judge, Region, distrust, grammar_for, region_at
from treegraft_grammars.registry import language_of_word

HTML = "<!DOCTYPE html>\n<html><head>{}</head><body><p>a</p></body></html>\n"
OPENINGS = {"html": rb"<(?:script|style)\b[^>]*>", "markdown": rb"(?m)^(?:`{3,}|~{3,})[^\r\n]*\r?\n"}


def region(text: str, language: str) -> Region | None:
    """What is written at `$0`."""
    prefix, suffix = text.encode().split(b"$0")
    return region_at(language, Judge(language).tree(prefix + suffix).root_node, prefix, suffix)


def check(text: str, language: str, expect: str | None, around: str = "") -> None:
    """`around`: the region's text with `$0` in it."""
    found = region(text, language)
    assert (found and found.language) == expect
    if found is not None:
        assert (found.prefix + b"$0" + found.suffix).decode() == around


@pytest.mark.parametrize(
    ("tag", "language"),
    [
        ("<script>", "javascript"),
        ("<script async src='a.js'>", "javascript"),
        ("<SCRIPT TYPE=Module>", "javascript"),
        ("<script type='text/javascript'>", "javascript"),
        ("<script type>", "javascript"),
        ('<script defer type="application/json">', "json"),
        ("<script type=application/ld+json>", "json"),
        ("<script type=importmap>", "json"),
        ("<script type=text/template>", None),
        ("<script type=text/x-handlebars>", None),
        ("<style>", "css"),
        ("<style media=print type='text/css'>", "css"),
        ("<style type=text/less>", None),
    ],
)
def test_the_type_of_an_html_element_tells_its_language(tag: str, language: str | None) -> None:
    name = tag[1:].split(">")[0].split(" ")[0]
    check(HTML.format(f"{tag}\na$0 b\n</{name}>"), "html", language, "\na$0 b\n")


def test_what_surrounds_a_script_is_html() -> None:
    for text in (
        "<p>$0</p><script>a</script>", "<p>a</p><scr$0ipt>a</script>", "<script $0>a</script>", "<script>a<$0/script>",
        "<script>a</script>$0", "<!-- <script>$0</script> -->", "<textarea>$0</textarea>", "<p title='<script>$0'>",
    ):  # fmt: skip
        check(HTML.replace("<p>a</p>", text).format(""), "html", None)


def test_a_script_begins_behind_its_tag_and_ends_before_the_next_one() -> None:
    check("<script>$0</script>", "html", "javascript", "$0")
    check("<script>\n$0\n</script><script>b</script>", "html", "javascript", "\n$0\n")
    check("<script>a</script><script>'<p>' + $0</SCRIPT >", "html", "javascript", "'<p>' + $0")
    check("<div><p>\n<script>\nlet x = $0", "html", "javascript", "\nlet x = $0")
    check("</p></q><div><style>a { $0 }</style></p>", "html", "css", "a { $0 }")


def test_a_fence_tells_its_language() -> None:
    for word, language in (
        ("python", "python"), ("Python", "python"), ("py", "python"), ("js", "javascript"), ("sh", "bash"),
        ("c++", "cpp"), ("C#", "csharp"), ("golang", "go"), ("rust,no_run", "rust"), ("{.haskell .x}", "haskell"),
        (" ts title=a.ts", "typescript"), ("yml", "yaml"), ("scss", "scss"), ("", None), ("console", None),
    ):  # fmt: skip
        check(f"# a\n\n```{word}\nx\n$0y\n```\n\nb\n", "markdown", language, "x\n$0y\n")
    check("~~~~ ruby\nx\n~~~\n$0\n~~~~\n", "markdown", "ruby", "x\n~~~\n$0\n")
    check("```ruby\r\nx$0\r\n```\r\n", "markdown", "ruby", "x$0\r\n")


def test_a_fence_that_is_not_closed_goes_to_the_end() -> None:
    check("```py\n$0", "markdown", "python", "$0")
    check("```py\nx = $0\n\ny\n", "markdown", "python", "x = $0\n\ny\n")


def test_the_lines_of_a_fence_are_not_its_inside() -> None:
    for text in ("``$0`py\nx\n```\n", "```p$0y\nx\n```\n", "```py\nx\n$0```\n", "```py\n$0```\n", "```py\nx\n```$0\n"):
        check(text, "markdown", None)


def test_indented_and_quoted_fences_are_left_alone() -> None:
    for text in (
        " ```py\n $0\n ```\n", "- a\n  ```py\n  $0\n  ```\n", "> ```py\n> $0\n> ```\n", "1. ```py\n   $0\n   ```\n",
        "<pre>\n```py\n$0\n```\n</pre>\n", "a `x\n$0y` b\n", "    ```py\n    $0\n",
    ):  # fmt: skip
        check(text, "markdown", None)


def test_a_completion_may_not_end_its_script() -> None:
    found = region("<script>a = '$0script>'</script>", "html")
    assert found is not None
    for text in ("</script", "x</SCRIPT>", "\n</script"):
        assert found.closed_by(text.encode())
    assert not found.closed_by(b"</scrip") and not found.closed_by(b"<\\/script></style>")
    assert found.closed_before_suffix(b"</") and not found.closed_before_suffix(b"<\\/")
    found = region("<style>a { } </sty$0 </style>", "html")
    assert found is not None and found.closed_by(b"le") and not found.closed_by(b"l e")


def test_a_completion_may_not_end_its_fence() -> None:
    found = region("````js\nx = 1$0\n````\n", "markdown")
    assert found is not None
    for text in ("\n````\n", "\n  `````  \r\n", "\n````\r"):
        assert found.closed_by(text.encode())
    for text in ("\n```\n", "````\n", "\n    ````\n", "\n````js\n", "\n~~~~\n", "\n````"):
        assert not found.closed_by(text.encode())
    assert found.closed_before_suffix(b"\n````") and not found.closed_before_suffix(b"\n````x")
    found = region("```js\n`$0`\n```\n", "markdown")
    assert found is not None
    assert found.closed_before_suffix(b"`") and not found.closed_before_suffix(b"x`")


def test_words_for_languages() -> None:
    assert language_of_word("jsx") == "javascript"
    assert language_of_word("Shell") == language_of_word("shellscript") == language_of_word("bash") == "bash"
    assert language_of_word("") is None and language_of_word(".py") is None


def real_regions(host: str, n: int) -> Iterator[tuple[str, bytes, int, Region]]:
    """Name, text, start and whole inside of regions of real files whose language is trusted and reads them."""
    judge = Judge(host)
    for name, text in texts(host, 400, max_size=60_000):
        root = judge.tree(text).root_node
        for opening in re.finditer(OPENINGS[host], text):
            found = region_at(host, root, text[: opening.end()], text[opening.end() :])
            if found is None or found.prefix or len(found.suffix.strip()) < 20 or distrust(found.language):
                continue
            if grammar_for(found.language).check(found.suffix).first_error is None:
                yield name, text, opening.end(), found
                n -= 1
                if n == 0:
                    return


@pytest.mark.parametrize(("host", "n"), [("html", 25), ("markdown", 60)])
def test_true_next_texts_and_middles_of_real_regions_are_taken(host: str, n: int) -> None:
    rng, judge, n_seen = random.Random(11), Judge(host), 0
    for name, text, start, whole in real_regions(host, n):
        inside, grammar = whole.suffix, grammar_for(whole.language)
        n_seen += 1
        for _ in range(4):
            begin = rng.randrange(len(inside))
            # The start of a closing fence's line is no place of the region.
            end = min(begin + rng.choice((0, 0, 5, 40)), len(inside) - 1)
            middle = inside[begin : max(begin, end)]
            prefix, suffix = text[: start + begin], text[start + begin + len(middle) :]
            here = region_at(host, judge.tree(prefix + suffix).root_node, prefix, suffix)
            assert here is not None, (name, start, begin, end)
            assert (here.language, here.prefix) == (whole.language, inside[:begin]), (name, start, begin, end)
            assert here.suffix == inside[begin + len(middle) :], (name, start, begin, end)
            assert not here.closed_by(middle) and not here.closed_before_suffix(middle), (name, begin, end)
            state = grammar.parse(here.prefix).state.step(middle)
            assert state is not None and state.meets(here.suffix), (name, begin, end)
            assert state.step(here.suffix[:20]) is not None, (name, begin, end)
    if not n_seen:
        pytest.skip(f"this machine has no {host} with other languages inside")


@pytest.mark.parametrize("host", ["html", "markdown"])
def test_a_tree_that_grew_with_edits_shows_the_same_regions_as_a_new_one(host: str) -> None:
    rng, typing = random.Random(12), Judge(host)
    pieces = (
        b"a",
        b"\n",
        b"```",
        b"```js\n",
        b"> ",
        b"- x",
        b"  ",
        b"<script>",
        b"</script>",
        b"<p>",
        b"~~~\n",
        b"x y",
    )
    for _, text in texts(host, 8, max_size=8_000):
        for _ in range(25):
            place = rng.randrange(len(text) + 1)
            text = text[:place] + rng.choice(pieces) + text[place + rng.choice((0, 0, 1, 3)) :]
            grown, new = typing.tree(text).root_node, Judge(host).tree(text).root_node
            for _ in range(20):
                cursor = rng.randrange(len(text) + 1)
                prefix, suffix = text[:cursor], text[cursor:]
                assert region_at(host, grown, prefix, suffix) == region_at(host, new, prefix, suffix), (text, cursor)
