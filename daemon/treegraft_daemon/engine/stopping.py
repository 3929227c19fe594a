"""When a suggestion is whole.

A *place* is where the writing stands: the bytes written since the cursor and the state of the grammar after them. A
place meets the goal when the suffix may follow it as it stands. The model says that it is done by wanting what comes
after: a line break, or the bracket or quote that already stands behind the cursor. At a place that meets the goal
that wish ends the suggestion; elsewhere a line break is taken only where more lines must follow.

Knows bytes and grammar states; no tokens, no probabilities, no clock.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Protocol

from treegraft_daemon.config import Multiline
from treegraft_grammars.judge import ends_a_comment

BLANKS = b" \t"
# What an editor or a person has put behind the cursor to close something that is open before it.
CLOSERS = b")]}>\"'`;"
# What editors close by themselves when it is opened.
PAIRS = {b")": b"(", b"]": b"[", b"}": b"{", b'"': b'"', b"'": b"'", b"`": b"`"}

# What may be missing when the model takes a line for finished and the suffix cannot follow yet.
MENDS = (b")", b"]", b"}", b'"', b"'", b":", b";", b"`", b">", b" {", b"*/", b"/", b'"""', b"'''")
# Where all of these fit, what is open is no bracket but a string or a comment; what may end one of those.
TEXT_MARKS = (b")", b"]", b"}")
TEXT_ENDS = frozenset((b'"', b"'", b"`", b"*/", b"/", b'"""', b"'''"))
MOST_MENDS = 5  # in a row
# No code goes on like this, whatever is open; comments, heredocs and strings of several lines do.
NO_CODE = b"\n)]})]}"
NO_LINE = b")]})]} : : "  # in its line
MOST_TRIALS = 100  # 5 us each; of 85 mends found in 9 languages 81 took 60 at most, and what took longer was odd
FEW_TRIALS = 80  # these before each request
MOST_INDENT_BYTES = 1 << 16  # on each side of the cursor, to see how lines are indented


class Reading(Protocol):
    """A state of a grammar: `treegraft_grammars.ParseState`, or `Free`."""

    def step(self, data: bytes) -> Reading | None: ...
    def reach(self, suffix: bytes, lenient: bool = True) -> int: ...
    def depth(self) -> int: ...
    def unfinished(self) -> int: ...


class Free:
    """The state when there is no constraint: everything may follow."""

    def step(self, data: bytes) -> Free:
        return self

    def reach(self, suffix: bytes, lenient: bool = True) -> int:
        return len(suffix) + 1

    def depth(self) -> int:
        return 0

    def unfinished(self) -> int:
        return 0


@dataclass(frozen=True, slots=True)
class Place:
    """Where the writing stands.

    owed: healed bytes that the next tokens must still repeat. before: the place one token earlier.
    pause: the place before the last line break, whole if the next line turns out to be another statement.
    """

    text: bytes
    state: Reading
    owed: bytes = b""
    whole: bool = False
    before: Place | None = None
    pause: Place | None = None


class Goal:
    """What a whole suggestion must reach in the suffix."""

    def __init__(self, cursor: Reading, suffix: bytes, start: Reading) -> None:
        """If the document parses as it is, all of the suffix; else as far as now, past its first line of text, and as
        far as `expect_no_less` says.

        A first line that is broken by itself cannot be passed; then its first token will do. `start` is the state of
        an empty text.
        """
        self._suffix = suffix
        self._reaches: dict[Reading, int] = {}
        self.base = self.reach(cursor)
        self.parses = self.base > len(suffix)
        # What the judge asks for at least.
        self.floor = self.base if self.parses else max(self.base, _end_of_first_token(suffix))
        line = suffix[: _end_of_first_text(suffix)]
        bare = line.lstrip(CLOSERS + b" \t\r\n,.:")
        readable = start.reach(bare) >= len(bare)
        self.least = max(self.floor, len(line)) if readable else self.floor

    def expect_no_less(self, ways: Iterator[tuple[bytes, Reading]]) -> None:
        """Ask of a suggestion what a few closing marks alone would do for the suffix."""
        for _, state in ways:
            self.least = max(self.least, self.reach(state))
            if self.least > len(self._suffix):
                break

    def reach(self, state: Reading) -> int:
        """How far the suffix reads after this state; one more than its length when the document may end there."""
        reach = self._reaches.get(state)
        if reach is None:
            reach = self._reaches[state] = state.reach(self._suffix)
        return reach

    def finishes(self, state: Reading) -> bool:
        """Whether the suffix, as far as it reads, has what statements before it lack."""
        return state.reach(self._suffix, lenient=False) >= self.reach(state)

    def met(self, state: Reading) -> bool:
        return self.reach(state) >= self.least

    def fully_met(self, state: Reading) -> bool:
        return self.reach(state) > len(self._suffix)


