"""Copying: what is found must equal a slow search, and nothing may be found across the hole."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sanitizers import CLEAN, drive
from treegraft_daemon.engine.model import copying
from treegraft_daemon.engine.model._mixing import Index
from treegraft_daemon.engine.model.copying import EXTRA, ORDERS, Evidence, Kinds, LineContext, Page, Trail
from treegraft_daemon.engine.model.linewise import END

BREAK, SIZE = 1, 8
KINDS = Kinds(np.zeros(SIZE, dtype=bool), np.arange(SIZE) == BREAK)
NO_LINE = LineContext(-1, -2, -2)
texts = st.lists(st.integers(1, SIZE - 1), max_size=60)


def page(*parts: list[int], has_cursor: bool = False) -> Page:
    return Page([np.array(part, dtype=np.uint16) for part in parts], KINDS, has_cursor=has_cursor)


def after(trail_page: Page, tokens: list[int]) -> Trail:
    trail = Trail.of(trail_page)
    for token in tokens:
        trail = trail.step(token)
    return trail


def said(found: Iterable[Evidence], name: str) -> dict[int, float]:
    """What one slot says: token -> share."""
    slot = [*map(str, ORDERS), *EXTRA].index(name)
    for one in found:
        for row, idx in enumerate(one.slots):
            if idx == slot:
                return {int(t): float(share) for t, share in zip(one.ids, one.shares[row], strict=True) if share > 0}
    return {}


@given(texts, texts, st.lists(st.integers(1, SIZE - 1), min_size=1, max_size=12))
@settings(max_examples=150, deadline=None)
def test_matches_equal_a_slow_search(one: list[int], other: list[int], typed: list[int]) -> None:
    found = list(after(page(one, other), typed).evidence(NO_LINE))
    for order in ORDERS:
        counts = dict.fromkeys(range(SIZE), 0)
        for text in ([END, *one], [END, *other]):
            for end in range(order, len(text)):
                if len(typed) >= order and text[end - order : end] == typed[-order:]:
                    counts[text[end]] += 1
        total = sum(counts.values())
        expected = {token: n / total for token, n in counts.items() if n}
        assert said(found, str(order)) == expected or np.allclose(
            [said(found, str(order)).get(t, 0) for t in range(SIZE)], [expected.get(t, 0) for t in range(SIZE)]
        )


@given(texts, texts)
@settings(max_examples=100, deadline=None)
def test_shares_sum_to_one(one: list[int], typed: list[int]) -> None:
    for evidence in after(page(one, one, has_cursor=True), typed).evidence(NO_LINE):
        assert np.allclose(evidence.shares.sum(axis=1), 1)
        assert (evidence.buckets >= 0).all() and (evidence.buckets < 72).all()


def test_no_match_across_the_hole() -> None:
    """The prefix ends in 5, the suffix begins with 6: 6 was never seen after 5."""
    trail = after(page([2, 3, 5], [6, 4, 6], has_cursor=True), [5])
    assert said(trail.evidence(NO_LINE), "1") == {}
    # And what begins before the hole does not end behind it.
    assert said(after(page([2, 5], [6, 7], has_cursor=True), [5, 6]).evidence(NO_LINE), "1") == {7: 1.0}
    assert said(after(page([2, 5], [6, 7], has_cursor=True), [5, 6]).evidence(NO_LINE), "2") == {}


def test_nothing_predicts_the_end_mark() -> None:
    trail = after(page([2, 3]), [3])
    assert said(trail.evidence(NO_LINE), "1") == {}


def test_skips_one_token() -> None:
    trail = after(page([2, 3, 4, 6]), [2, 3, 5])
    assert said(trail.evidence(NO_LINE), "skip0") == {6: 1.0}  # 2 3 * 6
    assert said(after(page([2, 7, 4, 6, 3, 4, 5]), [2, 5, 4]).evidence(NO_LINE), "skip1") == {6: 1.0}  # 2 * 4 6


def test_lines_that_began_alike() -> None:
    known = page([2, 3, 4, 5, BREAK, 6, 3, 4, 7])
    key = int(known.line_keys[known.tokens.tolist().index(6) + 1])  # a line that begins with 6 3
    assert said(after(known, [6, 3, 4]).evidence(LineContext(key, -2, -2)), "line") == {7: 1.0}


def test_the_line_above_and_the_line_below() -> None:
    known = page([2, 2, BREAK, 3, 4, BREAK, 5, 5, BREAK, 6, BREAK, 3, 7, BREAK, 2, BREAK])
    here = page([2, 2, BREAK, 3], [5, 5, BREAK], has_cursor=True)
    above, below = here.around
    found = list(after(known, [3]).evidence(LineContext(-1, above, below)))
    assert said(found, "above") == said(found, "below") == {4: 1.0}
    assert said(found, "1") == {4: 0.5, 7: 0.5}


def test_near_places_weigh_more() -> None:
    far = [3, 4, *([2] * 900)]
    shares = said(after(page([*far, 3, 5], [], has_cursor=True), [3]).evidence(NO_LINE), "1")
    assert shares[5] > 5 * shares[4]


def test_a_token_beyond_the_vocabulary_is_refused() -> None:
    with pytest.raises(ValueError, match="no token 8"):
        after(page([2, 3]), [SIZE])
    nothing = np.zeros(1, dtype=np.int64)
    with pytest.raises(ValueError, match="beyond the 8"):
        Index(np.array([SIZE], np.uint32), nothing, nothing, nothing, SIZE, -1, np.ones(1), nothing)


@pytest.mark.slow
def test_sanitizers_find_nothing(tmp_path: Path) -> None:
    source = copying.FOLDER / "mixing" / "copying.c"
    assert drive(Path(__file__).parent / "drive_copying.c", source, tmp_path) == CLEAN
