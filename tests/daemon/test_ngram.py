"""The packed table must say what a dictionary of counts says, and survive its file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sanitizers import CLEAN, drive
from treegraft_daemon.engine.model.copying import FOLDER
from treegraft_daemon.engine.model.linewise import END
from treegraft_daemon.engine.model.mixture import Tables
from treegraft_daemon.engine.model.ngram import RATIO_STEP, NgramTable, extend_all, pack
from treegraft_daemon.training import counting

SIZE = 40


@pytest.fixture(scope="module")
def packages() -> list[np.ndarray]:
    rng = np.random.default_rng(1)
    steps = rng.permutation(np.arange(1, SIZE))
    made = []
    for _ in range(4):
        text = [END]
        for _ in range(3000):
            previous = text[-1]
            text.append(END if rng.random() < 0.01 else int(steps[(previous * 7 + rng.integers(0, 3)) % (SIZE - 1)]))
        made.append(np.array(text, dtype=np.uint16))
    return made


def slow(packages: list[np.ndarray], order: int) -> dict[tuple[int, ...], dict[int, float]]:
    """Tempered counts of next tokens by context, of n-grams in two packages or more."""
    weights: dict[tuple[int, ...], dict[int, list[float]]] = {}
    for tokens in packages:
        counts: dict[tuple[int, ...], int] = {}
        text = tokens.tolist()
        for end in range(order, len(text)):
            gram = tuple(text[end - order : end + 1])
            if END not in gram[1:]:
                counts[gram] = counts.get(gram, 0) + 1
        for gram, n in counts.items():
            weights.setdefault(gram[:-1], {}).setdefault(gram[-1], []).append(n**counting.TEMPER)
    kept = {c: {t: sum(ws) for t, ws in nexts.items() if len(ws) >= 2} for c, nexts in weights.items()}
    return {context: nexts for context, nexts in kept.items() if nexts}


def test_packed_table_equals_a_dictionary(packages: list[np.ndarray], tmp_path: Path) -> None:
    counting.table(packages, 1_000_000).save(tmp_path / "ngram.npz")
    table = NgramTable.load(tmp_path / "ngram.npz")
    n_seen = 0
    for order in range(1, 6):
        for context, weights in slow(packages, order).items():
            found = [it for it in table.find(context) if it[0] == order - 1]
            if not found:
                continue  # Pruned: it added nothing to the shorter context.
            [(_, _, ids, [shares])] = found
            n_seen += 1
            assert set(ids.tolist()) <= set(weights)
            best = max(weights[token] for token in ids.tolist())
            for token, share in zip(ids.tolist(), shares / shares.max(), strict=True):
                # Three bits hold the ratio, to half a step; the least step stands for all below.
                expected = max(weights[token] / best, 2 ** (-7 * RATIO_STEP))
                assert abs(np.log2(share / expected)) <= RATIO_STEP / 2 + 1e-6
    assert n_seen > 300


def test_no_budget_no_entries_and_a_small_one_holds(packages: list[np.ndarray]) -> None:
    counts = [counting.count(packages, order) for order in range(1, 6)]
    whole = sum(len(order.entries) for order in counting.prune(counts, 1_000_000))
    small = counting.prune(counts, 2_000)
    spent = sum(len(order.entries) * 2 + len(order.tags) * 5 for order in small)
    assert 0 < sum(len(order.entries) for order in small) < whole
    assert spent <= 2_000


def test_an_empty_table_finds_nothing() -> None:
    assert NgramTable.empty().find([1, 2, 3, 4, 5]) == []


def test_unknown_context_finds_nothing(packages: list[np.ndarray]) -> None:
    table = counting.table(packages, 100_000)
    assert 4 not in [order for order, *_ in table.find([END, 39, 38, 39, 38, 39])]
    assert table.find([]) == []


def test_one_hash_for_one_and_for_many() -> None:
    """What was packed by the hashes of arrays is found by the hash of each context."""
    keys, tokens = np.zeros(3, dtype=np.uint64), np.array([[5, 8191, 0], [1, 2, 3]], dtype=np.uint64)
    for row in tokens:
        keys = extend_all(keys, row)
    by_key, ones = np.argsort(keys), np.ones(3, dtype=np.int64)
    nothing = NgramTable.empty().orders[0]
    table = NgramTable((nothing, pack(keys[by_key], ones, ones.astype(float), by_key + 10, ones.astype(float))))
    for n, (last, before) in enumerate(tokens.T.tolist()):
        [(order, _, ids, shares)] = table.find([before, last])
        assert (order, ids.tolist(), shares.tolist()) == (1, [n + 10], [[1.0]])
    assert table.find([2, 5]) == []


def test_unigrams_leave_nothing_out(packages: list[np.ndarray]) -> None:
    laws = counting.unigrams({"go": packages[:1], "rust": packages[1:]}, SIZE + 5)
    table = Tables(laws, {}, None)
    for language in ("go", "rust", "klingon"):
        assert table.unigram(language).min() > 0
        assert table.unigram(language).sum() == pytest.approx(1)


@pytest.mark.slow
def test_sanitizers_find_nothing(tmp_path: Path) -> None:
    source = FOLDER / "mixing" / "ngrams.c"
    assert drive(Path(__file__).parent / "drive_ngrams.c", source, tmp_path) == CLEAN