class Stopping:
    """The rules for one cursor."""

    def __init__(
        self,
        cursor: Reading,
        start: Reading,
        prefix: bytes,
        suffix: bytes,
        *,
        multiline: Multiline = "never",
        indent: bytes = b"",
    ) -> None:
        """`cursor` is the state at the cursor, `start` that of an empty text; `indent` one level as the editor says.

        multiline: whether what is whole goes on in the next line: `always`, to the end of the statement; `auto`, within
        a block that is empty as yet, or that the suggestion itself has begun.
        """
        self.goal = Goal(cursor, suffix, start)
        if not self.goal.parses:
            self.goal.expect_no_less(_mended(b"", cursor, FEW_TRIALS))
        self._cursor = cursor
        self._may_swallow = _swallows(cursor)
        self._comment_ends_below = not self.goal.parses and ends_a_comment(suffix)
        self._multiline = multiline
        # Indented blocks count as open, too, and the one of this line may be settled by its first token only.
        self._depth = (cursor.step(b"x") or cursor).depth()
        self._unfinished = cursor.unfinished()
        self._line = _last_line(prefix)
        self._alien = _alien_indent(prefix, suffix, indent)
        self._indent = _indentation(self._line)
        self._rest = suffix.split(b"\n", 1)[0].strip()
        self._guards_line = self.goal.parses and bool(self._rest) and not _is_line_comment(cursor)
        self._pair = self._paired(self._rest[:1])
        following = next((line for line in suffix.split(b"\n")[1:] if line.strip()), b"")
        self._next = following.strip()
        self._body_follows = _indentation(following) > self._indent
        self.fills_block = (
            multiline == "auto"
            and self.on_blank_line
            and max(_indentation(_last_line(prefix.rstrip())), _indentation(following)) < self._indent
        )
        # A line that begins further left than this is another statement.
        self._least_indent = self._indent + (not self.fills_block)

    @property
    def on_blank_line(self) -> bool:
        """Whether nothing but blanks stands on the cursor's line, on either side."""
        return not self._line.strip() and not self._rest

    def write(self, place: Place, data: bytes) -> Place | None:
        """The place after `data`, cut short and whole if that ends the suggestion; None if it does not fit."""
        if not _is_text(place.text + data, is_whole=False):
            return None  # In strings and comments grammars take bytes that are no characters.
        if self._alien and self._is_alien(place.text, data):
            return None
        line_break = _first_break(data)
        head = (
            place if line_break == 0 else self._write_in_line(place, data if line_break is None else data[:line_break])
        )
        if head is None or head.whole:
            return head
        if place.pause is not None and head.text[len(place.pause.text) :].strip():
            # The line after the pause has begun: is it part of the same statement?
            if _indentation(head.text[len(place.pause.text) :].lstrip(b"\r\n")) < self._least_indent:
                return place.pause
            head = replace(head, pause=None)
        if line_break is None:
            return head
        if head.pause is not None:  # A blank line ends a statement.
            return head.pause
        return self._break_line(place, head, data[line_break:])

    def end(self, place: Place) -> Place | None:
        """This place as a whole suggestion, without trailing blanks; None if the suffix cannot follow."""
        if not _is_text(place.text, is_whole=True):
            return None
        text = place.text.rstrip(BLANKS + b"\r")
        if text != place.text and (state := self._cursor.step(text)) is not None and self._is_met(state):
            return Place(text, state, whole=True, before=place.before)
        return replace(place, whole=True) if self._is_met(place.state) else None

    def fallbacks(self, place: Place | None) -> list[Place]:
        """Earlier places that meet the goal and say something: farthest into the suffix first, then latest."""
        found = []
        while place is not None and place.text.strip():
            if not place.owed and _is_text(place.text, is_whole=True):
                end = self.end(place)
                open_still = place.state.depth() > self._depth and not self.goal.fully_met(place.state)
                is_enough = self.goal.reach(place.state) >= self.goal.floor and not self._leaves_open(place.state)
                if not open_still and (end is not None or is_enough):
                    found.append(end or replace(place, whole=True))
            place = place.before
        return sorted(found, key=lambda end: -self.goal.reach(end.state))

    def mend(self, place: Place) -> Place | None:
        """The whole place that the fewest closing marks make of this one, if there is one within reach."""
        if not place.text.strip() or place.owed or not _is_text(place.text, is_whole=True):
            return None
        if place.text.rstrip().endswith((b'"""', b"'''")):
            return None  # nothing was written yet in what would be closed
        for text, after in _mended(place.text.rstrip(BLANKS), place.state, MOST_TRIALS):
            if after.depth() <= self._depth and self._is_met(after):
                return Place(text, after, whole=True, before=place)
        return None

    def wishes_end(self, data: bytes) -> bool:
        """Whether a token says that the line is finished."""
        return data[:1] in (b"\n", b"\r")

    def repeats(self, text: bytes) -> bool:
        """Whether this would only write again what already follows: the rest of the line, or the next line."""
        written = (self._line + text).strip()
        if self._rest:
            return len(self._rest) > 1 and text.strip() == self._rest
        # In a document that does not parse as it is, a second `fi` may be what is missing.
        return self.goal.parses and written == self._next and any(chr(byte).isalnum() for byte in written)

    def _is_met(self, state: Reading) -> bool:
        return self.goal.met(state) and not self._leaves_open(state)

    def _leaves_open(self, state: Reading) -> bool:
        """Whether the suffix would follow as a part of a comment or string that the suggestion began, or where something
        lacks that it began: a handler of its own `try`.

        Where the document parses, a comment must not take in the rest of the line either. Where it does not, one whose lines
        and end stand below already is what was missing, if with it all of the document parses.
        """
        if state.unfinished() > self._unfinished and not self.goal.finishes(state):
            return True
        if self._may_swallow:
            return False
        if self._guards_line and _is_line_comment(state):
            return True
        if not _swallows(state):
            return False
        return not (self._comment_ends_below and _is_comment(state) and self.goal.fully_met(state))

    def _write_in_line(self, place: Place, data: bytes) -> Place | None:
        """`data` has no line break."""
        if self._rest[:1] and self._rest[:1] in CLOSERS:
            for at, before in _before_each(self._rest[:1], place.state, data):
                here = Place(place.text + data[:at], before, before=place)
                if self._closes_pair(before):
                    return self.end(here)
                if (end := self._rejoined(here)) is not None:
                    return end
        state = place.state.step(data)
        if state is None:
            return None
        after = Place(place.text + data, state, before=place, pause=place.pause)
        if len(self._rest) > 1 and after.text.rstrip().endswith(self._rest):
            # All that stands behind the cursor was written once more.
            text = after.text[: after.text.rindex(self._rest)]
            kept = self._cursor.step(text) if text else self._cursor
            if kept is not None and text.strip():
                end = self.end(Place(text, kept, before=place))
                if end is not None and self.goal.reach(state) <= self.goal.reach(end.state):
                    return end
        return after

    def _is_alien(self, text: bytes, data: bytes) -> bool:
        """Whether with `data` a line begins with blanks of the kind that this document does not begin lines with."""
        start = text.rfind(b"\n") + 1
        is_ours = start > 0 or not self._line  # what the line of the cursor begins with was typed
        return b"\n" + self._alien in (b"\n" if is_ours else b"") + text[start:] + data

    def _paired(self, closer: bytes) -> bytes:
        """The closer behind the cursor, if an editor or a person put it there for an opener on the same line; else b""."""
        n_open = _n_open(self._line, closer)
        closers = re.match(rb"[)\]}\"'`]*", self._rest)
        # In a broken document an opener may still lack its closer; then it is not known whose this one is.
        is_pair = self.goal.parses or (closers is not None and n_open <= closers[0].count(closer))
        return closer if n_open and is_pair else b""

    def _closes_pair(self, state: Reading) -> bool:
        """Whether the closer behind the cursor, written here, would take that one's place at the opener before it."""
        closed = state.step(self._pair) if self._pair else None
        if closed is None or self._is_missing(state, closed):
            return False
        if PAIRS[self._pair] == self._pair:
            return self._is_met(state)
        return closed.depth() < self._depth

    def _rejoined(self, here: Place) -> Place | None:
        """The end before a closing byte that stands in the suffix too, unless it closes something else."""
        is_of_completion = self._rest[:1] in b")]}" and here.state.depth() > self._depth
        end = self.end(here) if here.text.strip() and not is_of_completion else None
        if end is None:
            return None
        closed = here.state.step(self._rest[:1])
        return None if closed is not None and self._is_missing(end.state, closed) else end

    def _is_missing(self, state: Reading, closed: Reading) -> bool:
        """Whether, in a broken document, a closer is not the one behind the cursor: with it, the suffix reads farther."""
        return not self.goal.parses and self.goal.reach(closed) > self.goal.reach(state)

    def _break_line(self, place: Place, head: Place, rest: bytes) -> Place | None:
        end = self.end(head)
        if end is not None and head.state.depth() > self._depth and not self.goal.fully_met(end.state):
            # In a broken document, what was opened here is closed first, unless its inside stands below already.
            end = end if self._body_follows else None
        blank = rest.lstrip(b"\r\n")
        if end is not None and (not self._may_go_on(head) or rest.count(b"\n") > 1) and end.text.strip():
            return end
        if end is not None and not end.text.strip():
            # Nothing is written yet. On a line with text that means: this line is complete.
            return None if self.on_blank_line else end
        if end is None and not self._must_go_on(head):
            return None
        if end is None and self._multiline != "always" and _ends_in_blank_line(head.text):
            return None
        state = head.state.step(rest)
        if state is None:
            return end
        if any(self._closes_pair(before) for _, before in _before_each(self._pair, head.state, rest)):
            return end
        if end is not None and blank.strip() and _indentation(blank) < self._least_indent:
            return end
        after = Place(head.text + rest, state, before=place)
        return replace(after, pause=end) if end is not None and not blank.strip() else after

    def _may_go_on(self, head: Place) -> bool:
        """Whether another line may follow one that the suffix can follow, too."""
        if self._multiline == "auto" and not self.fills_block:
            return b"\n" in head.text and _indentation(_last_line(head.text)) > self._indent
        return self._multiline != "never"

    def _must_go_on(self, head: Place) -> bool:
        """Whether a line break belongs here although the suffix cannot follow: a bracket or a block was opened."""
        if (
            self._multiline == "always"
            or head.state.depth() > self._depth
            or head.state.unfinished() > self._unfinished
        ):
            return True
        line = (self._line + head.text).rsplit(b"\n", 1)[-1].strip()
        return line.endswith((b":", b"{")) or line.startswith(b"@") or line.endswith((b"then", b"do", b"else"))


