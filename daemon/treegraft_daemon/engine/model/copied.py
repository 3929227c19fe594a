"""Copying from what is open, mixed into the law of any model by fitted weights.

A model reads as much as its prompt holds; the pages of `copying` hold the whole document, what is below the cursor too,
and every open file. What they say is folded into the model's own law as `mixture` folds it into a law without context,
with weights for how sure the model is. numpy only; the rows that are mixed may live on a device.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from treegraft_daemon.engine.model.copying import Evidence, Kinds, Page, Reader, SiblingPages, Tokens
from treegraft_daemon.engine.model.hub_tokenizer import HubTokenizer
from treegraft_daemon.engine.model.law import Context
from treegraft_daemon.engine.model.mixture import (
    N_SIBLINGS,
    SIBLING_BYTES,
    SLOT_OF,
    SLOTS,
    Weights,
    lines_below,
    tail,
)

WEIGHTS = Path(__file__).parent / "copied.json"
# A text is read in pieces of so many lines, so that a keystroke reads one anew. A token that crosses from one piece
# to the next is cut there, which costs a match once in a piece.
LINES, KEPT_PIECES = 32, 8192
# How sure a model is: the probability of its best token falls below the first of these ...
LEVELS = (0.2, 0.4, 0.6, 0.8, 0.95)


def level(top: float) -> str:
    """The name of how sure a model is whose best token has probability `top`."""
    return str(sum(top >= bound for bound in LEVELS))


class Copies:
    """What one model's requests copy from."""

    def __init__(self, tokenizer: HubTokenizer, weights: Weights) -> None:
        vocabulary = tokenizer.vocabulary
        blank = [bool(data) and not data.strip(b" \t") for data in vocabulary.tokens]
        breaks = [b"\n" in data for data in vocabulary.tokens]
        # Ids move up by one: 0 is the mark between texts.
        self._kinds = Kinds(np.array([False, *blank]), np.array([False, *breaks]))
        self._tokenizer = tokenizer
        self._weights = weights
        self._piece = lru_cache(KEPT_PIECES)(self._read_piece)
        self._pages = SiblingPages(self._read, self._kinds)

    def begin(self, context: Context, owed: bytes, cancelled: Callable[[], bool]) -> Copied:
        """What stands at the cursor, without the bytes that the model still owes. Raises Cancelled between files."""
        texts = tuple(file.text[:SIBLING_BYTES] for file in context.siblings[:N_SIBLINGS])
        prefix = self._read(tail(context.prefix[: len(context.prefix) - len(owed)]))
        below = self._read(lines_below(context.suffix))
        pages = {"document": Page([prefix, below], self._kinds, has_cursor=True)}
        if texts:
            pages["sibling"] = self._pages.of(texts, cancelled)
        return Copied(self._weights, Reader.at_cursor(pages, prefix, self._kinds))

    def _read(self, text: bytes) -> Tokens:
        lines = text.splitlines(keepends=True)
        pieces = [self._piece(b"".join(lines[at : at + LINES])) for at in range(0, len(lines), LINES)]
        return np.concatenate([np.zeros(0, dtype=np.uint32), *pieces])

    def _read_piece(self, text: bytes) -> NDArray[np.uint32]:
        return np.array(self._tokenizer.read(text), dtype=np.uint32) + np.uint32(1)


@dataclass(frozen=True, eq=False)
class Copied:
    """One place in the text as the pages see it. A value; remembers its next places, which rows may share."""

    weights: Weights
    reader: Reader

    def step(self, token: int) -> Copied:
        """The place after one more token of the model."""
        if token not in self._next:
            self._next[token] = Copied(self.weights, self.reader.step(token + 1))
        return self._next[token]

    def said(self, top: float) -> tuple[float, NDArray[np.int64], NDArray[np.float64]]:
        """(what is left to the model, ids, masses): p becomes left * p, and each id gets its mass; all sums to 1.

        top: the probability of the model's best token.
        """
        weights = self.weights.of(level(top))
        w = np.zeros(len(SLOTS))
        for one in self.evidence:
            w[one.slots] = weights[one.slots, one.buckets]
        left, coefficients = spread(w)
        found = [(one.ids, coefficients[one.slots] @ one.shares) for one in self.evidence]
        if not found:
            return 1.0, np.zeros(0, dtype=np.int64), np.zeros(0)
        ids, at = np.unique(np.concatenate([ids for ids, _ in found]), return_inverse=True)
        mass = np.zeros(len(ids))
        np.add.at(mass, at, np.concatenate([mass for _, mass in found]))
        kept = mass > 0
        return left, ids[kept].astype(np.int64) - 1, mass[kept]

    @cached_property
    def evidence(self) -> list[Evidence]:
        """What the pages say, in slots of the fold; token ids are one above the model's."""
        return [
            Evidence(SLOT_OF[name][one.slots], one.buckets, one.ids, one.shares) for name, one in self.reader.evidence()
        ]

    @cached_property
    def _next(self) -> dict[int, Copied]:
        return {}


def spread(w: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
    """Of a fold with these weights: what is left of the law it starts from, and the coefficient of each source."""
    left = np.cumprod((1 - w)[::-1])[::-1]  # ... for a source after all later ones took their share
    return float(left[0]), w * np.append(left[1:], 1)
