"""What one step of the sampler costs on whole laws: milliseconds and checks, over laws and shares of accepted tokens.

.venv/bin/python tests/bench/sampler.py [--size 150000] [--runs 60]
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from treegraft_daemon.engine.sampler import sample


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=150_000)
    parser.add_argument("--runs", type=int, default=60)
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    print(f"{options.size} tokens; median (least) milliseconds, mean checks, accepted mass and mean weight")
    for name, law in laws(options.size, rng).items():
        for share in (1.0, 0.5, 0.01):
            fits = rng.random(options.size) < share
            print(f"{name:8} {share:5.0%}  {measured(law, fits, options.runs, rng)}")


def laws(size: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    zipf = rng.permutation(np.arange(1, size + 1) ** -1.1)
    peaked = np.full(size, 0.1 / (size - 1))
    peaked[size // 2] = 0.9
    skewed = np.exp(rng.normal(scale=3.0, size=size))
    skewed[0] = skewed.sum() * 1.6
    found = {"zipf": zipf, "peaked": peaked, "skewed": skewed, "uniform": np.ones(size)}
    return {name: np.log(p / p.sum()).astype(np.float32) for name, p in found.items()}


def measured(law: np.ndarray, fits: np.ndarray, runs: int, rng: np.random.Generator) -> str:
    times, weights, n_checks = [], [], 0

    def accept(token: int) -> bool:
        nonlocal n_checks
        n_checks += 1
        return bool(fits[token])

    for _ in range(runs):
        start = time.perf_counter()
        _, log_weight = sample(law, accept, rng)
        times.append((time.perf_counter() - start) * 1000)
        weights.append(np.exp(log_weight))
    mass = np.exp(law.astype(np.float64))[fits].sum()
    return (
        f"{np.median(times):7.2f} ({min(times):.2f}) ms  {n_checks / runs:7.1f} checks"
        f"  Z {mass:.4f}  weight {np.mean(weights):.4f}"
    )


if __name__ == "__main__":
    main()
