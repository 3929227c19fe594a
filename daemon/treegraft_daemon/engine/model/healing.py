"""Token healing: the law of what comes next, given the bytes of a word that is half typed.

How a word is cut into tokens depends on its end, so the tokens of `read_set` say little about `read_settings`. The last
word is therefore taken back and owed, and the law is conditioned on its bytes: a token that covers only a part of them
counts by the mass of all ways to go on to the rest. Knows states that have a law and can step; no pages, no weights.
"""

from __future__ import annotations

from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray

from treegraft_daemon.engine.model.linewise import Tokens
from treegraft_grammars.vocabulary import Vocabulary

HEALED_TOKENS = 4
# Ways to cut the word that together hold less than this share of the mass are not followed to their end, ...
NEGLIGIBLE = 0.01
# ... nor more than so many; what is not followed is worth this much.
MOST_FOLLOWED, NOT_FOLLOWED = 16, 1e-5


class Lawful(Protocol):
    """A place in the text that has a next-token law."""

    def law(self) -> NDArray[np.float64]:
        """Probabilities of all tokens."""
        ...

    def step(self, token: int) -> Self:
        """The place after one more token."""
        ...


def heal(tokens: Tokens, prefix: bytes, vocabulary: Vocabulary) -> tuple[Tokens, bytes]:
    """The tokens without those of the last word (or other piece), and the bytes that these stood for.

    Nothing is healed after a line break, which no token crosses, nor where the prefix does not end in the tokens' bytes
    (text that is not UTF-8).
    """
    if prefix.endswith(b"\n"):
        return tokens, b""
    owed, n_kept = b"", len(tokens)
    while n_kept and len(tokens) - n_kept < HEALED_TOKENS:
        data = vocabulary[int(tokens[n_kept - 1])]
        if owed and not (_is_letter(owed[0]) and data and _is_letter(data[-1])):
            break
        owed, n_kept = data + owed, n_kept - 1
    return (tokens[:n_kept], owed) if prefix.endswith(owed) else (tokens, b"")


def given_bytes(
    state: Lawful, owed: bytes, vocabulary: Vocabulary
) -> tuple[NDArray[np.int32], NDArray[np.float64], float]:
    """(ids, probabilities, mass): the law of the next token given that the text goes on with `owed`.

    `mass` is the probability that it does. Probabilities sum to 1 over all tokens that agree.
    """
    ids = vocabulary.agreeing(owed)
    p = state.law()[ids]
    budget = [MOST_FOLLOWED]
    shorter = [place for place, token in enumerate(ids.tolist()) if len(vocabulary[token]) < len(owed)]
    whole = float(p.sum() - p[shorter].sum())
    for place in sorted(shorter, key=lambda place: -p[place]):
        token = int(ids[place])
        p[place] *= _mass(state, token, owed, vocabulary, float(p[place]), NEGLIGIBLE * whole, budget)
        whole += float(p[place])
    return ids, p / whole, whole


def _mass(
    state: Lawful, token: int, owed: bytes, vocabulary: Vocabulary, reached: float, floor: float, budget: list[int]
) -> float:
    """The probability that after `token`, which covers a part of `owed`, the rest follows. `reached`: that of coming here."""
    if reached < floor or not budget[0]:
        return NOT_FOLLOWED
    budget[0] -= 1
    after, rest = state.step(token), owed[len(vocabulary[token]) :]
    ids = vocabulary.agreeing(rest)
    p = after.law()[ids]
    shorter = [place for place, one in enumerate(ids.tolist()) if len(vocabulary[one]) < len(rest)]
    whole = float(p.sum() - p[shorter].sum())
    for place in sorted(shorter, key=lambda place: -p[place]):
        there = reached * float(p[place])
        whole += float(p[place]) * _mass(after, int(ids[place]), rest, vocabulary, there, floor, budget)
    return whole


def _is_letter(byte: int) -> bool:
    return byte == 0x5F or byte >= 0x80 or chr(byte).isalpha()