def _swallows(state: Reading) -> bool:
    """Whether what follows is read as a part of a comment or string, whatever it is."""
    return state.step(NO_CODE) is not None


def _is_line_comment(state: Reading) -> bool:
    """Whether the rest of the line is read as a part of a comment; quotes begin and end no string then."""
    return all(state.step((quote + NO_LINE) * 2) is not None for quote in (b'"', b"'", b"`"))


def _is_comment(state: Reading) -> bool:
    """Whether `*/` ends what swallows the code here."""
    closed = state.step(b"*/")
    return closed is not None and not _swallows(closed)


def _mended(text: bytes, state: Reading, most_trials: int) -> Iterator[tuple[bytes, Reading]]:
    """`text` with closing marks, the fewest first, and the states after them."""
    ways = [(text, state)]
    seen = {state}
    n_trials = 0
    for _ in range(MOST_MENDS):
        longer = []
        for before, reading in ways:
            in_text = _is_within_text(reading)
            for mark in MENDS:
                if before[-1:] + mark[:1] in (b"//", b"/*") or (in_text and mark not in TEXT_ENDS):
                    continue  # a comment closes nothing, it hides what follows
                n_trials += 1
                after = reading.step(mark)
                if after is not None and after not in seen and not (in_text and _is_within_text(after)):
                    yield before + mark, after
                    seen.add(after)
                    longer.append((before + mark, after))
                if n_trials >= most_trials:
                    return
        ways = longer


