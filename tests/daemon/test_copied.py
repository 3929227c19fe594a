"""Copying mixed into a model's law: what is said is a law, and the rows are the model's own with it folded in."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alone import Alone
from treegraft_daemon.engine.model.copied import LEVELS, Copied, Copies, level
from treegraft_daemon.engine.model.hub_tokenizer import HubTokenizer
from treegraft_daemon.engine.model.law import Cancelled, Context, Draws, OpenFile, Sampling
from treegraft_daemon.engine.model.loading import load_folder
from treegraft_daemon.engine.model.mixture import SLOTS, Weights
from treegraft_daemon.engine.model.ngram import N_BUCKETS
from treegraft_daemon.engine.model.prompt import build
from treegraft_daemon.engine.model.transformer import TransformerLaw

Folder = Callable[[str], Path]
TEXT = Path(__file__).read_bytes()
SIBLING = OpenFile("other.py", b"def frobnicate(path):\n    zorgle = path.quux_hemi()\n    return zorgle\n")
BELOW = b"\n\ndef tessellate_hexagons(path):\n    return tessellate_hexagons(path)\n"


def context(prefix: bytes, suffix: bytes = b"", *siblings: OpenFile) -> Context:
    return Context("file:///a.py", "/a.py", "python", prefix, suffix, siblings)


def sampling(temperature: float = 0.0) -> Sampling:
    return Sampling(temperature, np.random.default_rng(0))


def never() -> bool:
    return False


@pytest.fixture(scope="module")
def law(model_folder: Folder) -> Alone:
    found = load_folder(model_folder("qwen"), "qwen", copying=True)
    assert isinstance(found, TransformerLaw)
    return Alone(found)


def place_of(law: Alone, asked: Context, owed: bytes = b"") -> Copied:
    assert law._copies is not None
    return law._copies.begin(asked, owed, never)


@given(
    st.integers(0, len(TEXT)),
    st.lists(st.integers(0, 639), max_size=12),
    st.floats(0, 1),
    st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_what_is_said_is_a_law(law: Alone, cursor: int, tokens: list[int], top: float, has_sibling: bool) -> None:
    asked = context(TEXT[:cursor], TEXT[cursor:], *([SIBLING] if has_sibling else []))
    place = place_of(law, asked)
    for token in tokens:
        place = place.step(token)
    left, ids, masses = place.said(top)
    assert left + masses.sum() == pytest.approx(1)
    assert left > 0 and (masses > 0).all()
    assert len(set(ids.tolist())) == len(ids) and (ids >= 0).all() and (ids < len(law.vocabulary)).all()


def test_rows_are_the_models_law_with_what_was_said_folded_in(law: Alone, model_folder: Folder) -> None:
    alone = Alone(load_folder(model_folder("qwen"), "qwen"))
    asked = context(TEXT[:600] + b"\n", TEXT[600:], SIBLING)
    law.prefill(asked, sampling(), never)
    alone.prefill(asked, sampling(), never)
    law.fork(3)
    alone.fork(3)
    # What is said depends on what was written in each row, also after rows were chosen and tokens taken back.
    for one in (law, alone):
        one.step([10, 20, 30], [b""] * 3)
        one.select([2, 0, 2])
        one.step([11, 12, 13], [b""] * 3)
        one.rewind(1)
    mixed, plain = law.step([40, 41, 42], [b""] * 3), alone.step([40, 41, 42], [b""] * 3)
    assert isinstance(alone.law, TransformerLaw)
    prompt = build(asked, law._form, law._tokenizer, law._room)
    for ours, theirs, written in zip(mixed, plain, ((30, 40), (10, 41), (30, 42)), strict=True):
        place = place_of(law, asked, prompt.owed)
        for token in written:
            place = place.step(token)
        expected = np.exp(whole(theirs, len(law.vocabulary)))
        left, ids, masses = place.said(float(expected.max()))
        expected *= left
        expected[ids] += masses
        assert np.exp(whole(ours, len(law.vocabulary))) == pytest.approx(expected, abs=1e-4)


def test_rows_begin_anew_at_each_fork(law: Alone) -> None:
    law.prefill(context(TEXT[:600] + b"\n", TEXT[600:], SIBLING), sampling(), never)
    first = [law.fork(2), law.step([10, 20], [b"", b""])][1]
    law.step([30, 40], [b"", b""])
    again = [law.fork(2), law.step([10, 20], [b"", b""])][1]
    for one, other in zip(first, again, strict=True):
        assert np.array_equal(one.ids, other.ids) and np.allclose(one.logprobs, other.logprobs)


@pytest.mark.parametrize("temperature", [0.0, 0.7, 1.0])
def test_mixed_laws_sum_to_one(law: Alone, temperature: float) -> None:
    law.prefill(context(TEXT[:500], TEXT[500:], SIBLING), sampling(temperature), never)
    [draws] = law.step([7], [b""])
    assert np.exp(whole(draws, len(law.vocabulary))).sum() == pytest.approx(1, abs=1e-3)


def test_copies_what_no_prompt_holds(law: Alone, monkeypatch: pytest.MonkeyPatch) -> None:
    """From a file that is open, and from below the cursor; a half-typed word is healed by the mixed law."""
    trusting = Copies(law._tokenizer, Weights({"any": np.full((len(SLOTS), N_BUCKETS), 0.9)}))
    monkeypatch.setattr(law, "_copies", trusting)
    filler = OpenFile("filler.py", b"pass\n" * 400)
    assert written(law, context(b"value.quux_h", b"", filler, SIBLING)) == b"emi()"
    assert written(law, context(b"tessellate_h", b"\n" * 3000 + BELOW)).startswith(b"exagons(path)")


def test_reading_is_withdrawn_between_files(law: Alone) -> None:
    assert law._copies is not None
    with pytest.raises(Cancelled):
        law._copies.begin(context(b"x", b"", OpenFile("new.py", b"never seen before\n")), b"", lambda: True)


def test_a_keystroke_cuts_few_lines_into_tokens(law: Alone, monkeypatch: pytest.MonkeyPatch) -> None:
    text = TEXT * 8
    asked = [context(text[:end], text[5000:], SIBLING) for end in range(4000, 4100)]
    place_of(law, asked[0])
    n_bytes: list[int] = []
    read = HubTokenizer.read
    monkeypatch.setattr(HubTokenizer, "read", lambda self, data: (n_bytes.append(len(data)), read(self, data))[1])
    for one in asked[1:]:
        place_of(law, one)
    assert sum(n_bytes) / len(asked) < 2500 < len(text)


def test_levels_are_told_apart() -> None:
    assert [level(top) for top in (0.0, *LEVELS, 1.0)] == ["0", "1", "2", "3", "4", "5", "5"]


def test_shipped_weights_fit_the_code(law: Alone) -> None:
    assert law._copies is not None
    for number in range(len(LEVELS) + 1):
        assert law._copies._weights.of(str(number)).shape == (len(SLOTS), N_BUCKETS)


def whole(draws: Draws, size: int) -> np.ndarray:
    """Log-probabilities of all tokens."""
    row = np.full(size, -np.inf)
    part: Draws | None = draws
    while part is not None:
        row[part.ids] = part.logprobs
        part = part.more() if part.more else None
    return row


def written(law: Alone, asked: Context, n_tokens: int = 20) -> bytes:
    """What greedy decoding writes after the cursor, up to the line's end."""
    draws, owed = law.prefill(asked, sampling(), never)
    n_owed, text = len(owed), b""
    for _ in range(n_tokens):
        token = int(draws.ids[0])
        text += law.vocabulary[token]
        if b"\n" in text[n_owed:] or math.isinf(draws.logprobs[0]):
            break
        owed = owed[len(law.vocabulary[token]) :]
        [draws] = law.step([token], [owed])
    return text[n_owed:].split(b"\n")[0]
