"""The law of a transformer against the model itself: what is drawn is what `AutoModelForCausalLM` says."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from alone import Alone
from treegraft_daemon.engine.model.law import Cancelled, Context, Draws, OpenFile, Sampling, Step, alone
from treegraft_daemon.engine.model.loading import load_folder
from treegraft_daemon.engine.model.prompt import build
from treegraft_daemon.engine.model.transformer import TransformerLaw
from treegraft_daemon.errors import OutOfMemory

Folder = Callable[[str], Path]
TEXT = Path(__file__).read_bytes()


@pytest.fixture(params=["qwen", "llama", "starcoder", "gpt2"])
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def law_of(folder: Path) -> Alone:
    law = load_folder(folder, folder.name)
    assert isinstance(law, TransformerLaw)
    return Alone(law)


def context(prefix: bytes, suffix: bytes = b"", *siblings: OpenFile) -> Context:
    return Context("file:///a.py", "/a.py", "python", prefix, suffix, siblings)


def by_probability() -> Sampling:
    return Sampling(0.0, np.random.default_rng(0))


def never() -> bool:
    return False


def everything(draws: Draws) -> dict[int, float]:
    """All draws to the last, id to log-probability."""
    found: dict[int, float] = {}
    part: Draws | None = draws
    while part is not None:
        found |= dict(zip(part.ids.tolist(), part.logprobs.tolist(), strict=True))
        part = part.more() if part.more else None
    return found


def reference(folder: Path, ids: tuple[int, ...]) -> np.ndarray:
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    with torch.inference_mode():
        return model(torch.tensor([ids])).logits[0, -1].float().log_softmax(-1).numpy()


def test_draws_are_the_models_own_law(model_folder: Folder, name: str) -> None:
    folder = model_folder(name)
    law = law_of(folder)
    asked = context(TEXT[:600] + b"\n", b"\n" + TEXT[700:800])
    draws, owed = law.prefill(asked, by_probability(), never)
    prompt = build(asked, law._form, law._tokenizer, law._room)
    assert owed == prompt.owed
    expected = reference(folder, prompt.ids)
    if owed:
        # Given the owed bytes: the tokens that cover them keep their proportions.
        found = everything(draws)
        longer = [idx for idx in found if law.vocabulary[idx].startswith(owed)]
        best = max(longer, key=lambda idx: found[idx])
        for idx in longer:
            if found[idx] > -12:
                assert found[idx] - found[best] == pytest.approx(expected[idx] - expected[best], abs=2e-3)
        assert sum(map(math.exp, found.values())) == pytest.approx(1, abs=1e-3)
    [after] = law.step([max(everything(draws), key=lambda idx: everything(draws)[idx])], [b""])
    taken = max(everything(draws), key=lambda idx: everything(draws)[idx])
    second = reference(folder, (*prompt.ids, taken))
    for idx, logprob in list(everything(after).items())[:300]:
        assert logprob == pytest.approx(second[idx], abs=1e-3)


def test_rows_are_forked_chosen_and_taken_back(model_folder: Folder, name: str) -> None:
    folder = model_folder(name)
    law = law_of(folder)
    asked = context(TEXT[:300] + b"\n")
    law.prefill(asked, by_probability(), never)
    ids = build(asked, law._form, law._tokenizer, law._room).ids
    law.fork(3)
    law.step([10, 20, 30], [b""] * 3)
    law.select([2, 0, 2])
    law.step([11, 12, 13], [b""] * 3)
    law.rewind(1)
    rows = law.step([40, 41, 42], [b""] * 3)
    for row, written in zip(rows, ((30, 40), (10, 41), (30, 42)), strict=True):
        expected = reference(folder, (*ids, *written))
        assert row.logprobs[:20] == pytest.approx(expected[row.ids[:20]], abs=1e-3)


def test_a_keystroke_reads_a_few_tokens(model_folder: Folder) -> None:
    law = law_of(model_folder("starcoder"))
    n_read = []
    for end in range(1000, 1100):
        law.prefill(context(TEXT[:end], TEXT[1100:1200]), by_probability(), never)
        n_read.append(law.n_read)
    whole = n_read[0]
    assert sorted(n_read[1:])[len(n_read) // 2] < whole / 2
    # The suffix follows the prefix in this order, so it is read again, and little besides.
    suffix = len(law._tokenizer.read(TEXT[1100:1200]))
    if law._form.order == "prefix-suffix-middle":
        assert sorted(n_read[1:])[len(n_read) // 2] <= suffix + 12


def test_the_same_document_read_twice_costs_one_token(model_folder: Folder, name: str) -> None:
    law = law_of(model_folder(name))
    first, _ = law.prefill(context(TEXT[:500]), by_probability(), never)
    again, _ = law.prefill(context(TEXT[:500]), by_probability(), never)
    assert law.n_read == 1
    assert again.ids[:10].tolist() == first.ids[:10].tolist()
    assert again.logprobs[:10] == pytest.approx(first.logprobs[:10], abs=1e-4)


def test_cancelling_a_prefill_leaves_a_sound_arena(model_folder: Folder) -> None:
    law = law_of(model_folder("qwen"))
    asked = context(TEXT[:2400])
    looks = iter([False, True])
    with pytest.raises(Cancelled):
        law.prefill(asked, by_probability(), lambda: next(looks))
    after, _ = law.prefill(asked, by_probability(), never)
    fresh, _ = law_of(model_folder("qwen")).prefill(asked, by_probability(), never)
    assert after.logprobs[:10] == pytest.approx(fresh.logprobs[:10], abs=1e-4)


def test_a_half_typed_word_is_owed(model_folder: Folder, name: str) -> None:
    law = law_of(model_folder(name))
    draws, owed = law.prefill(context(b"import os\n\nfor name in os.listdir(fold"), by_probability(), never)
    assert owed and b"fold".endswith(owed[-4:])
    for idx in everything(draws):
        data = law.vocabulary[idx]
        assert data.startswith(owed) or owed.startswith(data)
    shorter = [idx for idx in everything(draws) if len(law.vocabulary[idx]) < len(owed)]
    if shorter:
        data = law.vocabulary[shorter[0]]
        [after] = law.step([shorter[0]], [owed[len(data) :]])
        assert all(
            law.vocabulary[idx].startswith(owed[len(data) :]) or owed[len(data) :].startswith(law.vocabulary[idx])
            for idx in after.ids.tolist()
        )


def test_healing_is_the_law_given_the_bytes(model_folder: Folder) -> None:
    """P(next token | the text goes on with `owed`), by following every way to cut the bytes."""
    import torch

    law = law_of(model_folder("qwen"))
    asked = context(TEXT[:150] + b"\nif se", b"\n")
    found = everything(law.prefill(asked, by_probability(), never)[0])
    ids, owed = build(asked, law._form, law._tokenizer, law._room).ids, b" se"
    assert law.prefill(asked, by_probability(), never)[1] == owed

    def mass(path: tuple[int, ...], rest: bytes) -> dict[int, float]:
        p = law._network.all_logits(torch.tensor(ids + path))[-1].softmax(-1)
        after = {}
        for token in law.vocabulary.agreeing(rest).tolist():
            left = rest[len(law.vocabulary[token]) :]
            after[token] = float(p[token]) * (sum(mass((*path, token), left).values()) if left else 1.0)
        return after

    exact = mass((), owed)
    whole = sum(exact.values())
    assert found.keys() == exact.keys()
    distance = sum(abs(math.exp(found[token]) - exact[token] / whole) for token in exact) / 2
    assert distance < 0.02  # ways that hold less than a hundredth of the mass are not followed
    shorter = [token for token in exact if len(law.vocabulary[token]) < len(owed)]
    assert shorter and max(exact[token] for token in shorter) / whole > 1e-4


def test_suffix_first_reads_the_keystroke_only(model_folder: Folder) -> None:
    law = law_of(model_folder("qwen"))
    law.law._form = replace(law._form, order="suffix-prefix-middle")
    n_read = []
    for end in range(1000, 1100):
        law.prefill(context(TEXT[:end], TEXT[1100:1200]), by_probability(), never)
        n_read.append(law.n_read)
    # The token after the word that is being typed, what the cut of that word changed, and the middle's own token.
    assert sorted(n_read[1:])[len(n_read) // 2] <= 2 and max(n_read[1:]) <= 12


def test_half_precision_says_nearly_the_same(model_folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    from treegraft_daemon.engine.model import loading

    folder = model_folder("qwen")
    asked = context(TEXT[:400] + b"\n")

    def laws() -> list[dict[int, float]]:
        law = law_of(folder)
        first, _ = law.prefill(asked, by_probability(), never)
        law.fork(2)
        return [everything(first), *map(everything, law.step([10, 20], [b"", b""]))]

    exact = laws()
    monkeypatch.setattr(loading, "device_and_dtype", lambda n_bytes: (torch.device("cpu"), torch.bfloat16))
    for one, other in zip(exact, laws(), strict=True):
        assert sum(abs(math.exp(one[idx]) - math.exp(other[idx])) for idx in one) / 2 < 0.1


@pytest.mark.parametrize("folder", ["qwen", "even_qwen"])
def test_requests_that_step_together_see_what_each_would_alone(model_folder: Folder, folder: str) -> None:
    """One begins while the other is under way, in another document; rows come and go in both."""
    asked = [context(TEXT[:900], TEXT[900:1000]), replace(context(TEXT[:400] + b"    retur"), document="file:///b.py")]
    tokens = [([10, 20, 30], [40, 41]), ([50], [51])]
    law = law_of(model_folder(folder)).law
    assert law.n_together > 1
    first = alone(law, law.prefill(asked[0], by_probability(), never))
    first.fork(3)
    [begun] = law.step([Step(first, tokens[0][0], [b""] * 3)])
    second = alone(law, law.prefill(asked[1], by_probability(), never))
    first.select([2, 0])
    owed = [second.owed[len(law.vocabulary[50]) :]]
    together = law.step([Step(second, tokens[1][0], owed), Step(first, tokens[0][1], [b""] * 2)])

    one, other = law_of(model_folder(folder)), law_of(model_folder(folder))
    one.prefill(asked[0], by_probability(), never)
    one.fork(3)
    expected = [*one.step(tokens[0][0], [b""] * 3)]
    one.select([2, 0])
    expected += one.step(tokens[0][1], [b""] * 2)
    other.prefill(asked[1], by_probability(), never)
    expected += other.step(tokens[1][0], owed)
    for found, wanted in zip([*begun, *together[1], *together[0]], expected, strict=True):
        left, right = everything(found), everything(wanted)
        assert left == pytest.approx(right, abs=1e-4)


class Crowded:
    """A network on a device that has no memory for more than so many tokens in all arenas."""

    def __init__(self, law: TransformerLaw, most: int) -> None:
        self._law, self._network, self._most = law, law._network, most

    def __getattr__(self, name: str) -> object:
        return getattr(self._network, name)

    def next_logits(self, ids: object, span: object) -> object:
        if sum(arena.position for arena in self._law._arenas._arenas.values()) > self._most:
            import torch

            raise torch.OutOfMemoryError("no room")
        return self._network.next_logits(ids, span)  # type: ignore[arg-type]


def test_out_of_memory_forgets_other_documents_then_shortens_prompts_then_says_so(
    model_folder: Folder, caplog: pytest.LogCaptureFixture
) -> None:
    law = law_of(model_folder("even_qwen"))
    asked = [replace(context(TEXT[:800], TEXT[800:900]), document=name) for name in "abc"]
    expected = [everything(law_of(model_folder("even_qwen")).prefill(asked[0], by_probability(), never)[0])]
    for one in asked:
        law.prefill(one, by_probability(), never)
        law.rows.close()
    n_tokens = len(law._arenas._arenas["a"].ids)
    for most, n_kept, warning in ((n_tokens + 20, 1, "forgotten"), (n_tokens // 2, 1, "from now on")):
        caplog.clear()
        law.law._network = Crowded(law.law, most)
        draws, _ = law.prefill(asked[0], by_probability(), never)
        assert warning in caplog.text
        assert len(law._arenas._arenas) == n_kept and len(law._arenas._arenas["a"].ids) <= most
        if warning == "forgotten":
            assert everything(draws) == pytest.approx(expected[0], abs=1e-4)
        law.rows.close()
        law.law._network = law.law._network._network
    caplog.clear()
    assert law.prefill(asked[1], by_probability(), never) and not caplog.text, "shorter ones fit"
    law.rows.close()
    law.law._network = Crowded(law.law, 10)
    with pytest.raises(OutOfMemory, match=r"leaves no memory on cpu for a prompt of \d+ tokens"):
        law.prefill(asked[0], by_probability(), never)
    law.law._network = law.law._network._network
    law.prefill(asked[0], by_probability(), never)
    law.law._network = Crowded(law.law, 10)
    with pytest.raises(OutOfMemory, match="no memory on cpu to go on with"):
        law.step([10], [b""])


@pytest.mark.gpu
@pytest.mark.parametrize("model", ["qwen", "starcoder"])
def test_a_device_draws_the_same_law(model_folder: Folder, model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    from treegraft_daemon.engine.model import loading

    asked = context(TEXT[:600] + b"\n", b"\n")
    found = []
    for device in ("cpu", "cuda"):
        where = torch.device(device)
        monkeypatch.setattr(loading, "device_and_dtype", lambda n_bytes, where=where: (where, torch.float32))
        law = law_of(model_folder(model))
        first, _ = law.prefill(asked, by_probability(), never)
        law.fork(3)
        law.step([10, 20, 30], [b""] * 3)
        law.select([2, 0, 0])
        found.append([everything(first), *map(everything, law.step([1, 2, 3], [b""] * 3))])
    for one, other in zip(*found, strict=True):
        assert sum(abs(math.exp(one[idx]) - math.exp(other[idx])) for idx in one) / 2 < 1e-3


def test_sampling_follows_the_law(model_folder: Folder) -> None:
    law = law_of(model_folder("qwen"))
    asked = context(TEXT[:200] + b"\n")
    counts: dict[int, int] = {}
    rng = np.random.default_rng(5)
    law.prefill(asked, Sampling(1.0, rng), never)
    n = 1500
    for draws in law.fork(n):
        counts[int(draws.ids[0])] = counts.get(int(draws.ids[0]), 0) + 1
    exact = everything(law.prefill(asked, by_probability(), never)[0])
    for idx in sorted(exact, key=lambda idx: -exact[idx])[:5]:
        p = math.exp(exact[idx])
        # Five standard deviations.
        assert abs(counts.get(idx, 0) - n * p) < 5 * math.sqrt(n * p * (1 - p)) + 1


def test_writing_past_the_models_context_ends(model_folder: Folder) -> None:
    law = law_of(model_folder("gpt2"))  # 256 positions
    law.prefill(context(TEXT[:3000]), by_probability(), never)
    for _ in range(law._network.context):
        [draws] = law.step([5], [b""])
        if len(draws.ids) == 1 and int(draws.ids[0]) in law.end_tokens:
            return
    raise AssertionError("it went on for ever")


@pytest.mark.parametrize(("seconds", "expected"), [(0.01, 1536), (0.15, 768), (1.0, 384), (100.0, 384)])
def test_a_prompt_on_a_cpu_is_as_long_as_it_is_read_in_time(
    monkeypatch: pytest.MonkeyPatch, seconds: float, expected: int
) -> None:
    """`seconds` for 48 tokens, the first reading apart, which waits for what was never touched."""
    import torch

    from treegraft_daemon.engine.model import transformer
    from treegraft_daemon.engine.model.prompt import PLAIN, PSM, Format

    clock = iter([0.0, seconds])
    monkeypatch.setattr(transformer, "perf_counter", lambda: next(clock))

    class Measured:
        device, vocab_size, context = torch.device("cpu"), 640, 8192

        def next_logits(self, ids: torch.Tensor, span: object) -> torch.Tensor:
            raise AssertionError("no memory is needed to measure")

        def all_logits(self, ids: torch.Tensor, n_last: int | None = None) -> torch.Tensor:
            assert len(ids) == 48
            return torch.zeros(1, 640)

    room = transformer.room_for(Measured(), Format(PLAIN if expected == 768 else PSM, ()))
    assert room.n_tokens == expected
    assert (room.suffix_bytes == 0) == (expected == 768)
    assert room.prefix_bytes + room.suffix_bytes + room.sibling_bytes == 3 * expected
