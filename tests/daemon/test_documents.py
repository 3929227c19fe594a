"""Open files: random edits against a reference that splices UTF-16 code units in Python strings."""

from __future__ import annotations

import random
import re
from dataclasses import FrozenInstanceError
from time import perf_counter

import pytest

from awkward import ALPHABET, ENCODINGS
from treegraft_daemon.config import MAX_DOCUMENT_BYTES
from treegraft_daemon.serve.documents import Documents, path_of
from treegraft_daemon.serve.positions import Encoding

URI = "file:///code/a.py"


class Reference:
    """A document as the specification tells it: lines of code units, spliced. Slow and obvious."""

    def __init__(self, text: str, encoding: Encoding) -> None:
        self.codec = {"utf-8": "utf-8", "utf-16": "utf-16-le", "utf-32": "utf-32-le"}[encoding]
        self.width = {"utf-8": 1, "utf-16": 2, "utf-32": 4}[encoding]
        self.text = text

    def edit(self, start: tuple[int, int], end: tuple[int, int], new: str) -> None:
        units = self.text.encode(self.codec)
        first, last = self._place(start), self._place(end)
        self.text = (units[:first] + new.encode(self.codec) + units[last:]).decode(self.codec)

    def _place(self, position: tuple[int, int]) -> int:
        starts = [0] + [found.end() for found in re.finditer(r"\r\n|\n|\r", self.text)]
        return len(self.text[: starts[position[0]]].encode(self.codec)) + position[1] * self.width

    def some_position(self, rng: random.Random) -> tuple[int, int]:
        """A position on a code point's start, as a correct client sends it."""
        lines = re.split(r"\r\n|\n|\r", self.text)
        line = rng.randrange(len(lines))
        content = lines[line][: rng.randint(0, len(lines[line]))]
        return line, len(content.encode(self.codec)) // self.width


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("seed", range(20))
def test_random_edits_leave_what_the_client_has(encoding: Encoding, seed: int) -> None:
    rng = random.Random(seed)
    text = "".join(rng.choices(ALPHABET, k=rng.randint(0, 60)))
    reference, documents = Reference(text, encoding), Documents()
    document = documents.open(URI, "python", 0, text)
    for version in range(1, 60):
        start, end = sorted((reference.some_position(rng), reference.some_position(rng)))
        if rng.random() < 0.7:
            end = start
        new = "".join(rng.choices(ALPHABET, k=rng.choice((0, 1, 1, 1, 2, 8))))
        reference.edit(start, end, new)
        document.replace_range(start, end, new, encoding)
        document.set_version(version)
        assert document.text == reference.text.encode(), f"seed {seed}, version {version}"
        snapshot = document.snapshot()
        assert (snapshot.version, snapshot.text) == (version, document.text)


def test_a_snapshot_does_not_change() -> None:
    document = Documents().open(URI, "python", 1, "abc")
    elder = document.snapshot()
    document.replace_range((0, 0), (0, 1), "X", "utf-16")
    document.set_version(2)
    assert (elder.version, elder.text) == (1, b"abc")
    assert (document.snapshot().version, document.snapshot().text) == (2, b"Xbc")
    with pytest.raises(FrozenInstanceError):
        elder.text = b""  # type: ignore[misc]


def test_a_range_the_wrong_way_round_is_turned() -> None:
    document = Documents().open(URI, "python", 1, "abcd")
    document.replace_range((0, 3), (0, 1), "-", "utf-16")
    assert document.text == b"a-d"


def test_the_whole_text_may_be_replaced() -> None:
    document = Documents().open(URI, "python", 1, "abc\ndef")
    document.replace_all("x\r\ny")
    document.replace_range((1, 0), (1, 1), "z", "utf-16")
    assert document.text == b"x\r\nz"


def test_closing_forgets_and_opening_again_replaces() -> None:
    documents = Documents()
    documents.open(URI, "python", 1, "old")
    documents.open(URI, "python", 2, "new")
    assert [snapshot.text for snapshot in documents.recent()] == [b"new"]
    assert documents.close(URI)
    assert not documents.close(URI)
    assert documents.get(URI) is None


def test_the_last_used_is_first() -> None:
    documents = Documents()
    for name in "abc":
        documents.open(f"file:///{name}.py", "python", 1, name)
    documents.use("file:///a.py")
    assert [snapshot.text for snapshot in documents.recent()] == [b"a", b"c", b"b"]


@pytest.mark.parametrize(
    ("language_id", "uri", "language"),
    [
        ("python", "untitled:Untitled-1", "python"),
        ("shellscript", "file:///x", "bash"),
        ("mystery", "file:///x.go", "go"),
        ("plaintext", "file:///notes.txt", None),
    ],
)
def test_the_language_is_the_editors_choice_else_the_files_name(
    language_id: str, uri: str, language: str | None
) -> None:
    assert Documents().open(uri, language_id, 1, "").snapshot().language == language


def test_binary_and_huge_texts_are_refused_with_a_reason() -> None:
    documents = Documents()
    assert "NUL" in documents.open(URI, "python", 1, "a\0b").snapshot().refusal
    huge = documents.open(URI, "python", 1, "x" * (MAX_DOCUMENT_BYTES + 1)).snapshot().refusal
    assert huge == "a.py is larger than 4 MiB"
    assert documents.open(URI, "python", 1, "x = 1\n").snapshot().refusal == ""


def test_paths() -> None:
    assert path_of("file:///code/a%20b/%C3%A9.py") == "/code/a b/é.py"
    assert path_of("untitled:Untitled-1") == "Untitled-1"
    assert path_of("file://server/share/a.py") == "//server/share/a.py"
    assert path_of("file://[broken") == "file://[broken"


def test_a_key_in_a_long_file_takes_under_a_millisecond() -> None:
    document = Documents().open(URI, "python", 1, "def f(x):  # 17 b\n" * 20_000)
    times = []
    for n in range(41):
        began = perf_counter()
        document.replace_range((19_000, n), (19_000, n), "x", "utf-16")
        times.append(perf_counter() - began)
    assert sorted(times)[20] < 0.002  # about 0.2 ms alone on a machine; the bound allows for neighbours
