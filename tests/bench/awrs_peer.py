"""One sampler step beside the one of the paper's authors: `python tests/bench/awrs_peer.py --peer PATH/python`.

PATH is the interpreter of an environment with genlm-control (`pip install genlm-control==0.4.1 torch`). Both draw a token
that a table of booleans accepts, properly weighted, from one row of a whole law: ours from the row (`sample`), theirs by
`AWRS.sample` over two potentials that copy the row and look the boolean up. Same laws, in turns, one thread; the times
are of the calling thread's processor, medians, in milliseconds. Weights are compared too: both must average to the mass
that is accepted.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

Row = np.ndarray[Any, Any]


def ours(law: Row, fits: Row) -> Callable[[], tuple[float, int]]:
    from treegraft_daemon.engine.sampler import sample

    rng = np.random.default_rng(1)

    def run() -> tuple[float, int]:
        n_checks = 0

        def accept(token: int) -> bool:
            nonlocal n_checks
            n_checks += 1
            return bool(fits[token])

        return float(np.exp(sample(law, accept, rng)[1])), n_checks

    return run


def theirs(law: Row, fits: Row) -> Callable[[], tuple[float, int]]:
    import asyncio

    import torch
    from genlm.control import AWRS, Potential

    torch.set_num_threads(1)
    names = [n.to_bytes(3, "big") for n in range(len(law))]
    row = np.append(law, np.float32(-np.inf))  # no end of the sequence
    n_checks = 0

    class Model(Potential):  # type: ignore[misc, no-any-unimported, unused-ignore]
        async def complete(self, context: list[bytes]) -> float:
            return float("-inf")

        async def prefix(self, context: list[bytes]) -> float:
            return 0.0

        async def logw_next(self, context: list[bytes]) -> Any:
            return self.make_lazy_weights(row.copy())

    class Condition(Potential):  # type: ignore[misc, no-any-unimported, unused-ignore]
        async def complete(self, context: list[bytes]) -> float:
            return float("-inf")

        async def prefix(self, context: list[bytes]) -> float:
            nonlocal n_checks
            if not context:
                return 0.0
            n_checks += 1
            return 0.0 if fits[int.from_bytes(context[-1], "big")] else float("-inf")

    sampler = AWRS(Model(names), Condition(names), seed=1)
    loop = asyncio.new_event_loop()

    def run() -> tuple[float, int]:
        nonlocal n_checks
        n_checks = 0
        _, log_weight, _ = loop.run_until_complete(sampler.sample([]))
        return float(np.exp(log_weight)), n_checks

    return run


def serve(side: str, path: Path) -> int:
    """Reads "law share runs" lines; answers each with times, weights and checks as JSON."""
    with np.load(path) as stored:
        rows = dict(stored)
    makers: dict[str, Callable[[Row, Row], Callable[[], tuple[float, int]]]] = {"ours": ours, "theirs": theirs}
    prepared: dict[str, Callable[[], tuple[float, int]]] = {}
    for line in sys.stdin:
        question = json.loads(line)
        key = f"{question['law']}|{question['share']}"
        if key not in prepared:
            prepared[key] = makers[side](rows[question["law"]], rows[f"fits {question['share']}"])
            prepared[key]()
        times, weights, checks = [], [], []
        for _ in range(question["runs"]):
            began = time.thread_time()
            weight, n_checks = prepared[key]()
            times.append(1000 * (time.thread_time() - began))
            weights.append(weight)
            checks.append(n_checks)
        print(json.dumps({"times": times, "weights": weights, "checks": checks}), flush=True)
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--peer", help="an interpreter with genlm-control")
    parser.add_argument("--size", type=int, default=150_000)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--runs", type=int, default=10, help="per round")
    parser.add_argument("--side", choices=("ours", "theirs"), help=argparse.SUPPRESS)
    parser.add_argument("--rows", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        return serve(options.side, options.rows)
    if not options.peer:
        parser.error("--peer is needed")
    from sampler import laws  # not for the peer's interpreter, which has no treegraft

    rng = np.random.default_rng(2)
    compared = laws(options.size, rng)
    rows: dict[str, Row] = dict(compared)
    shares = (1.0, 0.5, 0.01)
    rows |= {f"fits {share}": rng.random(options.size) < share for share in shares}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "rows.npz")
        np.savez(path, allow_pickle=False, **rows)
        sides = {
            side: subprocess.Popen(
                [interpreter, __file__, "--side", side, "--rows", str(path)],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            )
            for side, interpreter in (("ours", sys.executable), ("theirs", options.peer))
        }  # fmt: skip
        print(f"{options.size} tokens; milliseconds of processor per step: median (least); mean checks; mean weight\n")
        print("| law | accepted | mass | ours | theirs | ratio | checks | checks | weight | weight |")
        print("|---|---|---|---|---|---|---|---|---|---|", flush=True)
        for law in compared:
            for share in shares:
                found: dict[str, dict[str, list[float]]] = {}
                for _ in range(options.rounds):
                    for side, process in sides.items():
                        assert process.stdin and process.stdout
                        question = {"law": law, "share": share, "runs": options.runs}
                        process.stdin.write(json.dumps(question) + "\n")
                        process.stdin.flush()
                        for key, values in json.loads(process.stdout.readline()).items():
                            found.setdefault(side, {}).setdefault(key, []).extend(values)
                mass = np.exp(rows[law].astype(float))[rows[f"fits {share}"]].sum()
                a, b = found["ours"], found["theirs"]
                print(
                    f"| {law} | {share:.0%} | {mass:.4f} "
                    f"| {np.median(a['times']):.2f} ({min(a['times']):.2f}) | {np.median(b['times']):.2f} ({min(b['times']):.2f}) "
                    f"| {np.median(b['times']) / np.median(a['times']):.1f} "
                    f"| {np.mean(a['checks']):.1f} | {np.mean(b['checks']):.1f} "
                    f"| {np.mean(a['weights']):.4f} | {np.mean(b['weights']):.4f} |",
                    flush=True,
                )
        for process in sides.values():
            process.kill()
            process.wait()
    return 0


if __name__ == "__main__":
    sys.exit(main())
