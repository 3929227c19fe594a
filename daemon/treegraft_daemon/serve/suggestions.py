"""What may be shown without asking the model again: type-through, a small memory, and when to wait for another key.

Pure apart from the memory itself: knows texts and offsets; no clock, no engine, no LSP.

A suggestion is remembered as the document that accepting it would make. Whatever the person does next, typing along,
accepting a word of it, or typing a bracket that the editor closes on its own: as long as the document is on its way to
that one, what is still missing at the cursor is the suggestion now. So an answer from memory keeps the promise the
first answer kept: it leads to the very document that was checked.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from treegraft_daemon.config import Settings
from treegraft_daemon.serve.documents import Snapshot

MAX_ENTRIES = 64
MAX_HELD_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Offer:
    """A text to insert at the cursor, and the logarithm of its weight."""

    text: bytes
    log_weight: float = 0.0


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


def pause_s(debounce_ms: int, invoked: bool, since_last_s: float) -> float:
    """How long to wait for another key before the model is asked.

    Not at all when asked by hand, nor after a quiet moment: the first key after a pause is as likely as any to be the
    one that the person waits behind, and the model is idle anyway. Only within a burst is waiting cheaper than asking.
    """
    if invoked or since_last_s * 1000 >= 4 * debounce_ms:
        return 0.0
    return debounce_ms / 1000


def _comparable(elder: Place, place: Place) -> bool:
    return (elder.uri, elder.language, elder.law) == (place.uri, place.language, place.law)


def _rests(elder: Place, offers: Sequence[Offer], place: Place) -> list[Offer]:
    """What each of the offers still lacks in `place`; those that do not lead there, or lack nothing, are left out."""
    n_typed = place.offset - elder.offset
    n_closed = len(place.text) - n_typed - len(elder.text)  # bytes the editor put behind the cursor
    if n_typed < 0 or n_closed < 0:
        return []
    typed = place.text[elder.offset : place.offset]
    closed = place.text[place.offset : place.offset + n_closed]
    fitting = [
        offer
        for offer in offers
        if len(offer.text) > n_typed + n_closed and offer.text.startswith(typed) and offer.text.endswith(closed)
    ]
    # The costly comparison last: nearly all entries have been ruled out by now.
    if not fitting or not place.text.startswith(elder.prefix) or not place.text.endswith(elder.suffix):
        return []
    return [Offer(offer.text[n_typed : len(offer.text) - n_closed], offer.log_weight) for offer in fitting]
