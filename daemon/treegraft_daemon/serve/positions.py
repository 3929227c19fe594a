"""(line, character, encoding) <-> byte offset.

Inside treegraft a place is an offset into UTF-8 bytes; editors speak of a line and a character, and count characters in
the units that were agreed at the start. In `x="😋"` the closing quote stands at

    utf-8   character 7   (x = " are 1 byte each, 😋 is 4)
    utf-16  character 5   (😋 is a surrogate pair: 2 units)
    utf-32  character 4   (😋 is 1 code point)

The traps, each with its test:
- A line ends at LF, CRLF or a lone CR and nowhere else: form feed, NEL or U+2028 do not end a line, though
  `str.splitlines` thinks so.
- After a final line break there is one more line, empty: the commonest place to type.
- A character behind the end of its line means the end of the line, before its break. A line behind the last one means
  the end of the text.
- A character in the middle of a code point (half a surrogate pair, a byte of é) means the start of that code point.
- Typing between CR and LF makes two line ends of one; deleting what stands between CR and LF makes one of two.
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Literal

Encoding = Literal["utf-8", "utf-16", "utf-32"]

_BREAK = re.compile(rb"\r\n|\n|\r")


class Lines:
    """Where the lines of a text begin, kept as their lengths: an edit touches only the lines it is in.

    Cost: the offset of a line is a sum over the lines between it and the line that was asked for last, which is mostly
    the same: people type in one place.
    Invariant: lengths holds the bytes of each line with its break; their sum is the length of the text, and the last
    line is the only one without a break (possibly empty). near is a line and its start.
    """

    def __init__(self, text: bytes) -> None:
        self._lengths = _lengths(text)
        self._near = (0, 0)

    def __len__(self) -> int:
        return len(self._lengths)

    def offset_at(self, text: bytes, line: int, character: int, encoding: Encoding) -> int:
        """The offset of a position; what lies outside is clamped as described above."""
        if line >= len(self._lengths):
            return len(text)
        start = self._start_of(line)
        content = text[start : start + self._lengths[line]].rstrip(b"\r\n")
        return start + _units_to_bytes(content, character, encoding)

    def position_at(self, text: bytes, offset: int, encoding: Encoding) -> tuple[int, int]:
        """Line and character of an offset that is on a code point's start."""
        line, start = self._line_of(offset)
        return line, n_units(text[start:offset], encoding)

    def splice(self, text: bytes, start: int, end: int, data: bytes) -> bytes:
        """The text with bytes [start, end) replaced by `data`; this index then describes it."""
        first, begin = self._line_of(start)
        # A lone CR before the first line joins a LF that now comes behind it.
        if first > 0 and text[begin - 1 : begin] == b"\r":
            first -= 1
            begin -= self._lengths[first]
        last, last_begin = self._line_of(end)
        finish = last_begin + self._lengths[last]
        lengths = _lengths(text[begin:start] + data + text[end:finish])
        # Unless these are the last lines, they end with a break, and the empty line behind it is the next line's start.
        if last + 1 < len(self._lengths):
            lengths.pop()
        self._lengths[first : last + 1] = lengths
        self._near = (first, begin)
        view = memoryview(text)
        return b"".join((view[:start], data, view[end:]))  # one copy

    def _start_of(self, line: int) -> int:
        """Where a line begins."""
        near, start = self._near
        if line >= near:
            start += sum(self._lengths[near:line])
        elif line > near // 2:
            start -= sum(self._lengths[line:near])
        else:
            start = sum(self._lengths[:line])
        self._near = (line, start)
        return start

    def _line_of(self, offset: int) -> tuple[int, int]:
        """The line that holds an offset, and the line's start."""
        line, start = self._near
        if offset < start:
            line = start = 0
        # Sums over big blocks first: they run in C.
        for step in (4096, 256, 16, 1):
            while line + step < len(self._lengths):
                n_bytes = sum(self._lengths[line : line + step])
                if start + n_bytes > offset:
                    break
                line, start = line + step, start + n_bytes
        self._near = (line, start)
        return line, start


def n_units(content: bytes, encoding: Encoding) -> int:
    """How many characters of the encoding these bytes are."""
    if encoding == "utf-8" or content.isascii():
        return len(content)
    text = content.decode("utf-8")
    return len(text) if encoding == "utf-32" else len(text.encode("utf-16-le")) // 2


def to_utf8(text: str) -> bytes:
    """The bytes of a client's text; half a surrogate pair, which no UTF-8 can hold, becomes U+FFFD: also one unit."""
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace").encode("utf-8")


def _lengths(text: bytes) -> list[int]:
    if b"\r" not in text:  # nearly always, and ten times as quick
        lengths = [len(line) + 1 for line in text.split(b"\n")]
        lengths[-1] -= 1
        return lengths
    ends = [0, *(found.end() for found in _BREAK.finditer(text)), len(text)]
    return [end - start for start, end in pairwise(ends)]


def _units_to_bytes(content: bytes, n: int, encoding: Encoding) -> int:
    """How many bytes the first `n` characters of a line are, the whole line at most."""
    if content.isascii():
        return min(n, len(content))
    if encoding == "utf-8":
        n = min(n, len(content))
        while n < len(content) and content[n] & 0xC0 == 0x80:  # inside a code point
            n -= 1
        return n
    text = content.decode("utf-8")
    if encoding == "utf-32":
        return len(text[:n].encode("utf-8"))
    return len(text.encode("utf-16-le")[: 2 * n].decode("utf-16-le", "ignore").encode("utf-8"))
