"""The embedded law keeps the promises of `law.Law`: whole laws, healing, rows that are forked, chosen and taken back."""

from __future__ import annotations

import time

import numpy as np
import pytest

from alone import Alone
from treegraft_daemon.engine.model.healing import given_bytes, heal
from treegraft_daemon.engine.model.law import Cancelled, Context, OpenFile, Sampling
from treegraft_daemon.engine.model.linewise import END
from treegraft_daemon.engine.model.mixture import SLOTS, load_embedded

CODE = b"""import os


def read_settings(path):
    with open(path) as stream:
        return stream.read()


def write_settings(path, text):
    with open(path, "w") as stream:
        stream.write(text)
"""
SIBLING = OpenFile("other.py", b"def frobnicate(path):\n    zorgle = path.quux_hemi()\n    return zorgle\n")


@pytest.fixture(scope="module")
def law() -> Alone:
    return Alone(load_embedded())


def context(prefix: bytes, suffix: bytes = b"", *siblings: OpenFile, language: str = "python") -> Context:
    return Context("file:///a.py", "a.py", language, prefix, suffix, siblings)


def sampling(temperature: float = 0.0) -> Sampling:
    return Sampling(temperature, np.random.default_rng(1))


def never() -> bool:
    return False


def best(law: Alone, ctx: Context, n_tokens: int = 12) -> bytes:
    """What greedy decoding writes after the cursor, up to the line's end."""
    draws, owed = law.prefill(ctx, sampling(), never)
    n_owed, text = len(owed), b""
    for _ in range(n_tokens):
        token = int(draws.ids[0])
        text += law.vocabulary[token]
        if b"\n" in text[n_owed:] or token == END:
            break
        owed = owed[len(law.vocabulary[token]) :]
        [draws] = law.step([token], [owed])
    return text[n_owed:].split(b"\n")[0]


@pytest.mark.parametrize("language", ["python", "typescript", "json", "go", "rust", "java", "cpp", "bash", "klingon"])
@pytest.mark.parametrize("prefix", [b"", b"x", CODE, b"\xff\xfe\n  \xf0\x9f", b"\r\n\r\n\tif (", b"\n" * 50])
def test_every_law_is_whole_and_leaves_nothing_out(law: Alone, language: str, prefix: bytes) -> None:
    state = law.begin(law.tokenizer.read(prefix), context(prefix, b"\nend()\n", SIBLING, language=language))
    for token in (5, 300, law.tokenizer.line_break, 17):
        p = state.law()
        assert p.shape == (len(law.vocabulary),)
        assert p.sum() == pytest.approx(1, abs=1e-9)
        assert p.min() > 0
        state = state.step(token)


def test_copies_from_the_document_above_and_below(law: Alone) -> None:
    assert best(law, context(CODE + b"\n\ndef show(path):\n    text = read_set")).startswith(b"tings(path")
    below = b"\n\ndef tessellate_hexagons(path):\n    return tessellate_hexagons(path)\n"
    assert best(law, context(b"tessellate_h", below)).startswith(b"exagons(path)")


def test_copies_from_a_sibling(law: Alone) -> None:
    assert not best(law, context(b"value.quux_h")).startswith(b"emi()")
    assert best(law, context(b"value.quux_h", b"", SIBLING)).startswith(b"emi()")


def test_knows_the_language_without_any_context(law: Alone) -> None:
    assert best(law, context(b"def main():\n    pass\n\n\nif __name__ == ")) == b'"__main__":'
    go = b"package main\n\nfunc f() error {\n\tif err := g(); err != "
    assert best(law, context(go, language="go")) == b"nil {"


def test_healing_owes_the_last_word_and_draws_only_what_agrees(law: Alone) -> None:
    draws, owed = law.prefill(context(CODE + b"    return stre"), sampling(), never)
    assert owed.strip() == b"stre"
    n_seen, more = 0, draws
    while more is not None:
        for token in more.ids:
            data = law.vocabulary[int(token)]
            assert data.startswith(owed) or owed.startswith(data)
            n_seen += 1
        more = more.more() if more.more else None
    assert n_seen == len(law.vocabulary.agreeing(owed))
    assert draws.log_total == pytest.approx(0)
    text = b""
    for _ in range(3):
        token = int(draws.ids[0])
        text += law.vocabulary[token]
        owed = owed[len(law.vocabulary[token]) :]
        [draws] = law.step([token], [owed])
    assert text.startswith(b" stream")


def test_a_half_typed_word_counts_as_the_bytes_it_is(law: Alone) -> None:
    """P(next token | bytes) by following every way to cut the word, for a law small enough to do so."""
    state = law.begin(law.tokenizer.read(CODE), context(CODE))

    def mass(at: object, rest: bytes) -> float:
        total = 0.0
        for token in law.vocabulary.agreeing(rest):
            data, p = law.vocabulary[int(token)], float(at.law()[token])  # type: ignore[attr-defined]
            shorter = len(data) < len(rest)
            total += p * mass(at.step(int(token)), rest[len(data) :]) if shorter else p  # type: ignore[attr-defined]
        return total

    ids, p, found = given_bytes(state, b"impo", law.vocabulary)
    assert found == pytest.approx(mass(state, b"impo"), rel=1e-3)
    assert p.sum() == pytest.approx(1)
    assert law.vocabulary[int(ids[p.argmax()])] == b"import"


