"""The tilt: what it sees of a place, and that a tilted law is a law. That it helps is for test_training.py to show."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from sanitizers import CLEAN, drive
from treegraft_daemon.engine.model import tilt as module
from treegraft_daemon.engine.model._mixing import CANDIDATES, Mixture, shapes
from treegraft_daemon.engine.model.law import Context, OpenFile
from treegraft_daemon.engine.model.mixture import SLOTS, MixtureLaw, State, load_embedded
from treegraft_daemon.engine.model.tilt import NEVER, Below, Line, Tilt, place_of

TEXT = b"def total(values):\n    result = 0\n    for value in values:\n"
BELOW = b"\n        result += value\n    return result\n"


@pytest.fixture(scope="module")
def law() -> MixtureLaw:
    return load_embedded()


def at(law: MixtureLaw, prefix: bytes, suffix: bytes = b"", *siblings: OpenFile) -> State:
    return law.begin(law.tokenizer.read(prefix), Context("file:///a.py", "a.py", "python", prefix, suffix, siblings))


def weights(seed: int) -> dict[str, NDArray[np.float32]]:
    """A network that nobody trained."""
    rng = np.random.default_rng(seed)
    return {name: rng.normal(size=shape).astype(np.float32) * 0.3 for name, shape in shapes(len(SLOTS)).items()}


def line(*pieces: bytes) -> Line:
    """A line of these tokens, numbered from 1."""
    found = Line()
    for token, piece in enumerate(pieces, 1):
        found = found.step(token, piece)
    return found


def test_a_line_knows_what_it_opened() -> None:
    assert line(b"f", b"(", b"[", b"x", b"]").brackets == b"("
    assert line(b"f", b"()", b"[(").brackets == b"[("
    assert line(b")", b"]").brackets == b""
    assert line(b"say", b'("').brackets == b"("
    assert line(b"say", b'("', b"it's (", b'"').quote == 0
    assert line(b"say", b"('", b"(").brackets == b"("
    assert line(b"say", b"('", b"(").quote == ord("'")


def test_a_line_knows_its_indentation_and_its_first_token() -> None:
    assert (line(b"    ", b"return", b" x").indent, line(b"    ", b"return", b" x").first) == (4, 2)
    assert (line(b"\t", b"\t", b" if").indent, line(b"\t", b"\t", b" if").first) == (3, 3)
    assert line(b"    ").first == 0
    assert line(b"x", b" = 1", b"\n") == Line()
    assert line(b"x", b"\r\n", b"y", b" =").n_tokens == 2


def test_a_state_knows_its_line_and_the_one_below(law: MixtureLaw) -> None:
    state = at(law, TEXT + b"        result = f(", BELOW)
    assert state.line.brackets == b"("
    assert state.line.indent == 8
    assert law.vocabulary[state.line.first].strip() == b"result"
    assert law.vocabulary[state.reading.below.first].strip() == b"result"
    assert state.reading.below.indent == 8
    after = state.step(law.tokenizer.line_break)
    assert after.line == Line()
    assert at(law, TEXT, b"\n\n   \n").reading.below == Below()


def test_distances_are_counted_from_the_cursor(law: MixtureLaw) -> None:
    state = at(law, TEXT, BELOW)
    before, after = state.reading.distances
    tokens = law.tokenizer.read(TEXT).tolist()
    for token in set(tokens):
        assert before[token] == tokens[::-1].index(token) + 1
    below = state.reading.pages["document"].tokens[state.reading.pages["document"].cursor :].tolist()
    for token in set(below):
        assert after[token] == below.index(token)
    strange = next(token for token in range(len(before)) if token not in tokens and token not in below)
    assert before[strange] == after[strange] == NEVER


@pytest.mark.parametrize("seed", range(4))
def test_a_tilted_law_is_a_law(law: MixtureLaw, seed: int) -> None:
    state = at(law, TEXT + b"        ", BELOW, OpenFile("b.py", TEXT * 3))
    tilt = Tilt(law.vocabulary.tokens, weights(seed), len(SLOTS))
    mixture = state._mixture()
    tilted = mixture.tilted(tilt.network, state._place())
    assert tilted.sum() == pytest.approx(1, abs=1e-12)
    assert (tilted > 0).all()
    ids, logs, rest, _, _ = mixture.seen(tilt.network, state._place())
    assert np.array_equal(ids, np.argsort(-mixture.p, kind="stable")[:CANDIDATES])
    assert np.allclose(np.exp(logs), mixture.p[ids], rtol=1e-12)
    assert np.exp(rest) == pytest.approx(1 - mixture.p[ids].sum(), rel=1e-6)
    others = np.setdiff1d(np.arange(len(tilted)), ids)
    shares = tilted[others] / mixture.p[others]
    assert np.allclose(shares, shares[0], rtol=1e-12), "what is no candidate keeps its proportions"
    assert not np.allclose(tilted, mixture.p), "an untrained network tilts somehow"


def test_a_network_that_scores_nothing_changes_nothing(law: MixtureLaw) -> None:
    state = at(law, TEXT + b"        ", BELOW)
    silent = weights(0) | {
        name: np.zeros(shapes(len(SLOTS))[name], np.float32) for name in ("out", "rest", "rest_bias")
    }
    mixture = state._mixture()
    tilted = mixture.tilted(Tilt(law.vocabulary.tokens, silent, len(SLOTS)).network, state._place())
    assert np.allclose(tilted, mixture.p, rtol=1e-12)


def test_scores_far_apart_leave_a_law(law: MixtureLaw) -> None:
    state = at(law, TEXT + b"        ", BELOW)
    loud = {name: one * 50 for name, one in weights(1).items()}
    tilted = state._mixture().tilted(Tilt(law.vocabulary.tokens, loud, len(SLOTS)).network, state._place())
    assert tilted.sum() == pytest.approx(1, abs=1e-12)
    assert np.isfinite(tilted).all()
    assert (tilted >= 0).all()


def test_a_vocabulary_smaller_than_the_candidates() -> None:
    tokens = [b"", b"a", b"b"]
    tilt = Tilt(tokens, {name: np.zeros(shape, np.float32) for name, shape in shapes(2).items()}, 2)
    base, table = np.array([0.2, 0.3, 0.5]), np.full((2, 4), 0.5)
    one = (np.array([1]), np.array([3]), np.array([2]), np.array([[1.0]]))
    mixture = Mixture(base, table, [one])
    assert np.allclose(mixture.p, [0.1, 0.15, 0.75])
    distances = np.full(3, NEVER, np.uint16), np.full(3, NEVER, np.uint16)
    place = place_of(Line(), Below(), (0, 0, 0, 1, 2), distances, "lua", False)
    assert np.allclose(mixture.tilted(tilt.network, place), mixture.p)


def test_who_speaks_of_all_tokens_is_heard_on_rare_ones_too() -> None:
    tilt = Tilt([b"", b"a", b"b"], {}, 2)
    shares = np.array([0.9, 0.1 - 1e-5, 1e-5])
    some = np.array([2]), np.array([[0.02]])
    base, table, slot = np.array([0.2, 0.3, 0.5]), np.full((2, 4), 0.5), np.array([1])
    mixture = Mixture(base, table, [(np.array([0]), slot, None, shares[None]), (slot, slot, *some)])
    distances = np.full(3, NEVER, np.uint16), np.full(3, NEVER, np.uint16)
    ids, _, _, candidates, _ = mixture.seen(
        tilt.network, place_of(Line(), Below(), (0, 0, 0, 1, 2), distances, "lua", False)
    )
    first = 5  # behind what the mixture itself says
    assert np.allclose(candidates[:, first], np.log(shares[ids]) / 4)
    assert np.allclose(candidates[:, first + 1], np.where(ids == 2, np.log(0.02 / 1e-3 + 1) / 3.5, 0))


def test_the_mixture_is_a_fold(law: MixtureLaw) -> None:
    """Against the plain definition: p becomes (1 - w) p + w q, slot after slot."""
    rng = np.random.default_rng(2)
    base = rng.dirichlet(np.ones(50))
    table = rng.uniform(size=(6, 9))
    evidence: list[tuple[Any, ...]] = []
    by_slot: dict[int, tuple[float, NDArray[np.float64]]] = {}
    for slots, ids in (([0], None), ([3, 1], [4, 9, 40]), ([5], [2, 1])):
        width = 50 if ids is None else len(ids)
        shares = rng.dirichlet(np.ones(width), size=len(slots))
        buckets = rng.integers(9, size=len(slots))
        evidence.append((np.array(slots), buckets, None if ids is None else np.array(ids), shares))
        for slot, bucket, share in zip(slots, buckets, shares, strict=True):
            q = np.zeros(50)
            q[np.arange(50) if ids is None else ids] = share
            by_slot[slot] = float(table[slot, bucket]), q
    expected = base
    for slot in sorted(by_slot):
        w, q = by_slot[slot]
        expected = (1 - w) * expected + w * q
    assert np.allclose(Mixture(base, table, evidence).p, expected, rtol=1e-12)


def test_what_does_not_fit_is_refused(law: MixtureLaw) -> None:
    state = at(law, TEXT, BELOW)
    mixture, place, tokens = state._mixture(), state._place(), law.vocabulary.tokens
    with pytest.raises(ValueError, match="other sources"):
        mixture.tilted(Tilt(tokens[:100], weights(0), len(SLOTS)).network, place)
    with pytest.raises(ValueError, match="candidate of shape"):
        Tilt(tokens, weights(0), len(SLOTS) - 1)
    with pytest.raises(ValueError, match="float64"):
        Tilt(tokens, weights(0) | {"out": np.zeros(32)}, len(SLOTS))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="without weights"):
        mixture.tilted(Tilt(tokens, {}, len(SLOTS)).network, place)
    network = Tilt(tokens, weights(0), len(SLOTS)).network
    with pytest.raises(ValueError, match="no token 9999"):
        mixture.tilted(network, (*place[:3], 9999, *place[4:]))
    with pytest.raises(ValueError, match="wanted"):
        mixture.tilted(network, (place[0][:5], *place[1:]))
    with pytest.raises(ValueError, match="more than 48"):
        Mixture(np.ones(3) / 3, np.zeros((49, 2)), [])


@pytest.mark.slow
def test_sanitizers_find_nothing(tmp_path: Path) -> None:
    source = Path(module.__file__).parent / "mixing" / "mixing.c"
    assert drive(Path(__file__).parent / "drive_mixing.c", source, tmp_path) == CLEAN
