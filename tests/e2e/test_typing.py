"""Human-like typing over a real wire, with a scripted engine: the text is the editor's at every step, every request is
answered once. `tests/bench/typing_replay.py` plays more of it to the real engine."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from lsp_client import Conversation
from replay import Tally, cut, replay
from scripted_engine import ScriptedEngine
from typist import Typist

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.mark.parametrize("seed", [1, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(2, 9))])
async def test_typing_leaves_the_editors_text_and_one_answer_each(
    talk: Conversation, engine: ScriptedEngine, seed: int
) -> None:
    rng = random.Random(seed)
    tally = Tally()
    for path in sorted(EXAMPLES.glob("*.*")):
        text = path.read_text().replace("pass", "pass  # 日本 😀 é")
        before, rest, after = cut(text, rng, 6)
        typist = Typist(before, rest, after, rng)
        # Never what is typed next: what is taken, and so the strokes, would depend on how quick this machine is.
        engine.answers = ["_another_name"]
        await replay(talk, f"file://{path}", path.suffix[1:], typist, tally, speed=100, breaks=lambda *_: False)
        assert typist.text == text
    assert tally.n_requests > 200
    assert {"key", "slip", "pair"} <= set(tally.kinds)
    assert talk.server.counters.snapshot()["requests"] == tally.n_requests


def test_strokes_lead_to_the_file() -> None:
    kinds = set()
    for seed in range(40):
        rng = random.Random(seed)
        text = "a = 1\n" * 60 + "def f(x, y):\n    return g(x[0], h(y)) + {'a': \"b\"}\n" * 20
        before, rest, after = cut(text, rng, 12)
        typist = Typist(before, rest, after, rng)
        held = typist.text
        for stroke in typist.strokes():
            held = held[: stroke.start] + stroke.text + held[stroke.end :]
            assert (held, stroke.cursor) == (typist.text, typist.cursor)
            kinds.add(stroke.kind)
        assert typist.text == text
    assert kinds == {"key", "slip", "delete", "paste", "undo", "redo", "elsewhere", "jump", "pair", "over"}


def test_strokes_lead_to_the_file_whatever_is_accepted_on_the_way() -> None:
    for seed in range(200):
        rng, taste = random.Random(seed), random.Random(seed)
        text = "a = 1\n" * 60 + "def f(x, y):\n    return g(x[0], h(y)) + {'a': \"b\"}\n" * 20
        before, rest, after = cut(text, rng, 12)
        typist = Typist(before, rest, after, rng)
        held, strokes = typist.text, typist.strokes()
        while True:
            shown = typist.left[: taste.randrange(1, 40)] if taste.random() < 0.5 else ""
            stroke = typist.accept(shown) or next(strokes, None)
            if stroke is None:
                break
            held = held[: stroke.start] + stroke.text + held[stroke.end :]
            assert (held, stroke.cursor) == (typist.text, typist.cursor)
        assert typist.text == text
