"""From the name of a model to a law. Never downloads; imports torch only for a model that needs it."""

from __future__ import annotations

import importlib
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

from treegraft_daemon.config import Precision
from treegraft_daemon.engine.model import hub
from treegraft_daemon.engine.model.law import Law, Progress, unheard
from treegraft_daemon.errors import ModelBroken, ModelsNotInstalled

if TYPE_CHECKING:
    import torch

    from treegraft_daemon.engine.model.hub_tokenizer import HubTokenizer
    from treegraft_daemon.engine.model.network import Network
    from treegraft_daemon.engine.model.prompt import Format

log = logging.getLogger(__name__)

# Below this many bytes of weights, float32 on a CPU is fast enough and loses nothing.
SMALL_BYTES = 500_000_000
# Laws by way of the arena may differ so much from laws without memory, in total variation.
TOLERATED_EXACT, TOLERATED_HALF = 1e-3, 0.05
# Holes whose middle is plain from both sides; the order in which a model was trained finds it more probable.
PROBES = (
    (b"def area(width, height):\n    return ", b"width * height", b"\n\n\nprint(area(2, 3))\n"),
    (
        b"import os\n\nfor name in os.listdir(folder):\n    path = os.path.join(folder, ",
        b"name",
        b")\n    print(path)\n",
    ),
    (b"function add(left, right) {\n  const sum = ", b"left + right", b";\n  return sum;\n}\n"),
    (b"if (count > 0) {\n    total += ", b"count", b";\n}\nreturn total;\n"),
)


def load(model: str, tell: Progress = unheard, copying: bool = False, precision: Precision = "auto") -> Law:
    """The law called `model`: "embedded", a directory, or a name in the hub's cache.

    `tell` hears the share of the weights that was read, 0 to 1, where that is known. copying: what the open files say
    is mixed into the model's law (the embedded one has that in it). precision: "auto" rounds weights to 8 bits where
    that makes the model faster, "full" never.

    Raises ModelNotFound, ModelBroken or ModelsNotInstalled: one line that says what to do.
    """
    if model == "embedded":
        from treegraft_daemon.engine.model.mixture import load_embedded

        return load_embedded()
    folder = hub.locate(model)
    for name in ("config.json", "tokenizer.json"):
        if not (folder / name).exists():
            raise ModelBroken(f"{folder} has no {name}, so it is no model that can be used here")
    # Read by OpenMP when torch is first imported. Threads that spin while they wait take the cores from whoever they
    # wait for: on two cores under other load, a small model's prefill took 115 ms spinning and 10 ms passive.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    for needed in ("torch", "safetensors"):
        try:
            importlib.import_module(needed)
        except ModuleNotFoundError as error:
            raise ModelsNotInstalled(f'{model} needs torch: pip install "treegraft[models]"') from error
    return load_folder(folder, model, tell, copying, precision)


def load_folder(
    folder: Path, name: str, tell: Progress = unheard, copying: bool = False, precision: Precision = "auto"
) -> Law:
    """The law of the model in a directory. See `load` for what it raises."""
    from treegraft_daemon.engine.model import copied
    from treegraft_daemon.engine.model.hub_tokenizer import HubTokenizer, read_json
    from treegraft_daemon.engine.model.mixture import Weights
    from treegraft_daemon.engine.model.prompt import end_tokens, formats
    from treegraft_daemon.engine.model.transformer import TransformerLaw

    config = read_json(folder / "config.json")
    network = _network(folder, config, precision, tell)
    tokenizer = HubTokenizer.load(folder, network.vocab_size)
    form = choose_format(network, tokenizer, formats(tokenizer))
    generation = folder / "generation_config.json"
    eos = _ids(config.get("eos_token_id")) + (
        _ids(read_json(generation).get("eos_token_id")) if generation.exists() else []
    )
    kind = type(network).__name__ + (" with copying" if copying else "")
    log.info("%s on %s by %s, asked in the order %s", name, network.device, kind, form.order)
    copies = copied.Copies(tokenizer, Weights.load(copied.WEIGHTS)) if copying else None
    return TransformerLaw(name, network, tokenizer, form, end_tokens(tokenizer, eos), copies)


