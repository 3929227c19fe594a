"""The last word of the mixture: a small network weighs its best candidates against each other.

The mixture trusts each source by that source's own grounds. Whether a candidate fits *here* shows in all of them together,
and in what no source looks at: the line below stands deeper, a bracket is open, the token was just written. The candidates'
law is tilted by a score each, p'(i) = p(i) exp(s_i) / Z, and everything else together counts as one more candidate; so no
token loses all its probability, and the whole still sums to 1. `training.tilting` fits the network on held-out packages.
The arithmetic, and what the network is given of the sources, is in C (`mixing/mixing.c`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from treegraft_daemon.engine.model._mixing import KINDS, Network
from treegraft_daemon.engine.model._mixing import LANGUAGES as N_LANGUAGES

LANGUAGES = ("python", "javascript", "typescript", "tsx", "go", "rust", "java", "c", "cpp", "json")
OPENING, CLOSING, QUOTES = b"([{", b")]}", b"\"'`"
BLANK, BREAK, SPACED_WORD, WORD, DIGIT, OPENS, CLOSES, QUOTE, POINT, OTHER, NOTHING = range(11)
NEVER = 65535  # tokens: farther than any that is looked for
assert NOTHING + 1 == KINDS and len(LANGUAGES) == N_LANGUAGES, "as many as mixing.h has room for"

# (before, after, last, first, below, deeper, bracket, depth, quote, n_tokens, language, has_siblings), see `mixing.h`
Place = tuple[NDArray[np.uint16], NDArray[np.uint16], tuple[int, ...], int, int, int, int, int, int, int, int, bool]


@dataclass(frozen=True, slots=True)
class Line:
    """The cursor's line so far: how it is indented, its first token that is not blank, what it opened."""

    n_tokens: int = 0
    indent: int = 0  # bytes
    first: int = 0
    brackets: bytes = b""  # opened on this line and not closed
    quote: int = 0  # the mark of the string that is open, 0 for none

    def step(self, token: int, data: bytes) -> Line:
        """The line after one more token, which is `data`; a line break begins the next one."""
        if data.endswith(b"\n"):
            return Line()
        brackets, quote = self.brackets, self.quote
        for byte in data:
            if quote:
                quote = 0 if byte == quote else quote
            elif byte in QUOTES:
                quote = byte
            elif byte in OPENING:
                brackets += bytes([byte])
            elif byte in CLOSING:
                brackets = brackets[:-1]
        if self.first:
            return Line(self.n_tokens + 1, self.indent, self.first, brackets, quote)
        n_blank = len(data) - len(data.lstrip(b" \t"))
        return Line(self.n_tokens + 1, self.indent + n_blank, 0 if n_blank == len(data) else token, brackets, quote)


@dataclass(frozen=True, slots=True)
class Below:
    """The next line below the cursor's that is not blank: its first token and its indentation in bytes; -1: there is none."""

    first: int = 0
    indent: int = -1


class Tilt:
    """The network for one vocabulary."""

    def __init__(self, tokens: Sequence[bytes], weights: dict[str, NDArray[np.float32]], n_slots: int) -> None:
        """`tokens` by id; `weights` as `training.tilting` makes them, none for a network that only sees."""
        self.network = Network(
            {name: np.ascontiguousarray(one) for name, one in weights.items()},
            np.array([_kind(data) for data in tokens], dtype=np.uint8),
            np.array([_closes(data) for data in tokens], dtype=np.uint8),
            np.array([min(len(data), 16) / 8 for data in tokens], dtype=np.float32),
            n_slots,
        )

    @classmethod
    def load(cls, tokens: Sequence[bytes], path: Path, n_slots: int) -> Tilt:
        """From what `training.tilting` wrote. Raises ValueError when it was fitted for other sources."""
        with np.load(path) as arrays:
            return cls(tokens, {name: arrays[name] for name in arrays.files}, n_slots)


def place_of(
    line: Line,
    below: Below,
    last: tuple[int, ...],
    distances: tuple[NDArray[np.uint16], NDArray[np.uint16]],
    language: str,
    has_siblings: bool,
) -> Place:
    """A place as the network wants it. last: the tokens before the cursor. distances: of each token of the vocabulary, how
    many tokens before and after the cursor it stands in the document, NEVER if it does not."""
    deeper = 3 if below.indent < 0 else 1 + (below.indent > line.indent) - (below.indent < line.indent)
    return (
        *distances,
        last,
        line.first,
        below.first,
        deeper,
        OPENING.index(line.brackets[-1]) + 1 if line.brackets else 0,
        min(len(line.brackets), 3),
        QUOTES.index(line.quote) + 1 if line.quote else 0,
        min(line.n_tokens, 31),
        LANGUAGES.index(language) if language in LANGUAGES else -1,
        has_siblings,
    )


def _kind(data: bytes) -> int:
    text = data.strip(b" \t")
    if not data:
        return NOTHING
    if not text:
        return BLANK
    if b"\n" in data or b"\r" in data:
        return BREAK
    byte = text[0]
    if chr(byte).isalpha() or byte == 0x5F or byte >= 0x80:
        return SPACED_WORD if len(text) < len(data) else WORD
    if chr(byte).isdigit():
        return DIGIT
    for marks, kind in ((OPENING, OPENS), (CLOSING, CLOSES), (QUOTES, QUOTE), (b".,:;", POINT)):
        if byte in marks:
            return kind
    return OTHER


def _closes(data: bytes) -> int:
    text = data.strip(b" \t")
    return CLOSING.index(text[0]) + 1 if text and text[0] in CLOSING else 0
