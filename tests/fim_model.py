"""A model with trained weights that fills middles: the embedded transformer as a directory of the hub.

`python tests/fim_model.py [--language python]` writes `.cache/models/fim-python`, or under $TREEGRAFT_MODELS: a Llama of
7 layers and 8,256 tokens that was trained on the middles of code, suffix first, with nothing between prefix and middle, and
whose tokens are named as Codestral names its own. What any model of the hub goes through, formats, windows, caches and
healing, can be tried with it where no larger one is at hand; the law that ships with treegraft says more, since it copies.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from real_model import MODELS
from treegraft_daemon.engine.model.embedded_network import Shape
from treegraft_daemon.engine.model.mixture import EMBEDDED
from treegraft_daemon.engine.model.window import CONTEXT, END, LANGUAGE, PREFIX, SUFFIX

# By the embedded network's names, and by Llama's.
OF_LAYERS = {
    "attention_norm": "input_layernorm", "mlp_norm": "post_attention_layernorm", "q": "self_attn.q_proj",
    "k": "self_attn.k_proj", "v": "self_attn.v_proj", "o": "self_attn.o_proj", "gate": "mlp.gate_proj",
    "up": "mlp.up_proj", "down": "mlp.down_proj",
}  # fmt: skip
OF_ALL = {"embedding": "embed_tokens", "norm": "norm"}


def write(folder: Path, language: str = "python") -> None:
    """The model, for one language: its mark is what every prompt begins with."""
    from safetensors.numpy import save_file

    folder.mkdir(parents=True, exist_ok=True)
    shape = Shape(**json.loads((EMBEDDED / "shape.json").read_text()))
    config = {
        "model_type": "llama",
        "architectures": ["LlamaForCausalLM"],
        "vocab_size": shape.n_ids,
        "hidden_size": shape.hidden,
        "intermediate_size": shape.inner,
        "num_hidden_layers": shape.n_layers,
        "num_attention_heads": shape.n_heads,
        "num_key_value_heads": shape.n_kv_heads,
        "max_position_embeddings": CONTEXT,
        "rope_theta": shape.theta,
        "rms_norm_eps": shape.eps,
        "hidden_act": "silu",
        "tie_word_embeddings": True,
        "bos_token_id": LANGUAGE[language],
        "eos_token_id": END,
    }
    (folder / "config.json").write_text(json.dumps(config))
    stored = json.loads((EMBEDDED / "tokenizer.json").read_text(encoding="utf-8"))
    marks = {"[SUFFIX]": SUFFIX, "[PREFIX]": PREFIX, **{f"<{name}>": idx for name, idx in LANGUAGE.items()}}
    [plain] = stored["added_tokens"]
    stored["added_tokens"] += [{**plain, "content": content, "id": idx} for content, idx in marks.items()]
    (folder / "tokenizer.json").write_text(json.dumps(stored, ensure_ascii=False), encoding="utf-8")
    (folder / "tokenizer_config.json").write_text(json.dumps({"add_bos_token": True, "bos_token": f"<{language}>"}))
    save_file(weights(shape), folder / "model.safetensors", metadata={"format": "pt"})


def weights(shape: Shape) -> dict[str, NDArray[np.float32]]:
    """The embedded network's, as wide as they are computed with, by Llama's names."""
    from treegraft_daemon.training import network as training

    network = training.Network(training.Shape(**asdict(shape)))
    training.load(network, EMBEDDED)
    found = {}
    for name, one in network.named_parameters():
        place, _, part = name.rpartition(".")
        known = f"{place}.{OF_LAYERS[part]}" if place else OF_ALL[part]
        found[f"model.{known}.weight"] = one.detach().numpy()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--language", choices=LANGUAGE, default="python")
    options = parser.parse_args()
    folder = MODELS / f"fim-{options.language}"
    write(folder, options.language)
    print(folder)


if __name__ == "__main__":
    main()
