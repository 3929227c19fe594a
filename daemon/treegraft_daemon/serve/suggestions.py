"""What may be shown without asking the model again: type-through, a small memory, and when to wait for another key.

Pure apart from the memory itself: knows texts and offsets; no clock, no engine, no LSP.

A suggestion is remembered as the document that accepting it would make. Whatever the person does next, typing along,
accepting a word of it, or typing a bracket that the editor closes on its own: as long as the document is on its way to
that one, what is still missing at the cursor is the suggestion now. So an answer from memory keeps the promise the
first answer kept: it leads to the very document that was checked.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace

from treegraft_daemon.config import Settings
from treegraft_daemon.serve.documents import Snapshot

MAX_ENTRIES = 64
MAX_HELD_BYTES = 16 * 1024 * 1024
LONGEST_GAP_S = 1.0  # between two keys of one burst
MAX_TYPED_AHEAD = 12  # bytes; who typed more has most likely something else in mind

_CLOSING_ONLY = re.compile(rb"[\s)\]}>;,:.'\"`]*\Z")
_RUNAWAY = re.compile(rb"([^\n]{4,64}?)\1{3}", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Offer:
    """A text to insert at the cursor, and the logarithm of its weight."""

    text: bytes
    log_weight: float = 0.0

    @property
    def inserted(self) -> str:
        """The text as editors are given it."""
        # Every one turns a plain line feed into its document's own line break; not every one does so with CRLF.
        return self.text.decode("utf-8").replace("\r\n", "\n")


@dataclass(frozen=True, slots=True)
class Place:
    """Where completions are wanted, and all that their answer depends on."""

    uri: str
    language: str | None
    text: bytes
    offset: int
    n: int
    law: Hashable

    @property
    def prefix(self) -> bytes:
        return self.text[: self.offset]

    @property
    def suffix(self) -> bytes:
        return self.text[self.offset :]

    def after(self, offer: Offer) -> Place:
        """The place behind `offer` once it is accepted."""
        text = self.text[: self.offset] + offer.text + self.text[self.offset :]
        return replace(self, text=text, offset=self.offset + len(offer.text), n=1)

    def leads_to(self, later: Place) -> bool:
        """Whether `later` is this place, or a few keys typed on: then the answer to this one may do for it."""
        n_typed, n_closed = _typed(self, later)
        few = n_typed >= 0 and n_closed >= 0 and n_typed + n_closed <= MAX_TYPED_AHEAD
        return few and _comparable(self, later) and later.n <= min(self.n, 1) and _surrounds(self, later)


def place_of(snapshot: Snapshot, offset: int, n: int, settings: Settings) -> Place:
    """The place of `n` candidates at `offset`."""
    law = (settings.model, settings.engine_address, settings.max_tokens, settings.temperature, settings.multiline)
    return Place(snapshot.uri, snapshot.language, snapshot.text, offset, n, law)


class Memory:
    """The last answers of the engine, newest first, few and bounded in bytes."""

    def __init__(self, max_entries: int = MAX_ENTRIES, max_held_bytes: int = MAX_HELD_BYTES) -> None:
        self._entries: deque[tuple[Place, tuple[Offer, ...]]] = deque()
        self._max_entries = max_entries
        self._max_held_bytes = max_held_bytes

    def remember(self, place: Place, offers: Sequence[Offer]) -> None:
        """Keep an answer; none at all is one, too."""
        self._entries.appendleft((place, tuple(offers)))
        while len(self._entries) > self._max_entries or self._held_bytes() > self._max_held_bytes:
            self._entries.pop()

    def recall(self, place: Place) -> list[Offer] | None:
        """What is still to be inserted at `place`, best first; None when the model must be asked.

        Asked for several candidates, only an answer to the same question counts: after typing along fewer are left.
        """
        for elder, offers in self._entries:
            if not _comparable(elder, place):
                continue
            same = elder.offset == place.offset and elder.text == place.text
            if same and elder.n >= place.n:
                return list(offers)
            if place.n == 1 and not same and (rests := _rests(elder, offers, place)):
                return rests
        return None

    def forget(self, uri: str) -> None:
        """A document was closed."""
        self._entries = deque(entry for entry in self._entries if entry[0].uri != uri)

    def _held_bytes(self) -> int:
        # Several entries may share one text; counting it once each is on the safe side.
        return sum(len(place.text) for place, _ in self._entries)


class Rhythm:
    """How fast somebody types: the usual time between two keys of a burst."""

    def __init__(self) -> None:
        self._last: float | None = None
        self.gap_s = 0.0  # of the last key
        self.usual_s: float | None = None

    def key(self, now: float) -> None:
        """A request came, which means that a key was struck."""
        self.gap_s = float("inf") if self._last is None else now - self._last
        self._last = now
        if self.gap_s < LONGEST_GAP_S:
            self.usual_s = self.gap_s if self.usual_s is None else 0.8 * self.usual_s + 0.2 * self.gap_s


def pause_s(debounce_ms: int, invoked: bool, rhythm: Rhythm, before: bytes) -> float:
    """How long to wait for another key before the model is asked; `before` ends at the cursor.

    Not at all when asked by hand, nor after a quiet moment: the first key after a pause is as likely as any to be the
    one that the person waits behind, and the model is idle anyway. Nor for a slow typist, whose next key would not come
    within the pause. Within a burst waiting is cheaper than asking: longer within a word, whose letters come fastest,
    shorter where people look up: after a line break, a bracket, an operator.
    """
    pause = debounce_ms / 1000
    if invoked or rhythm.gap_s >= 4 * pause or (rhythm.usual_s is not None and rhythm.usual_s > 3 * pause):
        return 0.0
    last = before[-1:]
    if last.isalnum() or last == b"_" or last >= b"\x80":
        return 1.5 * pause
    return 0.5 * pause if last in b"\n([{=,.:<>+-*/ \t" else pause


def not_worth_showing(offer: Offer, place: Place) -> str:
    """Why a suggestion that nobody asked for would be in the way; "" if it would not.

    A closing mark is typed faster than it is read; a line once more, or one piece over and over, is what models write
    when they have nothing to say.
    """
    text = offer.text
    if _CLOSING_ONLY.match(text):
        return "only closing marks"
    if _RUNAWAY.search(text):
        return "the same again and again"
    lines = place.text[max(0, place.offset - 4096) : place.offset].split(b"\n")
    whole = (lines[-1] + text.split(b"\n", 1)[0]).strip()
    last = next((line.strip() for line in reversed(lines[:-1]) if line.strip()), b"")
    if whole == last and len(whole) > 3 and any(chr(byte).isalnum() for byte in whole):
        return "the line above once more"
    return ""


def _comparable(elder: Place, place: Place) -> bool:
    return (elder.uri, elder.language, elder.law) == (place.uri, place.language, place.law)


def _rests(elder: Place, offers: Sequence[Offer], place: Place) -> list[Offer]:
    """What each of the offers still lacks in `place`; those that do not lead there, or lack nothing, are left out."""
    n_typed, n_closed = _typed(elder, place)
    if n_typed < 0 or n_closed < 0:
        return []
    typed = place.text[elder.offset : place.offset]
    closed = place.text[place.offset : place.offset + n_closed]
    fitting = [
        offer
        for offer in offers
        if len(offer.text) > n_typed + n_closed
        and offer.text.startswith(typed)
        and offer.text.endswith(closed)
        and not _breaks_out(offer.text[n_typed : len(offer.text) - n_closed], closed)
    ]
    # The costly comparison last: nearly all entries have been ruled out by now.
    if not fitting or not _surrounds(elder, place):
        return []
    return [Offer(offer.text[n_typed : len(offer.text) - n_closed], offer.log_weight) for offer in fitting]


def _breaks_out(rest: bytes, closed: bytes) -> bool:
    """Whether `rest` ends what the editor closed behind it, to open another that `closed` would then end.

    It would lead to the document that was checked, but nobody reads it so who has just typed a bracket. Counted by marks
    alone: those in strings are a reason to ask the model, no more.
    """
    opening = {41: 40, 93: 91, 125: 123}.get(closed[0]) if closed else None
    if opening is None:
        return closed[:1] in (b'"', b"'", b"`") and closed[0] in rest
    depth = 0
    for byte in rest:
        depth += (byte == opening) - (byte == closed[0])
        if depth < 0:
            return True
    return False


def _typed(elder: Place, place: Place) -> tuple[int, int]:
    """Bytes typed since, and bytes that the editor put behind the cursor."""
    n_typed = place.offset - elder.offset
    return n_typed, len(place.text) - n_typed - len(elder.text)


def _surrounds(elder: Place, place: Place) -> bool:
    """Whether nothing was changed but at the cursor."""
    return place.text.startswith(elder.prefix) and place.text.endswith(elder.suffix)
