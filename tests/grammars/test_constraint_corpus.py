"""Runs tests/corpus/<language>/*.txt: paragraphs about what may be typed at a cursor.

    === a star argument may follow a positional one ===
    f(a, $0)
    ---
    may: *rest   may: **kw   may not: ,   fits: b

`$0` is the cursor. `may: x`: with x typed there, some continuation parses. `fits: x`: with x typed, the document parses
as it stands; `may not` and `fits not` are the opposites. Items end at three blanks or the end of the line; \\n, \\t and \\s
(a blank) are spelled out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from treegraft_grammars.constraint import grammar_for

CORPUS = Path(__file__).parent.parent / "corpus"


@dataclass(frozen=True)
class Paragraph:
    language: str
    name: str
    prefix: bytes
    suffix: bytes
    claims: tuple[tuple[str, bytes], ...]


def paragraphs() -> Iterator[Paragraph]:
    for path in sorted(CORPUS.glob("*/*.txt")):
        parts = re.split(r"^=== (.+) ===\n", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
        for name, body in zip(parts[1::2], parts[2::2], strict=True):
            text, claims = body.split("\n---\n")
            prefix, suffix = text.split("$0")
            yield Paragraph(path.parent.name, f"{path.stem}: {name}", prefix.encode(), suffix.encode(), _claims(claims))


def _claims(text: str) -> tuple[tuple[str, bytes], ...]:
    found = re.findall(r"(may not|may|fits not|fits): ?(.*?)(?=   +(?:may|fits)|\s*$)", text, flags=re.MULTILINE)
    assert found, text
    return tuple((claim, _spelled(typed)) for claim, typed in found)


def _spelled(typed: str) -> bytes:
    return typed.replace("\\n", "\n").replace("\\t", "\t").replace("\\s", " ").encode()


ALL = list(paragraphs())


@pytest.mark.parametrize("paragraph", ALL, ids=[f"{it.language}/{it.name}" for it in ALL])
def test_paragraph(paragraph: Paragraph) -> None:
    parsed = grammar_for(paragraph.language).parse(paragraph.prefix)
    assert parsed.first_error is None, "the text before the cursor must be viable"
    for claim, typed in paragraph.claims:
        state = parsed.state.step(typed)
        holds = state is not None and (claim.startswith("may") or state.meets(paragraph.suffix))
        assert holds == (claim in ("may", "fits")), f"{claim}: {typed!r}"
