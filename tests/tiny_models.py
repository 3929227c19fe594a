"""Models as they lie on the hub, but tiny and random: what a test of the transformer back ends needs, in a second."""

from __future__ import annotations

import json
import logging
import sysconfig
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

VOCAB_SIZE = 640
N_PIECES = 600  # the rest are control tokens, and rows without a token
QWEN = (
    "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>", "<|fim_pad|>",
    "<|repo_name|>", "<|file_sep|>",
)  # fmt: skip
STARCODER = ("<|endoftext|>", "<fim_prefix>", "<fim_middle>", "<fim_suffix>", "<fim_pad>", "<repo_name>", "<file_sep>")
CODELLAMA = ("▁<PRE>", "▁<MID>", "▁<SUF>", "▁<EOT>")
# As Qwen2.5-Coder has it: the tokens for fill in the middle are not flagged as special.
NOT_SPECIAL = ("fim_", "repo_name", "file_sep")


def sources() -> list[str]:
    folder = Path(sysconfig.get_path("stdlib"))
    return [(folder / name).read_text() for name in ("json/decoder.py", "json/encoder.py", "bisect.py", "textwrap.py")]


def byte_level(control: Sequence[str]) -> dict[str, Any]:
    """A tokenizer.json of byte-level BPE in the manner of GPT-2."""
    stored: dict[str, Any] = json.loads(_byte_level())
    stored["added_tokens"] = [
        _added(N_PIECES + place, content, not any(word in content for word in NOT_SPECIAL))
        for place, content in enumerate(control)
    ]
    return stored


@cache
def _byte_level() -> str:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=N_PIECES, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(sources(), trainer)
    return tokenizer.to_str()


def pieces() -> dict[str, Any]:
    """A tokenizer.json in the manner of CodeLlama: pieces with a mark for the space, bytes as a fallback, BOS."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    first = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    trainer = trainers.BpeTrainer(vocab_size=N_PIECES, special_tokens=first, show_progress=False, limit_alphabet=90)
    # No piece holds a line break: those are bytes.
    tokenizer.train_from_iterator([line for text in sources() for line in text.splitlines()], trainer)
    stored = json.loads(tokenizer.to_str())
    stored["pre_tokenizer"] = None
    stored["normalizer"] = {
        "type": "Sequence",
        "normalizers": [
            {"type": "Prepend", "prepend": "▁"},
            {"type": "Replace", "pattern": {"String": " "}, "content": "▁"},
        ],
    }
    stored["added_tokens"] = [_added(place, content, True) for place, content in enumerate(first[:3])]
    n_pieces = len(stored["model"]["vocab"])
    stored["added_tokens"] += [_added(n_pieces + place, content, True) for place, content in enumerate(CODELLAMA)]
    return stored


def _added(idx: int, content: str, special: bool) -> dict[str, Any]:
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    return {"id": idx, "content": content, "special": special, **flags}


def save(folder: Path, model: Any, tokenizer: dict[str, Any], config: dict[str, Any] | None = None) -> Path:
    """A directory as the hub has it. Weights are scaled up so that laws are not flat."""
    import torch

    logging.getLogger("transformers").setLevel(logging.ERROR)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.mul_(4)
            else:
                parameter.add_(torch.randn_like(parameter) * 0.1)
    model.save_pretrained(folder)
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    (folder / "tokenizer_config.json").write_text(json.dumps(config or {}))
    return folder


SIZES = {"vocab_size": VOCAB_SIZE, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2}
HEADS = {"num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 1024}


def qwen(folder: Path) -> Path:
    import torch
    from transformers import Qwen2Config, Qwen2ForCausalLM

    torch.manual_seed(1)
    config = Qwen2Config(**SIZES, **HEADS, tie_word_embeddings=True, eos_token_id=N_PIECES, rope_theta=1e5)
    return save(folder, Qwen2ForCausalLM(config), byte_level(QWEN))


def llama(folder: Path, **options: Any) -> Path:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(2)
    config = LlamaConfig(**{**SIZES, **HEADS, "head_dim": 24, "bos_token_id": 1, "eos_token_id": 2, **options})
    return save(folder, LlamaForCausalLM(config), pieces(), {"add_bos_token": True, "bos_token": "<s>"})


def starcoder(folder: Path) -> Path:
    import torch
    from transformers import Starcoder2Config, Starcoder2ForCausalLM

    torch.manual_seed(3)
    config = Starcoder2Config(**SIZES, **HEADS, sliding_window=24, eos_token_id=N_PIECES, bos_token_id=N_PIECES)
    return save(folder, Starcoder2ForCausalLM(config), byte_level(STARCODER))


def gpt2(folder: Path) -> Path:
    """Learned positions, no fill in the middle."""
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(4)
    config = GPT2Config(vocab_size=VOCAB_SIZE, n_embd=64, n_layer=2, n_head=4, n_positions=256, eos_token_id=N_PIECES)
    return save(folder, GPT2LMHeadModel(config), byte_level(QWEN[:1]))


# Sizes that the native decoder has loops for, all different, with groups of three queries and of one.
EVEN = {"vocab_size": VOCAB_SIZE, "intermediate_size": 128, "num_hidden_layers": 2, "max_position_embeddings": 1024}


def even_qwen(folder: Path) -> Path:
    import torch
    from transformers import Qwen2Config, Qwen2ForCausalLM

    torch.manual_seed(5)
    heads = {"hidden_size": 192, "num_attention_heads": 6, "num_key_value_heads": 2}
    config = Qwen2Config(**EVEN, **heads, tie_word_embeddings=True, eos_token_id=N_PIECES, rope_theta=1e5)
    return save(folder, Qwen2ForCausalLM(config), byte_level(QWEN))


def even_llama(folder: Path) -> Path:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(6)
    heads = {"hidden_size": 64, "num_attention_heads": 4, "num_key_value_heads": 4, "head_dim": 48}
    config = LlamaConfig(**EVEN, **heads, bos_token_id=1, eos_token_id=2)
    return save(folder, LlamaForCausalLM(config), pieces(), {"add_bos_token": True, "bos_token": "<s>"})
