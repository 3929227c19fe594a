"""How much to trust each source: the mixture's weights, fitted on held-out packages by gradient descent.

The features are gathered by the runtime's own code, so the weights fit what will be served.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from treegraft_daemon.engine.model.linewise import LineTokenizer
from treegraft_daemon.engine.model.mixture import SLOTS, MixtureLaw, State, kind_of
from treegraft_daemon.engine.model.ngram import N_BUCKETS
from treegraft_daemon.training.holes import Hole

PIECE = 250  # Holes that a process takes at a time.
STEPS, RATE, PULL = 260, 0.08, 0.15
START = -1.0  # Logit of every weight before fitting.


@dataclass(frozen=True, slots=True, eq=False)
class Examples:
    """Per token to predict: bucket of each slot (-1: silent) and its share for that token, and the base's."""

    buckets: NDArray[np.int16]  # [tokens, slots]
    shares: NDArray[np.float32]  # [tokens, slots]
    base: NDArray[np.float64]  # [tokens]
    kinds: NDArray[np.int16]  # [tokens]
    names: list[str]

    @classmethod
    def of(cls, rows: Sequence[tuple[NDArray[np.int16], NDArray[np.float32], float, str]]) -> Examples:
        """From buckets, shares, the base's share and the kind of each token."""
        names = sorted({row[3] for row in rows})
        return cls(
            np.array([row[0] for row in rows]),
            np.array([row[1] for row in rows]),
            np.array([row[2] for row in rows]),
            np.array([names.index(row[3]) for row in rows], dtype=np.int16),
            names,
        )


def gather(law: MixtureLaw, holes: Iterable[Hole]) -> Examples:
    """What each source said about every token of the true rest of each hole's line."""

    def note(hole: Hole, state: State, token: int) -> tuple[NDArray[np.int16], NDArray[np.float32], float, str]:
        return *_features(state, token), kind_of(hole.context.language, bool(hole.context.siblings))

    return Examples.of(each_token(law, list(holes), note))


Row = TypeVar("Row")
Note = Callable[[Hole, State, int], Row]


def each_token(law: MixtureLaw, holes: list[Hole], note: Note[Row]) -> list[Row]:
    """`note` at every token of the true rests of these lines, in their order; many holes are shared out to all cores."""
    if len(holes) < 2 * PIECE:
        return _noted(law, holes, note)
    rows: list[Row] = []
    started = time.monotonic()
    with ProcessPoolExecutor(mp_context=get_context("fork"), initializer=_begin, initargs=(law, holes, note)) as pool:
        for piece, found in enumerate(pool.map(_noted_piece, range(0, len(holes), PIECE)), 1):
            rows += found
            if piece % 4 == 0:
                print(f"  {piece * PIECE} holes, {len(rows):,} tokens, {time.monotonic() - started:.0f} s", flush=True)
    return rows


def _noted(law: MixtureLaw, holes: list[Hole], note: Note[Row]) -> list[Row]:
    rows = []
    for hole in holes:
        state, truth = walk(law, hole)
        for token in truth:
            rows.append(note(hole, state, token))
            state = state.step(token)
    return rows


_job: tuple[MixtureLaw, list[Hole], Note[Any]]  # of a process that does a part


def _begin(law: MixtureLaw, holes: list[Hole], note: Note[Any]) -> None:
    global _job
    _job = law, holes, note


def _noted_piece(first: int) -> list[Any]:
    law, holes, note = _job
    return _noted(law, holes[first : first + PIECE], note)


def walk(law: MixtureLaw, hole: Hole) -> tuple[State, list[int]]:
    """The state before the token that holds the cursor, and the true tokens from there to the line's end."""
    before, truth = tokens_around(law.tokenizer, hole)
    return law.begin(before, hole.context), truth.tolist()


def tokens_around(tokenizer: LineTokenizer, hole: Hole) -> tuple[NDArray[np.uint16], NDArray[np.uint16]]:
    """The tokens before the one that holds the cursor, and from there to the line's end, the break included.

    As in service: the token that holds the cursor is written anew, its first bytes being known.
    """
    prefix = hole.context.prefix
    line_start = prefix.rfind(b"\n") + 1
    line = tokenizer.read(prefix[line_start:] + hole.middle + b"\n")
    n_typed, n_bytes = 0, len(prefix) - line_start
    while n_typed < len(line) and n_bytes >= len(tokenizer.vocabulary[int(line[n_typed])]):
        n_bytes -= len(tokenizer.vocabulary[int(line[n_typed])])
        n_typed += 1
    return np.concatenate([tokenizer.read(prefix[:line_start]), line[:n_typed]]), line[n_typed:]


