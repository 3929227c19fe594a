"""Places in text: a reference that knows only Python strings, and each trap of the module's docstring by name."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from awkward import ALPHABET, ENCODINGS
from treegraft_daemon.serve.positions import Encoding, Lines, n_units, to_utf8

texts = st.lists(st.sampled_from(ALPHABET), max_size=24).map("".join)


def units(text: str, encoding: Encoding) -> int:
    return {"utf-8": len(text.encode()), "utf-16": len(text.encode("utf-16-le")) // 2, "utf-32": len(text)}[encoding]


def reference_offset(text: str, line: int, character: int, encoding: Encoding) -> int:
    """The offset by walking over code points; knows no bytes and no index."""
    lines = re.split(r"\r\n|\n|\r", text)
    if line >= len(lines):
        return len(text.encode())
    starts = [0] + [found.end() for found in re.finditer(r"\r\n|\n|\r", text)]
    taken = ""
    for letter in lines[line]:
        if units(taken + letter, encoding) > character:
            break
        taken += letter
    return len((text[: starts[line]] + taken).encode())


@given(texts, st.integers(0, 12), st.integers(0, 30), st.sampled_from(ENCODINGS))
@settings(max_examples=600, deadline=None)
def test_a_position_is_where_walking_over_the_text_ends(
    text: str, line: int, character: int, encoding: Encoding
) -> None:
    data = text.encode()
    assert Lines(data).offset_at(data, line, character, encoding) == reference_offset(text, line, character, encoding)


@given(texts, st.sampled_from(ENCODINGS))
@settings(max_examples=300, deadline=None)
def test_the_position_of_an_offset_leads_back_to_it(text: str, encoding: Encoding) -> None:
    data, lines = text.encode(), Lines(text.encode())
    for n_letters in range(len(text) + 1):
        offset = len(text[:n_letters].encode())
        if text[:n_letters].endswith("\r") and text[n_letters:].startswith("\n"):
            continue  # between CR and LF there is no position
        line, character = lines.position_at(data, offset, encoding)
        assert lines.offset_at(data, line, character, encoding) == offset


@given(texts, st.data(), st.sampled_from(ENCODINGS))
@settings(max_examples=600, deadline=None)
def test_after_edits_the_lines_are_those_of_the_new_text(text: str, data: st.DataObject, encoding: Encoding) -> None:
    held, lines = text.encode(), Lines(text.encode())
    for _ in range(data.draw(st.integers(1, 4))):
        spot = st.tuples(st.integers(0, 12), st.integers(0, 12))
        start, end = sorted(lines.offset_at(held, *data.draw(spot), encoding) for _ in range(2))
        new = data.draw(texts).encode()
        expected = held[:start] + new + held[end:]
        held = lines.splice(held, start, end, new)
        assert held == expected
        assert lines._lengths == Lines(held)._lengths


@pytest.mark.parametrize(("encoding", "character"), [("utf-8", 7), ("utf-16", 5), ("utf-32", 4)])
def test_the_quote_after_an_emoji(encoding: Encoding, character: int) -> None:
    text = 'x="😋"'.encode()
    assert Lines(text).offset_at(text, 0, character, encoding) == text.rindex(b'"')
    assert Lines(text).position_at(text, text.rindex(b'"'), encoding) == (0, character)


@pytest.mark.parametrize("letter", ["\f", "\v", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029"])
def test_only_lf_crlf_and_cr_end_a_line(letter: str) -> None:
    text = f"a{letter}b\nc".encode()
    assert len(Lines(text)) == 2
    assert Lines(text).offset_at(text, 1, 0, "utf-16") == text.index(b"c")


def test_the_empty_last_line_is_a_line() -> None:
    assert Lines(b"abc\n").offset_at(b"abc\n", 1, 0, "utf-16") == 4
    assert Lines(b"abc\n").position_at(b"abc\n", 4, "utf-16") == (1, 0)


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_a_character_behind_the_end_of_its_line_is_before_the_line_break(line_end: str) -> None:
    text = f"abc{line_end}def".encode()
    assert Lines(text).offset_at(text, 0, 99, "utf-16") == 3
    assert Lines(text).offset_at(text, 1, 99, "utf-16") == len(text)


def test_a_line_behind_the_last_is_the_end() -> None:
    assert Lines(b"abc").offset_at(b"abc", 7, 0, "utf-16") == 3


@pytest.mark.parametrize(("encoding", "inside"), [("utf-8", (1, 2, 3)), ("utf-16", (1,))])
def test_inside_a_code_point_means_its_start(encoding: Encoding, inside: tuple[int, ...]) -> None:
    text = "😋x".encode()
    assert {Lines(text).offset_at(text, 0, character, encoding) for character in inside} == {0}


def test_typing_between_cr_and_lf_and_taking_it_back() -> None:
    lines = Lines(b"a\r\nb")
    text = lines.splice(b"a\r\nb", 2, 2, b"x")
    assert (text, len(lines)) == (b"a\rx\nb", 3)
    text = lines.splice(text, 2, 3, b"")
    assert (text, len(lines)) == (b"a\r\nb", 2)


def test_half_a_surrogate_pair_is_one_unit_and_valid_utf8() -> None:
    assert to_utf8("a\ud83db") == "a\ufffdb".encode()
    assert n_units(to_utf8("\udc00"), "utf-16") == 1


def test_a_line_of_a_megabyte_without_a_break_is_read_in_one_go() -> None:
    text = b"x" * 1_000_000  # quadratic search would take minutes
    assert Lines(text).position_at(text, 999_999, "utf-16") == (0, 999_999)