@pytest.mark.parametrize("end", [b"x = foo_ba", b"x.", b"x = ", b"\n    ", b"\n", b"", b"f(a, 12"])
def test_kept_tokens_and_owed_bytes_are_the_prefix(law: Alone, end: bytes) -> None:
    prefix = b"def f():\n" + end
    kept, owed = heal(law.tokenizer.read(prefix), prefix, law.vocabulary)
    assert b"".join(law.vocabulary[int(token)] for token in kept) + owed == prefix
    assert bool(owed) == (not prefix.endswith(b"\n"))


def test_nothing_is_healed_that_cannot_be_read(law: Alone) -> None:
    tokens = law.tokenizer.read(b"x = \xf0\x9f")
    assert heal(tokens, b"x = \xf0\x9f", law.vocabulary)[1] == b""


def test_rows_are_independent_and_can_be_chosen_and_taken_back(law: Alone) -> None:
    ctx = context(CODE, b"", SIBLING)
    first, _ = law.prefill(ctx, sampling(), never)
    drawn = law.fork(3)
    assert all((one.ids == first.ids).all() for one in drawn)
    tokens = [int(first.ids[0]), int(first.ids[1]), int(first.ids[2])]
    after = law.step(tokens, [b"", b"", b""])
    assert not np.array_equal(after[0].logprobs, after[1].logprobs)
    law.select([1, 1, 0])
    again = law.step([7, 7, 7], [b"", b"", b""])
    assert np.array_equal(again[0].logprobs, again[1].logprobs)
    law.rewind(1)
    repeated = law.step([7, 9, 7], [b"", b"", b""])
    assert np.array_equal(repeated[0].logprobs, again[0].logprobs)
    assert np.array_equal(repeated[2].logprobs, again[2].logprobs)
    law.rewind(2)
    assert np.array_equal(law.step([tokens[0]] * 3, [b""] * 3)[2].logprobs, after[0].logprobs)


def test_random_rows_draw_their_own_noise(law: Alone) -> None:
    law.prefill(context(CODE), sampling(1.0), never)
    drawn = law.fork(4)
    assert len({int(one.ids[0]) for one in drawn} | {int(one.ids[1]) for one in drawn}) > 1


def test_a_kept_index_answers_like_a_fresh_one(law: Alone) -> None:
    """Typing through a file with warm caches gives the same laws as reading every version anew."""
    for end in range(len(CODE) - 60, len(CODE), 7):
        ctx = context(CODE[:end], CODE[end:], SIBLING, OpenFile("b.py", CODE[: end // 2]))
        warm, owed = law.prefill(ctx, sampling(), never)
        cold, owed_cold = Alone(load_embedded()).prefill(ctx, sampling(), never)
        assert owed == owed_cold
        assert np.array_equal(warm.ids, cold.ids)
        assert np.allclose(warm.logprobs, cold.logprobs)


def test_whole_text_and_single_lines_have_the_same_tokens(law: Alone) -> None:
    """The line cache is only right because no token crosses a line break."""
    for text in (CODE, CODE.replace(b"\n", b"\r\n"), b"a\n\n\n  b\t\n\tc  \n" * 20, "é = 'naïve 日本'\n".encode() * 20):
        fresh = load_embedded().tokenizer
        assert b"".join(law.vocabulary[int(token)] for token in fresh.read(text)) == text
        by_line = [law.tokenizer.read(line) for line in text.splitlines(keepends=True)]
        assert np.array_equal(fresh.read(text), np.concatenate(by_line))


def test_withdrawn_while_siblings_are_read(law: Alone) -> None:
    with pytest.raises(Cancelled):
        law.prefill(context(b"x", b"", OpenFile("new.py", b"never seen before\n")), sampling(), lambda: True)


def test_a_long_document_is_read_in_part(law: Alone) -> None:
    huge = CODE * 4000
    law.prefill(context(huge, huge), sampling(), never)
    started = time.perf_counter()
    law.prefill(context(huge + b"x", huge), sampling(), never)
    assert time.perf_counter() - started < 1.0


def test_files_fit_the_code_and_the_budget(law: Alone) -> None:
    from treegraft_daemon.engine.model.mixture import EMBEDDED

    sizes = [path.stat().st_size for path in EMBEDDED.iterdir()]
    assert sum(sizes) <= 30_000_000
    assert max(sizes) <= 15_500_000
    assert len(law.vocabulary) == 8192
    assert law.weights.of("python").shape[0] == len(SLOTS)
    assert law.end_tokens == {END} and law.vocabulary[END] == b""
