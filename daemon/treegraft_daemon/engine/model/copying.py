"""The local part of the embedded law: what followed the same tokens in this document and in its open siblings.

A `Page` is a read-only text with an index from each token to its places (native: `mixing/copying.h`). A `Trail` walks along
a page: where the last tokens were seen before, and how long each match is; one token further costs microseconds. A
`Reader` walks along all pages of a request. Knows nothing of probabilities beyond counting; `mixture` and `copied` weigh what is found here.
Token 0 is END here, whatever it is in a model's own vocabulary.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from treegraft_daemon.engine.model._mixing import SOURCE_DIGEST, Index, Matches
from treegraft_daemon.engine.model.law import Cancelled
from treegraft_daemon.engine.model.linewise import END
from treegraft_grammars.native import check_freshness, source_digest

FOLDER = Path(__file__).parent
check_freshness(SOURCE_DIGEST, source_digest(FOLDER / "_mixing.pyx", FOLDER / "mixing"))

# Match lengths that are told apart. Fixed by the fitted weights.
ORDERS = (1, 2, 3, 4, 5, 6, 8, 12, 20)
LONGEST = ORDERS[-1]
# Further contexts, each with the last token unless said otherwise: the last but one and but two (not the last); the last
# but two; the line's first two tokens; the line above; the line below.
EXTRA = ("skip0", "skip1", "line", "above", "below")
N_LOCAL = len(ORDERS) + len(EXTRA)
N_BUCKETS = 72  # (log2 of the count: 6) x (1, 2 or more ways to go on: 3) x (share of the best: 4)
NEAR, FAR_WEIGHT = 400.0, 0.02  # A place d tokens from the cursor weighs exp(-d / NEAR) + FAR_WEIGHT.
KEPT_PAGES = 4
# Further away than this it makes no difference.
_WEIGHT_AT = np.exp(np.arange(16 * NEAR) / -NEAR) + FAR_WEIGHT
_WITHOUT_CURSOR = np.ones(1)
_LEVEL = np.searchsorted(ORDERS, np.arange(LONGEST + 1), side="right") - 1

Places = NDArray[np.intp]
Tokens = NDArray[np.uint16] | NDArray[np.uint32]
Number = TypeVar("Number", int, NDArray[np.int64])


@dataclass(frozen=True, slots=True, eq=False)
class Kinds:
    """What a vocabulary's tokens are to lines: bool [vocabulary]. blank: spaces and tabs only; breaks: they end a line."""

    blank: NDArray[np.bool_]
    breaks: NDArray[np.bool_]


class Page:
    """Tokens to copy from: one document around its hole, or all siblings, each part beginning with END.

    A match never runs over an END, since the cursor's own context holds none but its document's start.
    """

    def __init__(self, parts: Sequence[Tokens], kinds: Kinds, *, has_cursor: bool) -> None:
        """`has_cursor`: the cursor stands after the first part."""
        end = np.array([END], dtype=parts[0].dtype)
        marked = [np.concatenate([end, part]) for part in parts]
        self.tokens: NDArray[np.uint32] = np.concatenate([*marked, end]).astype(np.uint32)
        self.size = len(kinds.blank)
        self.line_keys, line_of = line_keys(self.tokens, kinds)
        above, below = neighbours(self.tokens, line_of, kinds)
        self.above, self.below = above[line_of], below[line_of]
        self.cursor = len(marked[0]) if has_cursor else None
        if has_cursor:
            # The cursor's own line is the last one of the first part, or a new one after a line break.
            at = len(marked[0]) - (0 if kinds.breaks[self.tokens[len(marked[0]) - 1]] else 1)
            self.around = int(self.above[at]), int(self.below[len(marked[0])])
        self.index = Index(
            self.tokens,
            self.line_keys,
            self.above,
            self.below,
            self.size,
            -1 if self.cursor is None else self.cursor,
            _WITHOUT_CURSOR if self.cursor is None else _WEIGHT_AT,
            _LEVEL,
        )

    @cached_property
    def unigram(self) -> NDArray[np.float64] | None:
        """Shares of all tokens of the page, or None when it holds none."""
        counts = np.bincount(self.tokens, minlength=self.size).astype(np.float64)
        counts[END] = 0
        return counts / counts.sum() if counts.any() else None

    @cached_property
    def nearby(self) -> NDArray[np.float64] | None:
        """The same with weight exp(-d / 120) for the distance to the cursor."""
        if self.cursor is None:
            return None
        low = max(self.cursor - 700, 0)
        tokens = self.tokens[low : self.cursor + 700]
        distance = np.abs(np.arange(low, low + len(tokens)) - self.cursor)
        counts = np.bincount(tokens, np.exp(distance / -120.0), minlength=self.size)
        counts[END] = 0
        return counts / counts.sum() if counts.any() else None


