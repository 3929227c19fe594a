"""Does a suggestion's probability say how often it is right? `python tests/bench/reliability.py [--holes 150] [--write]`.

Takes the rests of lines out of packages that the embedded law never saw and asks for them unasked-for suggestions: one,
the most probable. Fits the calibration (see `Calibration`) on the packages for development, and shows on those for
testing, by length, how often suggestions of each probability are exactly what the author wrote, before and after; and
what a threshold would hide. `--write` writes the calibration beside the law, and table and plot into docs/ (the plot
wants matplotlib). The packages come from the training cache (`python -m treegraft_daemon.training --fetch-only`).
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from usefulness import ask

from treegraft_daemon.engine.model.law import Calibration
from treegraft_daemon.engine.model.loading import load
from treegraft_daemon.engine.model.mixture import EMBEDDED
from treegraft_daemon.training import corpus
from treegraft_daemon.training.holes import holes

DOCS = Path(__file__).parent.parent.parent / "docs"
LANGUAGES = ("python", "javascript", "typescript", "go", "rust", "java", "c", "cpp", "json")
LENGTHS = ((1, 3), (4, 6), (7, 12), (13, 64))
EDGES = np.array([0, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0])
THRESHOLDS = (0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5)


@dataclass(frozen=True, slots=True)
class Shown:
    """A suggestion, and whether it was what the author wrote."""

    log_probability: float
    n_tokens: int
    exact: bool


def shown(part: str, n_holes: int, seed: int, cache: Path) -> list[Shown]:
    files, law, found = corpus.read_part(part, cache), load("embedded"), []
    for language in LANGUAGES:
        for idx, hole in enumerate(holes(files, language, n_holes, seed, 1.0)):
            for item in ask(law, hole.context, idx):
                found.append(Shown(item.log_probability, item.n_tokens, hole.is_exact(item.text)))
    return found


def fitted(them: list[Shown]) -> Calibration:
    """Logistic regression by Newton's method; a little ridge keeps few data from extremes."""
    p = np.clip(np.exp([one.log_probability for one in them]), 1e-12, 1 - 1e-12)
    x = np.column_stack([np.ones(len(p)), np.log(p / (1 - p)), np.log([one.n_tokens for one in them])])
    y = np.array([one.exact for one in them], dtype=float)
    beta, centre = np.array([0.0, 1.0, 0.0]), np.array([0.0, 1.0, 0.0])
    for _ in range(50):
        q = 1 / (1 + np.exp(-x @ beta))
        gradient = x.T @ (y - q) - (beta - centre)
        hessian = (x.T * (q * (1 - q))) @ x + np.eye(3)
        beta = beta + np.linalg.solve(hessian, gradient)
    return Calibration(*(round(float(b), 4) for b in beta))


def chances(them: list[Shown], calibration: Calibration) -> NDArray[np.float64]:
    return np.array([calibration.probability(one.log_probability, one.n_tokens) for one in them])


def off_by(them: list[Shown], calibration: Calibration) -> float:
    """Expected calibration error: |said - true| averaged over bins, weighted by how much falls into each."""
    q, y = chances(them, calibration), np.array([one.exact for one in them])
    which = np.digitize(q, EDGES[1:-1])
    return float(sum(abs(q[which == b].sum() - y[which == b].sum()) for b in set(which.tolist())) / len(q))


def page(them: list[Shown], calibration: Calibration) -> Iterator[str]:
    y = np.array([one.exact for one in them])
    n_tokens = np.array([one.n_tokens for one in them])
    yield f"{len(them)} suggestions, {100 * y.mean():.1f} % of them exact.\n"
    yield "| tokens | suggestions | exact | said by the law | calibrated | error of the law | calibrated |"
    yield "|---|---|---|---|---|---|---|"
    for low, high in (*LENGTHS, (1, 64)):
        ones = [one for one, n in zip(them, n_tokens, strict=True) if low <= n <= high]
        plain, ours = chances(ones, Calibration()), chances(ones, calibration)
        yield (
            f"| {low}-{high} | {len(ones)} | {100 * np.mean([one.exact for one in ones]):.1f} % | {100 * plain.mean():.1f} % "
            f"| {100 * ours.mean():.1f} % | {off_by(ones, Calibration()):.3f} | {off_by(ones, calibration):.3f} |"
        )
    yield "\n| threshold | shown | of these exact | exact ones hidden |\n|---|---|---|---|"
    q = chances(them, calibration)
    for threshold in THRESHOLDS:
        kept = q >= threshold
        yield (
            f"| {threshold} | {100 * kept.mean():.0f} % | {100 * y[kept].mean():.1f} % "
            f"| {100 * (y & ~kept).sum() / y.sum():.1f} % |"
        )


def plot(them: list[Shown], calibration: Calibration, path: Path) -> None:
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "treegraft"
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 2, figsize=(9, 4.2), sharey=True)
    for axis, title, one in zip(
        axes, ("the law's probability", "calibrated"), (Calibration(), calibration), strict=True
    ):
        q, y = chances(them, one), np.array([it.exact for it in them])
        n_tokens = np.array([it.n_tokens for it in them])
        axis.plot([0, 1], [0, 1], color="grey", linewidth=0.8)
        for low, high in LENGTHS:
            of = (n_tokens >= low) & (n_tokens <= high)
            which = np.digitize(q, EDGES[1:-1])
            bins = [of & (which == b) for b in range(len(EDGES) - 1)]
            bins = [b for b in bins if b.sum() >= 8]
            axis.plot(
                [q[b].mean() for b in bins], [y[b].mean() for b in bins], marker="o", markersize=4,
                label=f"{low}-{high} tokens",
            )  # fmt: skip
        axis.set(xlabel=title, xlim=(0, 1), ylim=(0, 1))
    axes[0].set_ylabel("exactly what the author wrote")
    axes[1].legend(frameon=False)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--holes", type=int, default=150, help="per language and part")
    parser.add_argument("--seed", type=int, default=17)
    parser.add_argument("--cache", type=Path, default=Path(".cache/training"))
    parser.add_argument("--write", action="store_true", help="write calibration, docs/reliability.md and its plot")
    options = parser.parse_args()
    calibration = fitted(shown("dev", options.holes, options.seed, options.cache))
    them = shown("test", options.holes, options.seed, options.cache)
    lines = list(page(them, calibration))
    print(calibration, *lines, sep="\n")
    if options.write:
        (EMBEDDED / "calibration.json").write_text(json.dumps(asdict(calibration)) + "\n")
        command = f"python tests/bench/reliability.py --holes {options.holes} --write"
        head = [
            "# When to say nothing\n",
            f"Made by `{command}`. Rests of lines of packages that the embedded law never saw, one suggestion each; the",
            "calibration was fitted on other packages. `min_probability` is the threshold below which nothing is shown",
            "unasked.\n",
            "![reliability](reliability.svg)\n",
        ]
        (DOCS / "reliability.md").write_text("\n".join([*head, *lines]) + "\n")
        plot(them, calibration, DOCS / "reliability.svg")
    return 0


if __name__ == "__main__":
    sys.exit(main())
