"""Somebody who types real code: bursts and pauses, slips that are taken back, brackets that the editor closes, pastes,
undo, and a look elsewhere. What is typed is taken from a real file; the strokes are made with a seed.

Knows texts and offsets in characters; no server. The editor's own text is kept by the plainest of means, so that it can
be held against a document store.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

PAIRS = {"(": ")", "[": "]", "{": "}", '"': '"'}
SLIPS = "asdfjklx;"


@dataclass(frozen=True, slots=True)
class Stroke:
    """One thing that happens in the editor: replace [start, end) by `text`; the cursor then; seconds until the next."""

    kind: str
    start: int
    end: int
    text: str
    cursor: int
    gap_s: float


class Typist:
    """Types the missing part of a file. `before + rest + after` is the file; the buffer begins as `before + after`."""

    def __init__(self, before: str, rest: str, after: str, rng: random.Random) -> None:
        self.text = before + after
        self.cursor = len(before)
        self._before = before
        self._rest = rest
        self._rng = rng
        self._is_astray = False  # in the middle of something else: a slip, an undo, a look elsewhere

    @property
    def left(self) -> str:
        """What is still to be typed at the cursor."""
        return self._rest

    def accept(self, text: str) -> Stroke | None:
        """A suggestion is taken if it is what would have been typed; the stroke that the editor makes."""
        if self._is_astray or not text or not self._rest.startswith(text):
            return None
        self._rest = self._rest[len(text) :]
        return self._insert("accept", text, 0.3)

    def strokes(self) -> Iterator[Stroke]:
        """Type until the rest is there. The buffer has changed when a stroke is handed out."""
        rng = self._rng
        while self._rest:
            luck = rng.random()
            if luck < 0.03:
                self._is_astray = True
                yield self._insert("slip", rng.choice(SLIPS), self._gap())
                self._is_astray = False
                yield self._delete("delete", self.cursor - 1, self.cursor, 0.25)
            elif luck < 0.035 and "\n" in self._rest:
                line = self._take(self._rest.index("\n") + 1)
                self._is_astray = rng.random() < 0.4
                yield self._insert("paste", line, 0.8)
                if self._is_astray:
                    yield from self._undo_and_redo(line)
            elif luck < 0.04 and len(self._before) > 200:
                yield from self._look_elsewhere()
            elif luck < 0.3 and self._rest[0] in PAIRS and self._rest.find(PAIRS[self._rest[0]], 1) > 0:
                yield from self._pair(self._rest[0])
            else:
                yield self._insert("key", self._take(1), self._gap())

    def _take(self, n: int) -> str:
        taken, self._rest = self._rest[:n], self._rest[n:]
        return taken

    def _gap(self) -> float:
        at_start = self.text[self.cursor - 1 : self.cursor] in ("\n", "")
        pause = self._rng.lognormvariate(-2.0, 0.5)  # 135 ms
        return min(pause + (0.4 if at_start else 0.0), 2.0)

    def _pair(self, opener: str) -> Iterator[Stroke]:
        """The editor puts the closer behind the cursor, and steps over it when it is typed."""
        closer = PAIRS[opener]
        self._take(1)
        yield self._insert("pair", opener + closer, self._gap(), n_behind=1)
        while self._rest and self._rest[0] != closer:
            yield self._insert("key", self._take(1), self._gap())
        if self._rest:
            self._take(1)
            self.cursor += 1
            yield Stroke("over", self.cursor, self.cursor, "", self.cursor, self._gap())
        else:  # what was accepted held all the closers that there are
            yield self._delete("delete", self.cursor, self.cursor + 1, 0.25)

    def _undo_and_redo(self, line: str) -> Iterator[Stroke]:
        yield self._delete("undo", self.cursor - len(line), self.cursor, 0.5)
        self._is_astray = False
        yield self._insert("redo", line, 0.5)

    def _look_elsewhere(self) -> Iterator[Stroke]:
        """A comment's word is added far above, and taken out again."""
        home = self.cursor
        place = self._rng.randrange(len(self._before) // 2)
        self.cursor = place
        self._is_astray = True
        yield self._insert("elsewhere", "ab", 1.0)
        yield self._delete("elsewhere", place, place + 2, 0.3)
        self._is_astray = False
        self.cursor = home
        yield Stroke("jump", home, home, "", home, 0.6)

    def _insert(self, kind: str, text: str, gap_s: float, n_behind: int = 0) -> Stroke:
        start = self.cursor
        self.text = self.text[:start] + text + self.text[start:]
        self.cursor = start + len(text) - n_behind
        return Stroke(kind, start, start, text, self.cursor, gap_s)

    def _delete(self, kind: str, start: int, end: int, gap_s: float) -> Stroke:
        self.text = self.text[:start] + self.text[end:]
        self.cursor = start
        return Stroke(kind, start, end, "", start, gap_s)


def position(text: str, offset: int) -> dict[str, int]:
    """LSP's position of a character offset, in UTF-16, found by counting. `text` has plain line feeds only."""
    head = text[:offset]
    line = head.count("\n")
    return {"line": line, "character": len(head[head.rfind("\n") + 1 :].encode("utf-16-le")) // 2}