class SiblingPages:
    """The pages of all open files together, kept while the same are open."""

    def __init__(self, read: Callable[[bytes], Tokens], kinds: Kinds) -> None:
        self._read, self._kinds = read, kinds
        self._pages: OrderedDict[tuple[bytes, ...], Page] = OrderedDict()

    def of(self, texts: tuple[bytes, ...], cancelled: Callable[[], bool]) -> Page:
        """One page of these texts. Raises Cancelled between two of them."""
        if texts not in self._pages:
            parts = []
            for text in texts:
                if cancelled():
                    raise Cancelled
                parts.append(self._read(text))
            self._pages[texts] = Page(parts, self._kinds, has_cursor=False)
            if len(self._pages) > KEPT_PAGES:
                self._pages.popitem(last=False)
        self._pages.move_to_end(texts)
        return self._pages[texts]


@dataclass(frozen=True, slots=True)
class LineContext:
    """The cursor's line: how it began (see `line_keys`), and the lines around it (see `neighbours`); -1 for unknown."""

    key: int
    above: int
    below: int


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """What one page says: shares q [slots, ids] (a row sums to 1), and the kind of each slot's count, -1 for none."""

    slots: NDArray[np.intp]
    buckets: NDArray[np.intp]
    ids: NDArray[np.intp]
    shares: NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Trail:
    """Where a page says the same as the last tokens.

    recent: the last three tokens, latest first. earlier: the matches of one token ago.
    """

    page: Page
    recent: tuple[int, int, int]
    matches: Matches
    earlier: Matches

    @classmethod
    def of(cls, page: Page) -> Trail:
        """Before any token."""
        return cls(page, (END, END, END), Matches(), Matches())

    def step(self, token: int) -> Trail:
        """The trail after one more token."""
        return Trail(self.page, (token, *self.recent[:2]), self.page.index.step(self.matches, token), self.matches)

    def evidence(self, line: LineContext) -> Iterator[Evidence]:
        """What followed here, in slots of ORDERS and then EXTRA: every match length at once, and the extra contexts."""
        index = self.page.index
        around = self.recent[2] or -1, line.key, line.above, line.below
        for found in (index.follow(self.matches, around), index.follow_skipped(self.earlier)):
            if found is not None:
                yield Evidence(*found)


