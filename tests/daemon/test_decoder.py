"""The plain decoder gives the logits of transformers' own Llama and Qwen2."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from tiny_models import llama
from treegraft_daemon.engine.model.decoder import Decoder, NotPlain, Shape
from treegraft_daemon.engine.model.network import load_plain

IDS = torch.arange(1, 400, 5)
CPU = torch.device("cpu")


def check(folder: Path) -> None:
    shape = Shape.from_config(json.loads((folder / "config.json").read_text()))
    ours = load_plain(folder, shape, CPU, torch.float32).all_logits(IDS)
    with torch.no_grad():
        theirs = AutoModelForCausalLM.from_pretrained(folder)(IDS[None]).logits[0]
    assert float(theirs.std()) > 0.5, "a flat law would agree with anything"
    assert float((ours - theirs).abs().max()) <= 1e-4


def test_qwen2_with_biases_and_tied_embeddings(model_folder: Callable[[str], Path]) -> None:
    check(model_folder("qwen"))


def test_llama_with_shared_keys_and_its_own_head_size(model_folder: Callable[[str], Path]) -> None:
    check(model_folder("llama"))


LLAMA3 = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}


@pytest.mark.parametrize(
    "options",
    [
        {"attention_bias": True, "mlp_bias": True},
        {"rope_parameters": {"rope_type": "linear", "factor": 4.0, "rope_theta": 10000.0}},
        {"rope_parameters": {**LLAMA3, "rope_theta": 500000.0}},
        {"num_key_value_heads": 4, "rms_norm_eps": 1e-5},
    ],
)
def test_what_else_the_family_does(tmp_path: Path, options: dict[str, Any]) -> None:
    check(llama(tmp_path, **options))


def test_older_files_say_the_same_in_other_words() -> None:
    plain = {"model_type": "llama", "vocab_size": 9, "hidden_size": 8, "intermediate_size": 8}
    plain |= {"num_hidden_layers": 1, "num_attention_heads": 2}
    old = Shape.from_config({**plain, "rope_theta": 5e5, "rope_scaling": {"type": "linear", "factor": 2}})
    new = {"rope_type": "linear", "factor": 2, "rope_theta": 5e5}
    assert old == Shape.from_config({**plain, "rope_parameters": new})
    assert Shape.from_config({**plain, "rope_scaling": None}).rope.theta == 10000


@pytest.mark.parametrize(
    "option",
    [
        {"model_type": "mistral"},
        {"hidden_act": "gelu"},
        {"use_sliding_window": True},
        {"partial_rotary_factor": 0.5},
        {"quantization_config": {"quant_method": "awq"}},
        {"rope_scaling": {"rope_type": "yarn", "factor": 4.0}},
    ],
)
def test_what_it_does_not_know_it_leaves_to_others(model_folder: Callable[[str], Path], option: dict[str, Any]) -> None:
    config = json.loads((model_folder("qwen") / "config.json").read_text())
    config.pop("rope_parameters")
    with pytest.raises(NotPlain):
        Shape.from_config({**config, **option})


def test_it_can_be_trained(model_folder: Callable[[str], Path]) -> None:
    torch.manual_seed(0)
    decoder = Decoder(Shape.from_config(json.loads((model_folder("qwen") / "config.json").read_text())))
    ids = torch.tensor([[5, 9, 5, 9, 5, 9, 5, 9]])
    steps = torch.optim.AdamW(decoder.parameters(), lr=1e-2)
    losses = []
    for _ in range(12):
        loss = torch.nn.functional.cross_entropy(decoder(ids)[0, :-1], ids[0, 1:])
        steps.zero_grad()
        loss.backward()
        assert all(parameter.grad is not None for parameter in decoder.parameters())
        steps.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 10
