"""Trains the embedded transformer, on two cores or on one GPU, for a given number of seconds.

    python -m treegraft_daemon.training.network --data FOLDER --out FOLDER --seconds 4200

Reads what `training.packing` wrote, all parts copied into one folder; writes int8 weights (three files) and what the
network says about the held-out holes. Two cores with bfloat16 go through 7,000 tokens a second with the small shape.
The weights that ship were trained four times, each time from what the last had written (`--start FOLDER --seed 4`):
five layers on 12 million tokens in windows of 448, on 30 million in these, then seven layers on 22 million, then on 32
million: 8 at the highest rate, where `--checkpoint` kept them, and 24 down from there (`--start FILE --steady 0 --seed 7`).
Llama's layout (RMSNorm, SwiGLU, rotary positions, grouped queries, tied embeddings), Muon for the matrices and AdamW for
the rest, a learning rate that falls to nothing over the second half. Half of the examples ask for the rest of a line, the
others for whole lines, blocks or a part of a line, or have no suffix; all tokens are learned, not the middle's alone, and
those that copying finds count a quarter. Needs torch and numpy, nothing else of this project.
"""

from __future__ import annotations

import argparse
import json
import lzma
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from treegraft_daemon.engine.model.window import CONTEXT, END, LANGUAGE, N_IDS, PREFIX, SUFFIX, SUFFIX_TOKENS

IGNORED = -100
CHECKED = 384  # rows of held-out packages
STEADY = 0.45  # of the time at the highest learning rate; then it falls to nothing
GROUP = 64  # weights that share a scale in what is written
LONGEST_SUFFIX = SUFFIX_TOKENS + 12
# What a token counts that copying finds: the mixture knows it already, and no room of the network is worth it.
COPIED = 0.25
# How often each language is drawn: by the root of its text, Python twice, since it is asked for most.
FAVOURED = {"python": 2.0}


@dataclass(frozen=True, slots=True)
class Shape:
    """Sizes; 4.4 million parameters by default: what two cores can train in an hour or two."""

    n_ids: int = N_IDS
    hidden: int = 192
    inner: int = 512
    n_layers: int = 7
    n_heads: int = 3
    n_kv_heads: int = 1
    theta: float = 10000.0
    eps: float = 1e-5

    @property
    def head_dim(self) -> int:
        """Of one head."""
        return self.hidden // self.n_heads


SHAPES = {
    "tiny": Shape(hidden=128, inner=256, n_layers=2, n_heads=2, n_kv_heads=1),
    "small": Shape(),
    "large": Shape(hidden=512, inner=1408, n_layers=10, n_heads=8, n_kv_heads=2),  # 32 million, for a GPU
}