def fit(examples: Examples) -> dict[str, object]:
    """The logits of all weights, as `mixture.Weights.load` reads them, by Adam on the mean log-loss in full batches."""
    n_tokens, n_slots = examples.buckets.shape
    slots = np.full(n_slots, START)
    buckets = np.zeros((n_slots, N_BUCKETS))
    kinds = np.zeros((len(examples.names), n_slots))
    parameters = [slots, buckets, kinds]
    moments = [(np.zeros_like(one), np.zeros_like(one)) for one in parameters]
    for step in range(1, STEPS + 1):
        loss, gradients = _gradients(examples, slots, buckets, kinds)
        gradients[1] += PULL / n_tokens * buckets
        gradients[2] += PULL / n_tokens * kinds
        # The last fifth of the steps cools down, which takes the ripple of full-batch Adam out.
        rate = RATE * min(1.0, (STEPS - step + 1) / (STEPS / 5))
        for one, gradient, (mean, square) in zip(parameters, gradients, moments, strict=True):
            mean += 0.1 * (gradient - mean)
            square += 0.01 * (gradient**2 - square)
            one -= rate * (mean / (1 - 0.9**step)) / (np.sqrt(square / (1 - 0.99**step)) + 1e-9)
        if step % 20 == 0:
            print(f"  step {step}: {loss:.4f} nats per token", flush=True)
    any_kind = np.average(kinds, axis=0, weights=np.bincount(examples.kinds, minlength=len(kinds)))
    stored = {name: kinds[idx].round(3).tolist() for idx, name in enumerate(examples.names)}
    return {
        "slot_names": SLOTS,
        "slots": slots.round(3).tolist(),
        "buckets": buckets.round(3).tolist(),
        "kinds": stored | {"any": any_kind.round(3).tolist()},
    }


def save(weights: dict[str, object], path: Path) -> None:
    """JSON with a line per slot, so that a refit can be read as a diff."""
    path.write_text(json.dumps(weights).replace("], [", "],\n[").replace(', "', ',\n"') + "\n")


def nats(examples: Examples, weights: dict[str, object]) -> float:
    """Mean log-loss of the fitted weights."""
    kinds = np.array([weights["kinds"][name] for name in examples.names])  # type: ignore[index]
    return _gradients(examples, np.array(weights["slots"]), np.array(weights["buckets"]), kinds)[0]


def _features(state: State, token: int) -> tuple[NDArray[np.int16], NDArray[np.float32], float]:
    buckets, shares = np.full(len(SLOTS), -1, dtype=np.int16), np.zeros(len(SLOTS), dtype=np.float32)
    for slot, bucket, law in state.laws():
        buckets[slot], shares[slot] = bucket, law[token]
    for one in state.evidence():
        buckets[one.slots] = one.buckets
        at = int(np.searchsorted(one.ids, token))
        if at < len(one.ids) and one.ids[at] == token:
            shares[one.slots] = one.shares[:, at]
        elif len(one.slots) == 1:  # The table's tokens are in the order of their weight, not of their ids.
            shares[one.slots] = one.shares[0][one.ids == token].sum()
    return buckets, shares, float(state.reading.base[token])


def _gradients(
    examples: Examples, slots: NDArray[np.float64], buckets: NDArray[np.float64], kinds: NDArray[np.float64]
) -> tuple[float, list[NDArray[np.float64]]]:
    """Mean loss and its gradient with respect to the three groups of logits."""
    n_tokens, n_slots = examples.buckets.shape
    w = np.zeros((n_slots, n_tokens))
    before = np.empty((n_slots, n_tokens))
    p = examples.base.copy()
    for slot in range(n_slots):
        bucket = examples.buckets[:, slot]
        logits = slots[slot] + buckets[slot][bucket] + kinds[examples.kinds, slot]
        w[slot] = np.where(bucket >= 0, 1 / (1 + np.exp(-logits)), 0)
        before[slot] = p
        p = p + w[slot] * (examples.shares[:, slot] - p)
    gradients = [np.zeros_like(slots), np.zeros_like(buckets), np.zeros_like(kinds)]
    upstream = -1 / (p * n_tokens)
    for slot in reversed(range(n_slots)):
        by_logit = upstream * (examples.shares[:, slot] - before[slot]) * w[slot] * (1 - w[slot])
        gradients[0][slot] = by_logit.sum()
        gradients[1][slot] = np.bincount(np.maximum(examples.buckets[:, slot], 0), by_logit, minlength=buckets.shape[1])
        gradients[2][:, slot] = np.bincount(examples.kinds, by_logit, minlength=len(kinds))
        upstream = upstream * (1 - w[slot])
    return float(-np.log(p).mean()), gradients