@dataclass(frozen=True, slots=True, eq=False)
class Reader:
    """A place in the text as every page sees it: how its line began, the lines around it, a trail on each page. A value."""

    kinds: Kinds
    trails: dict[str, Trail]
    line: tuple[int, ...] = ()  # At most the first two tokens of the current line.
    around: tuple[int, int] = (-1, -1)  # The lines above and below; unknown (-1) once a line break was added.

    @classmethod
    def at_cursor(cls, pages: dict[str, Page], prefix: Tokens, kinds: Kinds) -> Reader:
        """After `prefix`, which is the first part of the page "document"."""
        reader = cls(kinds, {name: Trail.of(page) for name, page in pages.items()})
        start = max(len(prefix) - LONGEST, 0)
        for token in ([END] if start == 0 else []) + prefix[start:].tolist():
            reader = reader.step(token)
        return Reader(kinds, reader.trails, _line_of(prefix, kinds), pages["document"].around)

    def step(self, token: int) -> Reader:
        """The place after one more token."""
        trails = {name: trail.step(token) for name, trail in self.trails.items()}
        last = next(iter(self.trails.values())).recent[0]
        line = (token,) if last == END or self.kinds.breaks[last] else (*self.line, token)[:2]
        return Reader(self.kinds, trails, line, (-1, -1) if self.kinds.breaks[token] else self.around)

    def evidence(self) -> Iterator[tuple[str, Evidence]]:
        """What every page says, with the page's name."""
        key = _line_key(self.line[0], self.line[1] if len(self.line) > 1 else -1) if self.line else -1
        # Places without a line above or below are numbered -1 too, and must not match "unknown".
        above, below = (line if line >= 0 else -2 for line in self.around)
        line = LineContext(key, above, below)
        for name, trail in self.trails.items():
            for one in trail.evidence(line):
                yield name, one


def line_keys(tokens: Tokens, kinds: Kinds) -> tuple[NDArray[np.int64], NDArray[np.intp]]:
    """For each token the first two tokens of its line as one number (at a line's first token that one alone); its line.

    A line break belongs to the line that it ends, so after it the previous line speaks. An END is a line of its own.
    """
    places = np.arange(len(tokens))
    first = np.ones(len(tokens), dtype=bool)
    first[1:] = kinds.breaks[tokens[:-1]] | (tokens[:-1] == END) | (tokens[1:] == END)
    starts = np.maximum.accumulate(np.where(first, places, 0))
    wide = tokens.astype(np.int64)
    second = wide[np.minimum(starts + 1, len(tokens) - 1)]
    return _line_key(wide[starts], np.where(places > starts, second, -1)), np.cumsum(first) - 1


def _line_key(first: Number, second: Number) -> Number:
    """One number for a line's first two tokens, or an array for arrays of them; `second` is -1 at the first."""
    return (first << 24) + second + 1


def _line_of(tokens: Tokens, kinds: Kinds) -> tuple[int, ...]:
    """The first two tokens of the last line; a line break belongs to the line that it ends."""
    start = len(tokens) - 1
    while start > 0 and not kinds.breaks[tokens[start - 1]]:
        start -= 1
    return tuple(tokens[max(start, 0) : max(start, 0) + 2].tolist())


def neighbours(tokens: Tokens, line_of: NDArray[np.intp], kinds: Kinds) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """For each line a number for the text of the nearest line above it that is not blank, and below it; -1 for none.

    Indentation and blanks do not count. An END counts as a line, so the first and last lines of files are alike.
    """
    n_lines = int(line_of[-1]) + 1
    counted = ~(kinds.blank | kinds.breaks)[tokens]
    rank = np.cumsum(counted)
    starts = np.searchsorted(line_of, np.arange(n_lines))
    within: Places = rank - (rank[starts] - counted[starts])[line_of]
    mixed = (
        (tokens.astype(np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15) * (within * 2 + 1).astype(np.uint64)
    )
    mixed ^= mixed >> np.uint64(29)
    mixed *= np.uint64(0xC2B2AE3D27D4EB4F)
    hashes = (np.add.reduceat(np.where(counted, mixed, np.uint64(0)), starts) >> np.uint64(1)).astype(np.int64)
    spoken = np.add.reduceat(counted.astype(np.int64), starts) > 0
    lines = np.arange(n_lines)
    previous = np.maximum.accumulate(np.where(spoken, lines, -1))
    following = np.minimum.accumulate(np.where(spoken, lines, n_lines)[::-1])[::-1]
    padded = np.append(hashes, -1)
    above = np.concatenate([[-1], previous[:-1]])
    below = np.append(following[1:], n_lines)
    return padded[above], padded[np.minimum(below, n_lines)]