class Layer(nn.Module):
    """Attention, then the gated network, each on what its norm gives."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        d, kv = shape.hidden, shape.n_kv_heads * shape.head_dim
        self.shape = shape
        self.attention_norm = nn.Parameter(torch.ones(d))
        self.mlp_norm = nn.Parameter(torch.ones(d))
        self.q, self.k, self.v = _matrix(d, d), _matrix(kv, d), _matrix(kv, d)
        self.o = nn.Parameter(torch.zeros(d, d))
        self.gate, self.up = _matrix(shape.inner, d), _matrix(shape.inner, d)
        self.down = nn.Parameter(torch.zeros(d, shape.inner))

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """[rows, n, hidden] to the same."""
        rows, n, d = x.shape
        shape = self.shape
        h = F.rms_norm(x, (d,), self.attention_norm.to(x.dtype), shape.eps)
        q = _turned(F.linear(h, self.q.to(h.dtype)).view(rows, n, shape.n_heads, -1), cos, sin)
        k = _turned(F.linear(h, self.k.to(h.dtype)).view(rows, n, shape.n_kv_heads, -1), cos, sin)
        v = F.linear(h, self.v.to(h.dtype)).view(rows, n, shape.n_kv_heads, -1)
        x = x + F.linear(attended(q, k, v), self.o.to(h.dtype))
        h = F.rms_norm(x, (d,), self.mlp_norm.to(x.dtype), shape.eps)
        inner = F.silu(F.linear(h, self.gate.to(h.dtype))) * F.linear(h, self.up.to(h.dtype))
        return x + F.linear(inner, self.down.to(h.dtype))


class Network(nn.Module):
    """ids [rows, n] to hidden states [rows, n, hidden]; the embedding is the head, too."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.embedding = nn.Parameter(torch.randn(shape.n_ids, shape.hidden) * 0.02)
        self.layers = nn.ModuleList(Layer(shape) for _ in range(shape.n_layers))
        self.norm = nn.Parameter(torch.ones(shape.hidden))
        angles = torch.outer(
            torch.arange(CONTEXT + 256).float(),
            shape.theta ** -(torch.arange(0, shape.head_dim, 2).float() / shape.head_dim),
        )
        self.register_buffer("cos", angles.cos(), persistent=False)
        self.register_buffer("sin", angles.sin(), persistent=False)

    def forward(self, ids: Tensor, dtype: torch.dtype) -> Tensor:
        """Hidden states in `dtype`, after the last norm."""
        n = ids.shape[1]
        x = self.embedding.to(dtype)[ids]
        cos, sin = self.cos[:n].to(dtype), self.sin[:n].to(dtype)
        for layer in self.layers:
            x = layer(x, cos, sin)
        return F.rms_norm(x, (x.shape[-1],), self.norm.to(dtype), self.shape.eps)

    def logits(self, hidden: Tensor) -> Tensor:
        """Of all ids, float32."""
        return F.linear(hidden, self.embedding.to(hidden.dtype)).float()


