"""From tokens of packages to the pruned n-gram table.

Each package counts with the power 0.6 of its counts, so that a large one does not set the tone, and what only one
package ever wrote is left out. An entry is worth keeping by how much it adds to what the next shorter context says.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from treegraft_daemon.engine.model.linewise import END
from treegraft_daemon.engine.model.ngram import N_ORDERS, TOKEN_BITS, NgramTable, Order, extend_all, pack

TEMPER = 0.6
ENTRY_BYTES, CONTEXT_BYTES = 2, 5  # Tag, size, bucket, and its part of an offset.
_TOKEN = np.uint64((1 << TOKEN_BITS) - 1)

Keys = NDArray[np.uint64]  # 51 bits of the context's hash, 13 bits of the next token.


@dataclass(slots=True, eq=False)
class Counts:
    """All n-grams of one order that at least two packages wrote, sorted by key.

    parents: the key of the same next token after a context one shorter. contexts, totals: every context with the
    weight of all its continuations, of those left out too.
    """

    keys: Keys
    weights: NDArray[np.float64]
    parents: Keys
    contexts: Keys
    totals: NDArray[np.float64]


def count(packages: list[NDArray[np.uint16]], order: int) -> Counts:
    """Merge the tempered counts of all packages for contexts of `order` tokens."""
    with ThreadPoolExecutor(2) as pool:  # numpy lets go of the interpreter while it sorts
        found = list(pool.map(lambda tokens: _count_one(tokens, order), packages))
    keys = np.concatenate([keys for keys, _, _ in found])
    weights = np.concatenate([weights for _, weights, _ in found])
    parents = np.concatenate([parents for _, _, parents in found])
    del found
    by_key = np.argsort(keys)
    keys, weights, parents = keys[by_key], weights[by_key], parents[by_key]
    starts = _starts(keys)
    n_packages = np.diff(np.append(starts, len(keys)))
    summed = np.add.reduceat(weights, starts)
    contexts = keys[starts] >> np.uint64(TOKEN_BITS)
    context_starts = _starts(contexts)
    totals = np.add.reduceat(summed, context_starts)
    kept = n_packages >= 2
    return Counts(keys[starts][kept], summed[kept], parents[starts][kept], contexts[context_starts], totals)


def unigrams(by_language: dict[str, list[NDArray[np.uint16]]], size: int) -> dict[str, NDArray[np.float64]]:
    """A law without context per language, and "any": tempered, with a tenth of a count for every token."""
    laws = {}
    for language, packages in by_language.items():
        weights = np.full(size, 0.1)
        for tokens in packages:
            weights += np.bincount(tokens, minlength=size) ** TEMPER
        laws[language] = weights / weights.sum()
    laws["any"] = sum(laws.values()) / len(laws)
    return laws


def prune(counts: list[Counts], n_bytes: int) -> list[Order]:
    """The orders that fit in about `n_bytes`, by weighted difference from the next shorter context."""
    shares = [_shares(one) for one in counts]
    scores = [_first_scores(counts[0], shares[0])]
    scores += [_scores(counts[k], shares[k], counts[k - 1], shares[k - 1]) for k in range(1, len(counts))]
    low, high = 0.0, 1e6
    for _ in range(40):
        middle = (low * high) ** 0.5 if low else high / 1e3
        low, high = (middle, high) if _bytes(counts, scores, middle) > n_bytes else (low, middle)
        if low and high / low < 1.01:
            break
    return [_packed(one, score > high) for one, score in zip(counts, scores, strict=True)]


def table(packages: list[NDArray[np.uint16]], n_bytes: int) -> NgramTable:
    """Count, prune and pack."""
    counts = [count(packages, order) for order in range(1, N_ORDERS + 1)]
    orders = prune(counts, n_bytes)
    for k, (counted, packed) in enumerate(zip(counts, orders, strict=True), 1):
        print(f"  order {k}: {len(packed.entries):,} of {len(counted.keys):,} n-grams kept", flush=True)
    return NgramTable(tuple(orders))


def _count_one(tokens: NDArray[np.uint16], order: int) -> tuple[Keys, NDArray[np.float64], Keys]:
    """Distinct keys of one package, their tempered counts, and the key one order lower at one of their places."""
    wide = tokens.astype(np.uint64)
    hashes, shorter = np.zeros(len(wide) - order, dtype=np.uint64), None
    for k in range(1, order + 1):
        hashes, shorter = extend_all(hashes, wide[order - k : len(wide) - k]), hashes
    following = wide[order:]
    keys = _key(hashes, following)
    # A document's END begins contexts but is never inside one, nor a next token.
    inside = following != END
    for k in range(1, order):
        inside &= wide[order - k : len(wide) - k] != END
    assert shorter is not None
    keys, parents = keys[inside], _key(shorter, following)[inside]
    by_key = np.argsort(keys)
    keys = keys[by_key]
    starts = _starts(keys)
    counts = np.diff(np.append(starts, len(keys)))
    return keys[starts], counts**TEMPER, parents[by_key[starts]]


def _key(hashes: Keys, tokens: Keys) -> Keys:
    return (hashes & ~_TOKEN) | tokens


def _starts(values: NDArray[np.uint64]) -> NDArray[np.intp]:
    """Where runs of equal values begin in a sorted array."""
    return np.flatnonzero(np.concatenate([[True], values[1:] != values[:-1]])) if len(values) else np.zeros(0, np.intp)


def _shares(counts: Counts) -> NDArray[np.float64]:
    at = np.searchsorted(counts.contexts, counts.keys >> np.uint64(TOKEN_BITS))
    return counts.weights / counts.totals[at]


def _first_scores(counts: Counts, shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """Contexts of one token are held against a flat law over the few hundred tokens that are common anywhere."""
    found: NDArray[np.float64] = counts.weights * np.log(np.maximum(shares * 200, 1))
    return found


def _scores(
    counts: Counts, shares: NDArray[np.float64], lower: Counts, lower_shares: NDArray[np.float64]
) -> NDArray[np.float64]:
    """weight * log(share / share after the shorter context)."""
    at = np.searchsorted(lower.keys, counts.parents).clip(0, max(len(lower.keys) - 1, 0))
    found = lower.keys[at] == counts.parents
    before = np.where(found, lower_shares[at], shares * 0.3)
    scores: NDArray[np.float64] = counts.weights * np.maximum(np.log(shares / before), 0)
    return scores


def _bytes(counts: list[Counts], scores: list[NDArray[np.float64]], threshold: float) -> int:
    total = 0
    for one, score in zip(counts, scores, strict=True):
        contexts = one.keys[score > threshold] >> np.uint64(TOKEN_BITS)
        total += len(contexts) * ENTRY_BYTES + len(_starts(contexts)) * CONTEXT_BYTES
    return total


def _packed(counts: Counts, kept: NDArray[np.bool_]) -> Order:
    keys, weights = counts.keys[kept], counts.weights[kept]
    contexts = keys >> np.uint64(TOKEN_BITS)
    starts = _starts(contexts)
    totals = counts.totals[np.searchsorted(counts.contexts, contexts[starts])]
    sizes = np.diff(np.append(starts, len(keys)))
    hashes = contexts[starts] << np.uint64(TOKEN_BITS)
    return pack(hashes, sizes, totals, (keys & _TOKEN).astype(np.int64), weights)
