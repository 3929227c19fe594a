"""A plain decoder for the Llama and Qwen2 family, in the order of its diagram.

Named and stored as on the hub (`config.json` and safetensors), so that a checkpoint loads without renaming and what is
trained here loads elsewhere. Imports torch, not transformers: that alone saves seconds at start.

    ids -> embed_tokens -> layers x (norm -> attention -> + ; norm -> mlp -> +) -> norm -> lm_head -> logits
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from treegraft_daemon.engine.model.kv_arena import Joined, Span


class NotPlain(Exception):
    """The configuration asks for something that this decoder does not do; says what."""


@dataclass(frozen=True, slots=True)
class Rope:
    """Rotary positions. factor 1 is the plain kind; `llama3` bends low frequencies only (Llama 3.1, `rope_type`)."""

    theta: float = 10000.0
    factor: float = 1.0
    llama3: tuple[float, float, int] | None = None  # low_freq_factor, high_freq_factor, original context

    def frequencies(self, dim: int) -> Tensor:
        """Radians per position of each pair, float32 [dim / 2]."""
        plain = self.theta ** -(torch.arange(0, dim, 2, dtype=torch.float32) / dim)
        if self.llama3 is None:
            return plain / self.factor
        low, high, context = self.llama3
        turns = context * plain / (2 * math.pi)  # within the original context
        kept = ((turns - low) / (high - low)).clamp(0, 1)
        return plain * (kept + (1 - kept) / self.factor)


@dataclass(frozen=True, slots=True)
class Shape:
    """The numbers of one model, as `config.json` has them."""

    vocab_size: int
    hidden_size: int
    intermediate_size: int
    n_layers: int
    n_heads: int
    n_kv_heads: int
    head_dim: int
    context: int
    rope: Rope
    norm_eps: float
    qkv_bias: bool
    o_bias: bool
    mlp_bias: bool
    tied: bool

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Shape:
        """From a `config.json`. Raises NotPlain for other families and for options that are not known here."""
        family = config.get("model_type")
        if family not in ("llama", "qwen2"):
            raise NotPlain(f"model type {family!r}")
        for option, plain in (("hidden_act", "silu"), ("partial_rotary_factor", 1.0)):
            if config.get(option, plain) != plain:
                raise NotPlain(f"{option} {config[option]!r}")
        if config.get("use_sliding_window") or config.get("quantization_config"):
            raise NotPlain("a sliding window or quantised weights")
        bias = bool(config.get("attention_bias", False))
        n_heads = config["num_attention_heads"]
        return cls(
            vocab_size=config["vocab_size"],
            hidden_size=config["hidden_size"],
            intermediate_size=config["intermediate_size"],
            n_layers=config["num_hidden_layers"],
            n_heads=n_heads,
            n_kv_heads=config.get("num_key_value_heads") or n_heads,
            head_dim=config.get("head_dim") or config["hidden_size"] // n_heads,
            context=config.get("max_position_embeddings", 2048),
            rope=_rope(config),
            norm_eps=config.get("rms_norm_eps", 1e-6),
            qkv_bias=family == "qwen2" or bias,
            o_bias=family == "llama" and bias,
            mlp_bias=family == "llama" and bool(config.get("mlp_bias", False)),
            tied=bool(config.get("tie_word_embeddings", False)),
        )


def _rope(config: Mapping[str, Any]) -> Rope:
    """transformers 5 writes `rope_parameters`, older ones `rope_theta` and `rope_scaling`."""
    found = config.get("rope_parameters") or config.get("rope_scaling") or {}
    theta = float(found.get("rope_theta") or config.get("rope_theta") or 10000.0)
    kind = found.get("rope_type") or found.get("type") or "default"
    if kind == "default":
        return Rope(theta)
    if kind == "linear":
        return Rope(theta, float(found["factor"]))
    if kind == "llama3":
        names = ("low_freq_factor", "high_freq_factor", "original_max_position_embeddings")
        return Rope(theta, float(found["factor"]), tuple(found[name] for name in names))
    raise NotPlain(f"rope type {kind!r}")


class Decoder(nn.Module):
    """ids [rows, n_tokens] -> logits [rows, n_tokens, vocab_size]."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.model = Body(shape)
        self.lm_head = nn.Linear(shape.hidden_size, shape.vocab_size, bias=False)
        if shape.tied:
            self.lm_head.weight = self.model.embed_tokens.weight

    def forward(self, ids: Tensor, span: Span | Joined | None = None) -> Tensor:
        """Logits after every token; with a span, after the last one only, [rows, vocab_size]."""
        hidden = self.model(ids, span)
        return self.lm_head(hidden if span is None else hidden[:, -1])