def _product_type(device: str) -> torch.dtype:
    """bfloat16 where the processor multiplies it: there a step takes three quarters of the time."""
    can: dict[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()  # older versions do not tell
    return torch.bfloat16 if device == "cuda" or can.get("avx512_bf16") or can.get("amx_bf16") else torch.float32


def _matrix(n_out: int, n_in: int) -> nn.Parameter:
    return nn.Parameter(torch.randn(n_out, n_in) * (0.5 / n_in**0.5))


def _turned(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary positions, halves as pairs (Llama's order). x: [rows, n, heads, head_dim]."""
    first, second = x.chunk(2, dim=-1)
    cos, sin = cos[:, None], sin[:, None]
    return torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1)


def attended(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Causal attention of q [rows, n, heads, head_dim] over k and v [rows, n, kv_heads, head_dim]; [rows, n, heads * head_dim].

    On a CPU with plain products: for such short rows torch's own kernel takes 29 % of a step, which is a fifth longer with it.
    """
    rows, n, n_heads, head_dim = q.shape
    shared = n_heads // k.shape[2]
    if q.is_cuda:
        k, v = (one.repeat_interleave(shared, dim=2) for one in (k, v))
        seen = F.scaled_dot_product_attention(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2), is_causal=True)
        return seen.transpose(1, 2).reshape(rows, n, -1)
    q = q.view(rows, n, -1, shared, head_dim).permute(0, 2, 3, 1, 4).reshape(rows, -1, shared * n, head_dim)
    scores = (q @ k.permute(0, 2, 3, 1)).view(rows, -1, shared, n, n).float() * head_dim**-0.5
    hidden = torch.ones(n, n, dtype=torch.bool).triu(1)
    shares = scores.masked_fill(hidden, -torch.inf).softmax(-1).to(v.dtype)
    seen = shares.view(rows, -1, shared * n, n) @ v.transpose(1, 2)
    return seen.view(rows, -1, n, head_dim).transpose(1, 2).reshape(rows, n, -1)


def surprise(hidden: Tensor, embedding: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
    """Mean nats of the targets that are not ignored, by their weights, given hidden states [rows, n, hidden]."""
    logits = F.linear(hidden, embedding.to(hidden.dtype)).float()
    nats = F.cross_entropy(
        logits.view(-1, logits.shape[-1]), targets.reshape(-1), ignore_index=IGNORED, reduction="none"
    )
    weights = torch.where(targets == IGNORED, 0.0, weights).reshape(-1)
    return (nats * weights).sum() / weights.sum()


class Muon:
    """Momentum orthogonalised by five Newton-Schulz steps (Jordan et al. 2024), for all matrices of a shape at once."""

    def __init__(self, matrices: list[nn.Parameter], momentum: float = 0.95, decay: float = 0.02) -> None:
        by_shape: dict[tuple[int, ...], list[nn.Parameter]] = {}
        for one in matrices:
            by_shape.setdefault(tuple(one.shape), []).append(one)
        self.groups = list(by_shape.values())
        self.momentum, self.decay = momentum, decay
        self.moments = [torch.zeros(len(group), *group[0].shape, device=group[0].device) for group in self.groups]

    @torch.no_grad()
    def step(self, rate: float) -> None:
        """One step at this learning rate."""
        for group, moment in zip(self.groups, self.moments, strict=True):
            gradient = torch.stack([one.grad for one in group])
            moment.lerp_(gradient, 1 - self.momentum)
            turned = orthogonal(gradient.lerp(moment, self.momentum))
            scale = max(1.0, turned.shape[-2] / turned.shape[-1]) ** 0.5
            torch._foreach_mul_(group, 1 - rate * self.decay)
            torch._foreach_add_(group, list((turned.float() * (-rate * scale)).unbind(0)))


def orthogonal(x: Tensor) -> Tensor:
    """The nearest orthogonal matrices, roughly: singular values end between 0.7 and 1.2."""
    x = x.bfloat16() if x.is_cuda else x
    tall = x.shape[-2] > x.shape[-1]
    if tall:
        x = x.mT
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(5):
        a = x @ x.mT
        x = 3.4445 * x + (-4.7750 * a + 2.0315 * a @ a) @ x
    return x.mT if tall else x


class Examples(torch.utils.data.IterableDataset):
    """Batches of (ids, targets, weights) without end: [rows, CONTEXT], drawn from documents with a hole in each."""

    def __init__(self, documents: dict[str, NDArray[np.uint16]], line_break: int, rows: int, seed: int) -> None:
        self.documents = documents
        self.line_break, self.rows, self.seed = line_break, rows, seed

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        worker = torch.utils.data.get_worker_info()
        rng = np.random.default_rng([self.seed, worker.id if worker else 0])
        languages = list(self.documents)
        weights = np.array([len(self.documents[name]) ** 0.7 * FAVOURED.get(name, 1.0) for name in languages])
        weights /= weights.sum()
        while True:
            ids = np.zeros((self.rows, CONTEXT + 1), dtype=np.int64)
            targets = np.full((self.rows, CONTEXT + 1), IGNORED, dtype=np.int64)
            for row in range(self.rows):
                filled = 0
                while CONTEXT + 1 - filled > 64:
                    language = languages[rng.choice(len(languages), p=weights)]
                    example, learned = self.example(language, CONTEXT + 1 - filled, rng)
                    ids[row, filled : filled + len(example)] = example
                    targets[row, filled : filled + len(example)] = np.where(learned, example, IGNORED)
                    filled += len(example)
            counts = np.where(copied(ids), np.float32(COPIED), np.float32(1))
            yield torch.from_numpy(ids[:, :-1]), torch.from_numpy(targets[:, 1:]), torch.from_numpy(counts[:, 1:])

    def example(
        self, language: str, room: int, rng: np.random.Generator
    ) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """One example of at most `room` ids, and which of them are to be predicted."""
        tokens = self.documents[language]
        at = int(rng.integers(1, len(tokens) - 2))
        if rng.random() < 0.12:  # no suffix
            start, is_start = self._start(tokens, at, room // 2)
            text = tokens[start : start + room - 2]
            text = text[: 1 + self._first_end(text[1:])] if len(text) > 1 else text
            ids = np.concatenate([[LANGUAGE[language], PREFIX], text])
            learned = np.ones(len(ids), dtype=bool)
            learned[:3] = False
            learned[2] = not is_start
            return ids, learned
        first, last = self._hole(tokens, at, rng)
        n_after = int(rng.integers(1, LONGEST_SUFFIX)) if rng.random() < 0.6 else LONGEST_SUFFIX - 12
        n_after = min(n_after, room // 3)
        after = tokens[last : last + n_after]
        ended = self._first_end(after)
        # An END closes a suffix that reaches the end of its document.
        suffix = np.append(after[:ended], END) if ended < len(after) else after
        middle = tokens[first:last][: room // 3]
        start, is_start = self._start(tokens, first, room - len(suffix) - len(middle) - 4)
        ids = np.concatenate([[LANGUAGE[language], SUFFIX], suffix, [PREFIX], tokens[start:first], middle, [END]])
        learned = np.ones(len(ids), dtype=bool)
        learned[:3] = False
        learned[2 + len(suffix)] = False
        learned[3 + len(suffix)] = not is_start
        if last - first > len(middle):  # a middle cut short does not end here
            ids, learned = ids[:-1], learned[:-1]
        return ids, learned

    def _start(self, tokens: NDArray[np.uint16], at: int, room: int) -> tuple[int, bool]:
        """Where a prefix of at most `room` tokens before `at` begins, and whether its document begins there."""
        low = max(at - max(room, 1), 0)
        ends = np.flatnonzero(tokens[low:at] == END)
        return (low + int(ends[-1]), True) if len(ends) else (low, False)

    def _first_end(self, tokens: NDArray[np.uint16]) -> int:
        ends = np.flatnonzero(tokens == END)
        return int(ends[0]) if len(ends) else len(tokens)

    def _hole(self, tokens: NDArray[np.uint16], at: int, rng: np.random.Generator) -> tuple[int, int]:
        """[first, last) around `at`: to the end of the line, of a later line, within the line, or whole lines."""
        near = tokens[max(at - 200, 0) : at + 400]
        here = min(at, 200)
        breaks = np.flatnonzero((near == self.line_break) | (near == END))
        before = breaks[breaks < here]
        after = breaks[breaks >= here]
        offset = at - here
        line_start = int(before[-1]) + 1 if len(before) else 0
        kind = rng.random()
        n_lines = 1 if kind < 0.62 else int(rng.integers(2, 8))
        end = int(after[min(n_lines, len(after)) - 1]) if len(after) else len(near)
        # No hole reaches over the end of a document.
        ends = after[near[after] == END]
        end = min(end, int(ends[0])) if len(ends) else end
        if kind < 0.5 or 0.62 <= kind < 0.82:  # from the middle of a line
            return at, max(offset + end, at)
        if kind < 0.62 or kind >= 0.92:  # from the line's start
            return min(offset + line_start, at), max(offset + end, at)
        length = int(rng.integers(1, max(2, min(end - here, 24))))
        return at, min(at + length, max(offset + end, at))


def copied(ids: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Of each token of the rows, whether it followed when the two tokens before it were seen last in its row."""
    found = np.zeros(ids.shape, dtype=bool)
    for row, tokens in enumerate(ids.tolist()):
        last: dict[tuple[int, int], int] = {}
        for at in range(2, len(tokens)):
            before = tokens[at - 2], tokens[at - 1]
            found[row, at] = last.get(before) == tokens[at]
            last[before] = tokens[at]
    return found


def read_documents(folder: Path, prefix: str) -> dict[str, NDArray[np.uint16]]:
    """Tokens by language from all files `prefix`*.xz, each "<anything>-<language>.xz", little-endian uint16."""

    def one(path: Path) -> tuple[str, NDArray[np.uint16]]:
        return path.stem.rsplit("-", 1)[1], np.frombuffer(lzma.decompress(path.read_bytes()), dtype="<u2")

    with ThreadPoolExecutor(16) as pool:
        found: dict[str, list[NDArray[np.uint16]]] = {}
        for language, tokens in pool.map(one, sorted(folder.glob(f"{prefix}*.xz"))):
            found.setdefault(language, []).append(tokens)
    return {language: np.concatenate(parts) for language, parts in found.items()}


def rate_at(done: float, steady: float = STEADY) -> float:
    """The share of the highest learning rate at this share of the run: it rises, holds until `steady`, and falls."""
    falling = (1 - done) / (1 - steady) if done > steady else 1.0
    return max(min(done / 0.01, falling), 0.0)


def judge(network: Network, holes: Path, device: str) -> dict[str, NDArray[np.float32]]:
    """For every target of the prepared holes: log p of the truth, the highest p, its token, the entropy.

    Where END means a line break (the suffix begins with one), its mass counts as the break's; marks are left out.
    """
    with np.load(holes) as arrays:
        ids, targets, breaks = arrays["ids"], arrays["targets"], arrays["ends_line"]
        line_break = int(arrays["line_break"])
    found: dict[str, list[NDArray[np.float32]]] = {name: [] for name in ("logp", "top", "best", "entropy")}
    with torch.no_grad():
        for low in range(0, len(ids), 32):
            batch = torch.from_numpy(ids[low : low + 32].astype(np.int64)).to(device)
            wanted = torch.from_numpy(targets[low : low + 32].astype(np.int64)).to(device)
            logits = network.logits(network(batch, torch.float32))
            rows, places = (wanted >= 0).nonzero(as_tuple=True)
            p = logits[rows, places][:, : PREFIX - 1].softmax(-1)
            ends = torch.from_numpy(breaks[low : low + 32]).to(device)[rows]
            p[:, line_break] += torch.where(ends, p[:, END], 0)
            p[:, END] = torch.where(ends, 1e-9, p[:, END])
            truth = p.gather(1, wanted[rows, places][:, None])[:, 0]
            top, best = p.max(-1)
            entropy = -(p * p.clamp_min(1e-12).log()).sum(-1)
            for name, one in (("logp", truth.log()), ("top", top), ("best", best), ("entropy", entropy)):
                found[name].append(one.float().cpu().numpy())
    return {name: np.concatenate(parts) for name, parts in found.items()}


def quantised(weights: Tensor) -> tuple[NDArray[np.int8], NDArray[np.float16]]:
    """int8 and a scale for each GROUP of a row."""
    groups = weights.float().view(weights.shape[0], -1, GROUP)
    scales = (groups.abs().amax(-1, keepdim=True) / 127).clamp_min(1e-8).half()
    rounded = (groups / scales.float()).round().clamp(-127, 127)
    return rounded.to(torch.int8).view(weights.shape).cpu().numpy(), scales[..., 0].cpu().numpy()


def save(network: Network, folder: Path, n_files: int = 3) -> None:
    """int8 matrices, float32 norms, in files of about equal size; loads the rounded weights into the network."""
    pieces: list[dict[str, NDArray[np.generic]]] = [{} for _ in range(n_files)]
    for name, one in network.named_parameters():
        smallest = min(pieces, key=lambda piece: sum(array.nbytes for array in piece.values()))
        if one.ndim == 1:
            smallest[name] = one.detach().float().cpu().numpy()
            continue
        smallest[name], smallest[f"{name}.scales"] = quantised(one.detach())
    for place, piece in enumerate(pieces):
        np.savez(folder / f"network-{place}.npz", **piece)  # type: ignore[arg-type]
    load(network, folder)


def load(network: Network, folder: Path) -> None:
    """The weights that `save` wrote, of as many layers or of fewer. Raises KeyError where there are none for this width.

    A layer too many begins as the one below it, but nothing comes out of it yet: the network says what the smaller one
    said (stacking, Du et al. 2024, with the outputs at zero).
    """
    stored: dict[str, NDArray[np.generic]] = {}
    for path in sorted(folder.glob("network-*.npz")):
        with np.load(path) as arrays:
            stored.update(arrays)
    n_stored = len({name.split(".")[1] for name in stored if name.startswith("layers.")})
    n_layers = len(network.layers)
    origins = [layer * n_stored // n_layers for layer in range(n_layers)]
    for name, one in network.named_parameters():
        _, layer, part = name.split(".") if name.startswith("layers.") else ("", "0", name)
        origin = origins[int(layer)]
        source = f"layers.{origin}.{part}" if part != name else name
        weights = stored[source].astype(np.float32)
        if one.ndim == 2:
            groups = weights.reshape(one.shape[0], -1, GROUP)
            weights = (groups * stored[f"{source}.scales"][..., None].astype(np.float32)).reshape(one.shape)
        if part in ("o", "down") and origin in origins[: int(layer)]:
            weights = np.zeros_like(weights)
        with torch.no_grad():
            one.copy_(torch.from_numpy(weights))


def main() -> None:
    """Train until the time is over, then judge and write."""
    train(options().parse_args())


def options() -> argparse.ArgumentParser:
    """Of the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    length = parser.add_mutually_exclusive_group(required=True)
    length.add_argument("--seconds", type=float, help="from the first step to the last")
    length.add_argument("--steps", type=int, help="as many, however long they take")
    parser.add_argument("--rows", type=int, default=12, help="examples per step; 96 on a GPU")
    parser.add_argument("--workers", type=int, default=1, help="processes that draw examples; 13 on a GPU")
    parser.add_argument("--rate", type=float, default=0.02)
    parser.add_argument("--shape", choices=SHAPES, default="small")
    parser.add_argument("--checkpoint", type=Path, help="written when the learning rate begins to fall")
    parser.add_argument("--start", type=Path, help="a checkpoint to go on from, or a folder with written weights")
    parser.add_argument(
        "--steady", type=float, default=STEADY, metavar="SHARE",
        help="of the run at the highest learning rate; 0 from a checkpoint, which has stood there already",
    )  # fmt: skip
    parser.add_argument("--seed", type=int, default=1, help="of the examples drawn: another one where training goes on")
    return parser


def train(options: argparse.Namespace) -> None:
    """The whole run."""
    started = time.monotonic()

    def tell(what: str) -> None:
        print(f"[{time.monotonic() - started:5.0f} s] {what}", flush=True)

    device = "cuda" if torch.cuda.is_available() else "cpu"
    dtype = _product_type(device)
    torch.manual_seed(0)
    torch.set_float32_matmul_precision("high")
    line_break = json.loads((options.data / "meta.json").read_text())["line_break"]
    documents = read_documents(options.data, "train")
    held_out = read_documents(options.data, "dev")
    tell(f"{sum(map(len, documents.values())) / 1e6:.1f} M tokens: "
         + ", ".join(f"{name} {len(one) / 1e6:.1f}" for name, one in documents.items()))  # fmt: skip
    shape = SHAPES[options.shape]
    network = Network(shape).to(device)
    tell(f"{sum(one.numel() for one in network.parameters()) / 1e6:.1f} M parameters")
    matrices = [one for name, one in network.named_parameters() if one.ndim == 2 and name != "embedding"]
    others = [one for name, one in network.named_parameters() if one.ndim == 1]
    muon = Muon(matrices)
    adam = torch.optim.AdamW(
        [{"params": [network.embedding], "base": 3e-3}, {"params": others, "base": 3e-3}],
        lr=3e-3, betas=(0.9, 0.95), weight_decay=0.0, fused=device == "cuda",
    )  # fmt: skip
    loader = iter(torch.utils.data.DataLoader(
        Examples(documents, line_break, options.rows, options.seed), batch_size=None, num_workers=options.workers,
        pin_memory=device == "cuda", prefetch_factor=6 if options.workers else None,
    ))  # fmt: skip
    checking = iter(Examples(held_out, line_break, 8, 2))  # the same, however many rows a step has
    checks = [next(checking) for _ in range(CHECKED // 8)]
    if device == "cuda":  # layer by layer: one layer is compiled and serves for all
        for layer in network.layers:
            layer.compile()
        head = torch.compile(surprise)

        def loss_of(ids: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
            return head(network(ids, dtype), network.embedding, targets, weights)
    else:
        loss_of = torch.compile(
            lambda ids, *told: surprise(network(ids, dtype), network.embedding, *told), dynamic=False
        )

    def check() -> float:
        with torch.no_grad():
            losses = [
                surprise(
                    network(ids.to(device), torch.float32),
                    network.embedding,
                    targets.to(device),
                    torch.ones(1, device=device),
                )
                for ids, targets, _ in checks
            ]
        return float(torch.stack(losses).mean())

    if options.start and options.start.is_dir():
        load(network, options.start)
    elif options.start:
        kept = torch.load(options.start, map_location=device)
        network.load_state_dict(kept["network"])
        adam.load_state_dict(kept["adam"])
        muon.moments = kept["moments"]
    if options.start:
        tell(f"starts at {check():.4f} nats on held-out packages")
    loss_of(*(one.to(device) for one in next(loader))).backward()
    network.zero_grad(set_to_none=True)
    orthogonal(torch.randn(2, 64, 64, device=device))
    tell("compiled")
    first, step = time.monotonic(), 0
    told, losses = first, []
    while True:
        now = time.monotonic()
        done = step / options.steps if options.steps else (now - first) / options.seconds
        if done >= 1:
            break
        if options.checkpoint and done >= options.steady:
            kept = {"network": network.state_dict(), "adam": adam.state_dict(), "moments": muon.moments}
            torch.save(kept, options.checkpoint)
            options.checkpoint = None
        loss = loss_of(*(one.to(device, non_blocking=True) for one in next(loader)))
        loss.backward()
        share = rate_at(done, options.steady)
        nn.utils.clip_grad_norm_([*others, network.embedding], 1.0)
        muon.step(options.rate * share)
        for group in adam.param_groups:
            group["lr"] = group["base"] * share
        adam.step()
        network.zero_grad(set_to_none=True)
        step += 1
        losses.append(loss.detach())
        if step % 10 == 0:
            # The host may not run ahead: the clock decides over the learning rate.
            losses[-5].item() if len(losses) >= 5 else None
        if now - told > 20 or step in (20, 50, 100):
            mean = float(torch.stack(losses).mean())
            rate = step * options.rows * CONTEXT / (time.monotonic() - first)
            tell(f"step {step}: {mean:.3f} nats, {rate / 1e3:.0f} k tokens/s, {done:.0%}, rate {share:.2f}")
            told, losses = now, []
    tell(f"{step} steps, {step * options.rows * CONTEXT / 1e6:.0f} M tokens; {check():.4f} nats on held-out packages")
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "shape.json").write_text(json.dumps(asdict(shape)))
    save(network, options.out)
    tell(f"written; {check():.4f} nats with rounded weights")
    for holes in sorted(options.data.glob("holes-*.npz")):
        found = judge(network, holes, device)
        np.savez(options.out / holes.name, **found)  # type: ignore[arg-type]
        tell(f"{holes.stem}: {-found['logp'].mean():.3f} nats per token of {len(found['logp'])}")


if __name__ == "__main__":
    main()
