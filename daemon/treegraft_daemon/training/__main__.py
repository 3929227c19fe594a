"""`python -m treegraft_daemon.training`: from the registries to the embedded law, in one command.

Fetches, trains the tokenizer, counts and prunes, trains the network, fits the mixture and its tilt on dev packages, judges
on test packages, writes `engine/model/embedded/` with its card. Everything in between lies in the cache (--cache), outside the repository.
"""

from __future__ import annotations

import argparse
import random
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from treegraft_daemon.engine.model.embedded_network import Network
from treegraft_daemon.engine.model.linewise import LineTokenizer
from treegraft_daemon.engine.model.mixture import EMBEDDED, FAMILIES, SLOTS, MixtureLaw, Tables, Weights, load_embedded
from treegraft_daemon.engine.model.ngram import N_BUCKETS
from treegraft_daemon.training import card, corpus, counting, fitting, sources
from treegraft_daemon.training.corpus import SourceFile
from treegraft_daemon.training.holes import Hole, holes

# Holes to fit on per language; Python is asked for most.
FITTED = {"python": 5000, "javascript": 1500, "typescript": 1500, "tsx": 800, "go": 1500, "rust": 1500, "java": 1500,
          "c": 1000, "cpp": 1000, "json": 500, "bash": 0}  # fmt: skip

# The tilt is fitted on others, and more: on lines from their start, too, and on files that are being written, with nothing below.
TILTED_TIMES, TILTED_WHOLE_LINES, TILTED_UNFINISHED = 2, 0.2, 0.3

STEPS = ("count", "network", "fit", "tilt", "judge")
NETWORK_SECONDS = 9000  # on two cores; on a GPU a tenth of it goes farther
# About 25 MB in all, 4.5 more are the network; Python has most text and is asked for most.
TABLE_BYTES = {"python": 10_500_000, "javascript": 4_000_000, "go": 2_200_000, "rust": 2_200_000, "java": 2_000_000,
               "c": 2_600_000}  # fmt: skip


def main() -> None:
    """Run all steps, or those asked for."""
    parser = argparse.ArgumentParser(prog="python -m treegraft_daemon.training", description=__doc__.split("\n")[0])
    parser.add_argument("--cache", type=Path, default=Path(".cache/training"))
    parser.add_argument("--out", type=Path, default=EMBEDDED)
    parser.add_argument("--fetch-only", action="store_true", help="fill the cache and stop")
    parser.add_argument("--pin", action="store_true", help="fetch, write the versions found into packages.py, and stop")
    parser.add_argument(
        "--start-at",
        choices=STEPS,
        default=STEPS[0],
        help="keep what the steps before this one wrote (default: all anew)",
    )
    options = parser.parse_args()
    started = time.monotonic()

    def tell(what: str) -> None:
        print(f"[{time.monotonic() - started:5.0f} s] {what}", flush=True)

    tell("fetching packages")
    sources.prepare_apt(options.cache)
    packages = sources.fetch_all(sources.table(), options.cache)
    if options.pin:
        sources.pin(packages)
    if options.fetch_only or options.pin:
        return
    tell(f"reading {len(packages)} packages")
    parts = corpus.read(packages, options.cache)
    options.out.mkdir(parents=True, exist_ok=True)
    first = STEPS.index(options.start_at)
    if first <= STEPS.index("count"):
        tell("training the tokenizer")
        corpus.train_tokenizer(parts["train"], 60_000_000).save(str(options.out / "tokenizer.json"), pretty=False)
        tell("cutting the text into tokens")
        tokens = corpus.tokenize(parts["train"], options.out / "tokenizer.json")
        tell("counting and pruning")
        build_tables(tokens, TABLE_BYTES, corpus.VOCABULARY_SIZE).save(options.out)
        del tokens
    if first <= STEPS.index("network"):
        tell("training the network")
        train_network(parts, options.cache, options.out, NETWORK_SECONDS)
    if first <= STEPS.index("fit"):
        tell("fitting the weights")
        fit(parts["dev"], options.out)
    if first <= STEPS.index("tilt"):
        tell("fitting the tilt")
        fit_tilt(parts["dev"], options.out)
    tell("judging on test packages")
    (options.out / "CARD.md").write_text(card.write(load_embedded(options.out), parts, packages))
    tell("done")


def build_tables(tokens: dict[str, dict[str, NDArray[np.uint16]]], shares: dict[str, int], size: int) -> Tables:
    """The pruned tables of all families."""
    by_language: dict[str, list[NDArray[np.uint16]]] = {}
    for package in tokens.values():
        for language, ids in package.items():
            by_language.setdefault(language, []).append(ids)
    ngrams = {}
    for family, n_bytes in shares.items():
        print(f"  {family}", flush=True)
        # A package counts once per family, in whatever languages it is written.
        packages = [
            np.concatenate(parts)
            for package in tokens.values()
            if (parts := [package[language] for language in FAMILIES[family] if language in package])
        ]
        ngrams[family] = counting.table(packages, n_bytes)
    return Tables(counting.unigrams(by_language, size), ngrams, None)


def train_network(parts: dict[str, list[SourceFile]], cache: Path, folder: Path, seconds: float) -> None:
    """Pack the text into `cache` and write the network's weights into `folder`."""
    from treegraft_daemon.training import network, packing  # brings torch, which nothing else here wants

    packing.pack(parts, folder / "tokenizer.json", cache / "packed", 1)
    arguments = ["--data", str(cache / "packed" / "0"), "--out", str(folder), "--seconds", str(seconds)]
    network.train(network.options().parse_args(arguments))


def fit(files: list[SourceFile], folder: Path, n_holes: dict[str, int] | None = None) -> None:
    """Fit the weights of the tables in `folder` on these files, and write them there."""
    law = _law(folder, _unfitted())
    drawn: list[Hole] = []
    for language, n in (n_holes or FITTED).items():
        drawn += holes(files, language, n, seed=5, share_with_siblings=0.5)
    fitting.save(fitting.fit(fitting.gather(law, drawn)), folder / "weights.json")


def fit_tilt(
    files: list[SourceFile], folder: Path, n_holes: dict[str, int] | None = None, epochs: int | None = None
) -> None:
    """Fit the tilt of the mixture in `folder` on these files, and write it there."""
    from treegraft_daemon.training import tilting  # brings torch, which nothing else here wants

    law = _law(folder, Weights.load(folder / "weights.json"))
    drawn: list[Hole] = []
    for language, n in (n_holes or FITTED).items():
        drawn += holes(files, language, TILTED_TIMES * n, 31, share_with_siblings=0.6, whole_lines=TILTED_WHOLE_LINES)
    rng = random.Random(32)
    drawn = [
        replace(hole, context=replace(hole.context, suffix=b"")) if rng.random() < TILTED_UNFINISHED else hole
        for hole in sorted(drawn, key=lambda hole: hole.context.document)  # those of a package share what is read
    ]
    weights = tilting.fit(tilting.gather(law, drawn), epochs=epochs or tilting.EPOCHS)
    tilting.save(weights, folder / "tilt.npz")


def _law(folder: Path, weights: Weights) -> MixtureLaw:
    """What is in `folder`, without a tilt."""
    tokenizer = LineTokenizer.load(folder / "tokenizer.json")
    return MixtureLaw(tokenizer, Tables.load(folder), weights, network=Network.load(folder))


def _unfitted() -> Weights:
    return Weights({"any": np.full((len(SLOTS), N_BUCKETS), 0.25)})


if __name__ == "__main__":
    main()