def choose_format(network: Network, tokenizer: HubTokenizer, candidates: list[Format]) -> Format:
    """The candidate under which the true middles of a few snippets are most probable. Tokens do not tell the order."""
    import torch

    from treegraft_daemon.engine.model.prompt import arrange

    if len(candidates) == 1:
        return candidates[0]
    start, scores = monotonic(), []
    for form in candidates:
        score = 0.0
        for prefix, middle, suffix in PROBES:
            asked = form.start + arrange(form, tokenizer.read(tokenizer.lead + prefix), tokenizer.read(suffix))
            answer = tokenizer.read(middle)
            ids = torch.tensor(asked + answer, device=network.device)
            laws = network.all_logits(ids, len(answer) + 1)[:-1].float().log_softmax(-1)
            score += float(laws.gather(1, torch.tensor(answer, device=laws.device)[:, None]).sum())
        scores.append(score)
    best = max(range(len(candidates)), key=lambda number: scores[number])
    told = ", ".join(f"{form.order} {score:.1f}" for form, score in zip(candidates, scores, strict=True))
    log.info("order of prefix and suffix probed in %.0f ms: %s", (monotonic() - start) * 1000, told)
    return candidates[best]


def _network(
    folder: Path, config: Mapping[str, Any], precision: Precision = "auto", tell: Progress = unheard
) -> Network:
    """A decoder of our own if it knows all that the configuration asks for, else whatever transformers makes of it."""
    import torch

    from treegraft_daemon.engine.model.decoder import NotPlain, Shape
    from treegraft_daemon.engine.model.int8_network import fits, load_int8
    from treegraft_daemon.engine.model.network import load_plain, weight_files

    files = weight_files(folder)
    device, dtype = device_and_dtype(sum(file.stat().st_size for file in files))
    try:
        try:
            shape = Shape.from_config(config)
        except NotPlain as reason:
            log.info("%s goes by way of transformers: %s", folder, reason)
            return _by_transformers(folder, config, device, dtype)
        if device.type == "cpu" and precision == "auto" and fits(shape):
            return load_int8(folder, shape, tell)
        return load_plain(folder, shape, device, dtype, tell)
    except KeyError as error:
        raise ModelBroken(f"{folder / 'config.json'} lacks {error}") from error
    except (TypeError, ValueError, ZeroDivisionError) as error:
        raise ModelBroken(f"{folder / 'config.json'} has sizes that make no model") from error
    except torch.OutOfMemoryError as error:
        raise ModelBroken(f"{folder} does not fit into the memory of {device}") from error


def _by_transformers(folder: Path, config: Mapping[str, Any], device: torch.device, dtype: torch.dtype) -> Network:
    import torch

    from treegraft_daemon.engine.model.network import disagreement, joint_disagreement

    try:
        from treegraft_daemon.engine.model.hub_network import load_hub
    except ModuleNotFoundError as error:
        message = f'model type {config.get("model_type")!r} needs transformers: pip install "treegraft[models]"'
        raise ModelsNotInstalled(message) from error
    network = load_hub(folder, config, device, dtype)
    ids = [(7 * place) % min(network.vocab_size, 1000) for place in range(1, 25)]
    try:
        found = disagreement(network, ids)
    except torch.OutOfMemoryError:
        raise
    # What a model does that keeps another kind of state is not known beforehand; any failure means the same.
    except Exception as error:
        raise ModelBroken(f"{folder} keeps a state that cannot be taken back, as recurrent models do") from error
    tolerated = TOLERATED_EXACT if dtype == torch.float32 else TOLERATED_HALF
    if not found <= tolerated:
        raise ModelBroken(f"{folder} does not read on from where it was: its laws are {found:.3f} off")
    try:
        network.joins = joint_disagreement(network, ids) <= tolerated
    # As above; such a model serves one request after the other.
    except Exception as error:
        log.info("%s takes no rows of unequal lengths: %s", folder, error)
    return network


def device_and_dtype(n_bytes: int) -> tuple[torch.device, torch.dtype]:
    """Where and how precisely to run weights of so many bytes on disk."""
    import torch

    if torch.cuda.is_available():
        return torch.device("cuda"), torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    if torch.backends.mps.is_available():
        return torch.device("mps"), torch.float16
    wide = n_bytes < SMALL_BYTES or not _multiplies_bfloat16()
    return torch.device("cpu"), torch.float32 if wide else torch.bfloat16


def _multiplies_bfloat16() -> bool:
    """Whether this CPU has instructions for it; without them bfloat16 is slower than float32."""
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").split()
    except OSError:
        return False
    return bool({"avx512_bf16", "amx_bf16", "bf16"} & set(flags))


def _ids(found: Any) -> list[int]:
    return [idx for idx in (found if isinstance(found, list) else [found]) if isinstance(idx, int)]
