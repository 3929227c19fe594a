"""Any causal model of transformers behind the interface of `network.py`.

The model's own attention runs unchanged, so that windows, caps, sinks and biases of every architecture are as its
authors wrote them; only the memory behind it is our arena. That copies the prefix for each row in each step, which a
replaced attention would not, and in return needs no knowledge of the architecture. Code from a checkpoint is never run.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM, DynamicCache, PreTrainedModel
from transformers.cache_utils import DynamicLayer
from transformers.models.auto.configuration_auto import CONFIG_MAPPING
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING
from transformers.utils import logging as transformers_logging

from treegraft_daemon.engine.model.kv_arena import Joined, Span, parts_of
from treegraft_daemon.engine.model.network import chunk_on
from treegraft_daemon.errors import ModelBroken


class _SpanLayer(DynamicLayer):
    """One layer's memory as transformers sees it. What is not overridden is never reached in a forward pass.

    Rows of several arenas end together: the shorter ones begin with places that a mask hides.
    """

    def __init__(self, parts: Sequence[Span], layer: int) -> None:
        super().__init__()
        self._parts, self._layer = parts, layer

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        n_rows = [part.n_rows for part in self._parts]
        for part, k, v in zip(self._parts, key_states.split(n_rows), value_states.split(n_rows), strict=True):
            part.store(self._layer, k, v)
        keys, values = zip(*(part.whole(self._layer) for part in self._parts), strict=True)
        return _ending_together(keys), _ending_together(values)

    def get_seq_length(self, *args: Any) -> int:
        return max(part.start for part in self._parts)


def _ending_together(parts: Sequence[Tensor]) -> Tensor:
    """[rows, heads, tokens, dim] each, as one; zeros before the shorter ones."""
    longest = max(part.shape[2] for part in parts)
    padded = [F.pad(part, (0, 0, longest - part.shape[2], 0)) for part in parts]
    return padded[0] if len(padded) == 1 else torch.cat(padded)


class HubNetwork:
    """A model that transformers loaded."""

    joins = False  # set where the model was seen to do so rightly (`network.joint_disagreement`)

    def __init__(self, model: PreTrainedModel) -> None:
        self._model = model.eval()
        config = model.config.get_text_config()
        self.device = model.device
        self.chunk = chunk_on(self.device)
        self.context = int(getattr(config, "max_position_embeddings", 0) or getattr(config, "n_positions", 0) or 2048)
        self._n_layers = int(config.num_hidden_layers)
        self._takes = inspect.signature(model.forward).parameters.keys()
        # Rows may be longer than config.json and tokenizer say, and not every model shows its last layer.
        self.vocab_size = int(self.all_logits(torch.zeros(1, dtype=torch.long, device=self.device)).shape[-1])

    @torch.inference_mode()
    def next_logits(self, ids: Tensor, span: Span | Joined) -> Tensor:
        """See `Network`."""
        parts = parts_of(span)
        cache = DynamicCache()
        cache.layers = [_SpanLayer(parts, layer) for layer in range(self._n_layers)]
        options: dict[str, Any] = {"past_key_values": cache, "use_cache": True}
        starts = torch.tensor([part.start for part in parts for _ in range(part.n_rows)], device=ids.device)
        if "position_ids" in self._takes:
            options["position_ids"] = starts[:, None] + torch.arange(ids.shape[1], device=ids.device)
        if len(parts) > 1:
            longest = max(part.start for part in parts)
            places = torch.arange(longest + ids.shape[1], device=ids.device)
            options["attention_mask"] = (places >= longest - starts[:, None]).long()
        if "logits_to_keep" in self._takes:
            options["logits_to_keep"] = 1
        return self._model(ids, **options).logits[:, -1]

    @torch.inference_mode()
    def all_logits(self, ids: Tensor, n_last: int | None = None) -> Tensor:
        """See `Network`."""
        kept = n_last or len(ids)
        options = {"logits_to_keep": kept} if "logits_to_keep" in self._takes else {}
        return self._model(ids[None], use_cache=False, **options).logits[0, -kept:]


def load_hub(folder: Path, config: Mapping[str, Any], device: torch.device, dtype: torch.dtype) -> HubNetwork:
    """The model in `folder`. Raises ModelBroken for an unknown architecture or weights that do not fit it."""
    kind = config.get("model_type")
    if "auto_map" in config and kind not in CONFIG_MAPPING:
        raise ModelBroken(f"{folder} brings code of its own, which is never run; its model type is {kind!r}")
    if kind not in CONFIG_MAPPING or CONFIG_MAPPING[kind] not in MODEL_FOR_CAUSAL_LM_MAPPING:
        raise ModelBroken(f"model type {kind!r} of {folder} is no causal language model that this transformers knows")
    logging.getLogger("transformers").setLevel(logging.ERROR)
    transformers_logging.disable_progress_bar()  # the engine's log is no terminal
    try:
        model, report = AutoModelForCausalLM.from_pretrained(
            folder,
            config=AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False),
            dtype=dtype,
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
            output_loading_info=True,
        )
    # What transformers raises for a checkpoint that does not fit differs from one architecture to the next.
    except Exception as error:
        raise ModelBroken(f"transformers cannot load {folder}: {_first_line(error)}") from error
    if report["missing_keys"]:
        raise ModelBroken(f"the weights in {folder} lack {min(report['missing_keys'])}")
    try:
        return HubNetwork(model.to(device))
    except torch.OutOfMemoryError:
        raise
    # As above: what a forward pass of an unusual architecture raises is its own.
    except Exception as error:
        raise ModelBroken(f"{folder} loads but does not run: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