def _is_within_text(state: Reading) -> bool:
    """Whether any mark fits because all is text here: most of a mend's trials would be spent on reading the suffix."""
    return all(state.step(mark) is not None for mark in TEXT_MARKS)


def _alien_indent(prefix: bytes, suffix: bytes, indent: bytes) -> bytes:
    """What no line of the completion begins with: a tab among lines indented by spaces, or the other way round.

    b"" where both are usual. A single space is no indentation; it continues comments. `indent` decides where no line
    is indented.
    """
    text = prefix[-MOST_INDENT_BYTES:] + suffix[:MOST_INDENT_BYTES]
    n_tabs, n_spaces = text.count(b"\n\t"), text.count(b"\n  ")
    if n_tabs + n_spaces == 0:
        n_tabs, n_spaces = indent[:1] == b"\t", indent[:1] == b" "
    if n_spaces > 20 * n_tabs:
        return b"\t"
    return b"  " if n_tabs > 20 * n_spaces else b""


def _is_text(data: bytes, *, is_whole: bool) -> bool:
    """Whether bytes are UTF-8 without half line breaks; the last character need not be all there unless `is_whole`."""
    if b"\r" in data and re.search(rb"\r[^\n]", data):
        return False
    if data.isascii():
        return True
    try:
        codecs.utf_8_decode(data, "strict", is_whole)
    except UnicodeDecodeError:
        return False
    return True