class Body(nn.Module):
    """All but the head."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self._shape = shape
        self._frequencies = torch.empty(0)
        self.embed_tokens = nn.Embedding(shape.vocab_size, shape.hidden_size)
        self.layers = nn.ModuleList(Layer(shape, number) for number in range(shape.n_layers))
        self.norm = Norm(shape)

    def forward(self, ids: Tensor, span: Span | Joined | None) -> Tensor:
        positions = _positions(span, ids.shape[1], ids.device)
        x = self.embed_tokens(ids)
        # Angles in float32: in half precision neighbouring positions are one from 2048 on.
        if self._frequencies.device != ids.device or not len(self._frequencies):
            self._frequencies = self._shape.rope.frequencies(self._shape.head_dim).to(ids.device)
        angles = (positions[..., None] * self._frequencies)[:, None]
        turn = angles.cos().to(x.dtype), angles.sin().to(x.dtype)  # each [rows or 1, 1, n_tokens, head_dim / 2]
        for layer in self.layers:
            x = layer(x, turn, span)
        return self.norm(x)


class Layer(nn.Module):
    """Attention, then a gated feed-forward; both read a normed copy and add to the stream."""

    def __init__(self, shape: Shape, number: int) -> None:
        super().__init__()
        self.input_layernorm = Norm(shape)
        self.self_attn = Attention(shape, number)
        self.post_attention_layernorm = Norm(shape)
        self.mlp = Mlp(shape)

    def forward(self, x: Tensor, turn: tuple[Tensor, Tensor], span: Span | Joined | None) -> Tensor:
        x = x + self.self_attn(self.input_layernorm(x), turn, span)
        return x + self.mlp(self.post_attention_layernorm(x))


class Attention(nn.Module):
    """Grouped queries: `n_heads` of them look at `n_kv_heads` keys."""

    def __init__(self, shape: Shape, number: int) -> None:
        super().__init__()
        self._number, self._dim = number, shape.head_dim
        q_size, kv_size = shape.n_heads * shape.head_dim, shape.n_kv_heads * shape.head_dim
        self.q_proj = nn.Linear(shape.hidden_size, q_size, bias=shape.qkv_bias)
        self.k_proj = nn.Linear(shape.hidden_size, kv_size, bias=shape.qkv_bias)
        self.v_proj = nn.Linear(shape.hidden_size, kv_size, bias=shape.qkv_bias)
        self.o_proj = nn.Linear(q_size, shape.hidden_size, bias=shape.o_bias)

    def forward(self, x: Tensor, turn: tuple[Tensor, Tensor], span: Span | Joined | None) -> Tensor:
        q, k, v = (self._heads(linear(x)) for linear in (self.q_proj, self.k_proj, self.v_proj))
        q, k = _turned(q, turn), _turned(k, turn)
        if span is None:
            n_shared = q.shape[1] // k.shape[1]
            k, v = k.repeat_interleave(n_shared, 1), v.repeat_interleave(n_shared, 1)
            out = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        else:
            span.store(self._number, k, v)
            out = span.attend(self._number, q)
        return self.o_proj(out.transpose(1, 2).flatten(2))

    def _heads(self, x: Tensor) -> Tensor:
        """[rows, n_tokens, heads * dim] -> [rows, heads, n_tokens, dim]."""
        return x.unflatten(-1, (-1, self._dim)).transpose(1, 2)


class Mlp(nn.Module):
    """SwiGLU."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(shape.hidden_size, shape.intermediate_size, bias=shape.mlp_bias)
        self.up_proj = nn.Linear(shape.hidden_size, shape.intermediate_size, bias=shape.mlp_bias)
        self.down_proj = nn.Linear(shape.intermediate_size, shape.hidden_size, bias=shape.mlp_bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class Norm(nn.Module):
    """RMSNorm; the mean of squares in float32."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(shape.hidden_size))
        self._eps = shape.norm_eps

    def forward(self, x: Tensor) -> Tensor:
        wide = x.float()
        return self.weight * (wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + self._eps)).to(x.dtype)


def _positions(span: Span | Joined | None, n_tokens: int, device: torch.device) -> Tensor:
    """Of the tokens, [1, n_tokens] where it is the same for all rows, else [rows, n_tokens]."""
    if not isinstance(span, Joined):
        start = 0 if span is None else span.start
        return torch.arange(start, start + n_tokens, device=device)[None]
    starts = torch.tensor([part.start for part in span.parts for _ in range(part.n_rows)], device=device)
    return starts[:, None] + torch.arange(n_tokens, device=device)


def _turned(x: Tensor, turn: tuple[Tensor, Tensor]) -> Tensor:
    """Rotary positions: dimension i and i + dim / 2 make a pair, turned by the angle of its token."""
    cos, sin = turn
    left, right = x.chunk(2, dim=-1)
    return torch.cat([left * cos - right * sin, right * cos + left * sin], dim=-1)
