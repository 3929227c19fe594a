"""What 8 bits cost a model on a CPU and what they bring: `python tests/bench/precision.py --model FOLDER`.

The same model with its weights as stored and rounded to 8 bits, over the same held-out files in turns: loss in bits per
byte of text, time of a decode step (median, one row and five), of reading 256 tokens, and how much of the memory's
bandwidth a step uses: bytes of the rounded weights per second of it, beside how fast this machine reads memory in the
same run. Exits 1 when rounding loses more than 0.01 bits per byte, or is not faster. The files come from
`python tests/sources.py`.
"""

from __future__ import annotations

import argparse
import math
import statistics
import sys
from pathlib import Path
from time import perf_counter

sys.path.insert(0, str(Path(__file__).parent.parent))  # the helpers of the tests, when run as a script

import torch

import sources
from treegraft_daemon.engine.model.int8_network import Int8Network
from treegraft_daemon.engine.model.kv_arena import Arena
from treegraft_daemon.engine.model.loading import load
from treegraft_daemon.engine.model.network import Network
from treegraft_daemon.engine.model.transformer import TransformerLaw

LANGUAGES = ("python", "javascript", "go", "rust", "java", "c")
N_TOKENS = 512
LOST = 0.01


def loss(network: Network, ids: torch.Tensor) -> float:
    """Bits of all tokens but the first."""
    laws = network.all_logits(ids)[:-1].float().log_softmax(-1)
    return -float(laws.gather(1, ids[1:, None]).sum()) / math.log(2)


def step_ms(network: Network, n_rows: int, n_steps: int = 40) -> float:
    """Median of decode steps after 256 tokens."""
    arena, ids = Arena(), list(range(300, 556))
    network.next_logits(torch.tensor([ids]), arena.read(ids))
    arena.fork(n_rows)
    times = []
    for _ in range(n_steps):
        start = perf_counter()
        network.next_logits(torch.full((n_rows, 1), 300), arena.append())
        times.append((perf_counter() - start) * 1000)
    return statistics.median(times)


def prefill_ms(network: Network, n_times: int = 5) -> float:
    """Median of reading 256 tokens after 256 others."""
    ids, times = list(range(300, 556)), []
    for _ in range(n_times):
        arena = Arena()
        network.next_logits(torch.tensor([ids]), arena.read(ids))
        start = perf_counter()
        network.next_logits(torch.tensor([ids]), arena.read(ids))
        times.append((perf_counter() - start) * 1000)
    return statistics.median(times)


def memory_gb_per_s(n_times: int = 7) -> float:
    """How fast all threads together read what is in no cache."""
    numbers, times = torch.ones(100_000_000), []
    for _ in range(n_times):
        start = perf_counter()
        numbers.sum()
        times.append(perf_counter() - start)
    return numbers.nbytes / min(times) / 1e9


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", required=True)
    parser.add_argument("--files", type=int, default=8, help="per language")
    options = parser.parse_args()
    laws = {name: load(options.model, precision=name) for name in ("full", "auto")}
    networks: dict[str, Network] = {}
    for name, law in laws.items():
        assert isinstance(law, TransformerLaw)
        networks[name] = law._network
    rounded = networks["auto"]
    if not isinstance(rounded, Int8Network):
        print("this model is not rounded on this machine")
        return 0
    bits, n_bytes = dict.fromkeys(networks, 0.0), 0
    for language in LANGUAGES:
        for path in sources.files(language, options.files):
            ids = list(laws["full"]._tokenizer.read(path.read_bytes()))[:N_TOKENS]
            n_bytes += len(laws["full"]._tokenizer.text(ids[1:]))
            for name, network in networks.items():
                bits[name] += loss(network, torch.tensor(ids))
    times = {name: (step_ms(one, 1), step_ms(one, 5), prefill_ms(one)) for name, one in networks.items()}
    print("| weights | bits per byte | ms per step | five rows | 256 tokens read |\n|---|---|---|---|---|")
    for name, row in times.items():
        print(f"| {name} | {bits[name] / n_bytes:.4f} | " + " | ".join(f"{ms:.1f}" for ms in row) + " |")
    size = sum(one.nbytes for one in rounded._matrices.values())
    used, there = size / times["auto"][0] / 1e6, memory_gb_per_s()
    print(
        f"{size / 1e6:.0f} MB of weights at {used:.1f} GB/s, {used / there:.0%} of {there:.1f} GB/s that memory gives"
    )
    lost = (bits["auto"] - bits["full"]) / n_bytes
    print(
        f"lost: {lost:+.5f} bits per byte of {n_bytes:,}; a step takes {times['auto'][0] / times['full'][0]:.2f} of the time"
    )
    return int(lost > LOST or times["auto"][0] >= times["full"][0])


if __name__ == "__main__":
    sys.exit(main())