def _n_open(line: bytes, closer: bytes) -> int:
    """How many openers for `closer` are not closed in `line`. Counts bytes: what they mean there is for a parse to say."""
    opener = PAIRS.get(closer)
    if opener is None:
        return 0
    if opener == closer:
        return line.replace(b"\\" + closer, b"").count(closer) % 2
    n_open = 0
    for byte in line:
        n_open = max(0, n_open + (byte == opener[0]) - (byte == closer[0]))
    return n_open


def _before_each(mark: bytes, state: Reading, data: bytes) -> Iterator[tuple[int, Reading]]:
    """The places of a mark in `data`, each with the state before it; none for an empty mark."""
    at = data.find(mark) if mark else -1
    while at >= 0 and (before := state.step(data[:at]) if at else state) is not None:
        yield at, before
        at = data.find(mark, at + 1)


def _first_break(data: bytes) -> int | None:
    """Where the first line break begins."""
    at = data.find(b"\n")
    if at < 0:
        return None
    return at - 1 if at and data[at - 1 : at] == b"\r" else at


def _last_line(text: bytes) -> bytes:
    return text[text.rfind(b"\n") + 1 :]


def _ends_in_blank_line(text: bytes) -> bool:
    return b"\n" in text and not text[text.rindex(b"\n") :].strip()


def _indentation(line: bytes) -> int:
    """Columns of blanks at the start; a tab goes to the next multiple of four."""
    column = 0
    for byte in line:
        if byte == 0x20:
            column += 1
        elif byte == 0x09:
            column += 4 - column % 4
        else:
            break
    return column


def _end_of_first_token(suffix: bytes) -> int:
    """The end of the first word or mark, at least."""
    found = re.match(rb"\s*(\w+|\S)", suffix)
    return found.end() if found else len(suffix)


def _end_of_first_text(suffix: bytes) -> int:
    """The end of the first line that is not blank."""
    start = len(suffix) - len(suffix.lstrip())
    end = suffix.find(b"\n", start)
    return len(suffix) if end < 0 else end
