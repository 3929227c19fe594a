"""`python -m treegraft_daemon.training`: from the registries to the embedded law, in one command.

Fetches, trains the tokenizer, counts and prunes, fits the mixture on dev packages, judges on test packages, writes
`engine/model/embedded/` with its card. Everything in between lies in the cache (--cache), outside the repository.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from treegraft_daemon.engine.model.linewise import LineTokenizer
from treegraft_daemon.engine.model.mixture import EMBEDDED, SLOTS, MixtureLaw, Weights, load_embedded
from treegraft_daemon.engine.model.ngram import N_BUCKETS, NgramTable
from treegraft_daemon.training import card, corpus, counting, fitting, sources
from treegraft_daemon.training.corpus import SourceFile
from treegraft_daemon.training.holes import Hole, holes

# Holes to fit on per language; Python is asked for most.
FITTED = {"python": 5000, "javascript": 1500, "typescript": 1500, "tsx": 800, "go": 1500, "rust": 1500, "java": 1500,
          "c": 1000, "cpp": 1000, "json": 500, "bash": 0}  # fmt: skip


def main() -> None:
    """Run all steps, or those asked for."""
    parser = argparse.ArgumentParser(prog="python -m treegraft_daemon.training", description=__doc__.split("\n")[0])
    parser.add_argument("--cache", type=Path, default=Path(".cache/training"))
    parser.add_argument("--out", type=Path, default=EMBEDDED)
    parser.add_argument("--table-bytes", type=int, default=12_000_000)
    parser.add_argument("--fetch-only", action="store_true", help="fill the cache and stop")
    parser.add_argument("--fit-only", action="store_true", help="keep the tokenizer and the table that are there")
    options = parser.parse_args()
    started = time.monotonic()

    def tell(what: str) -> None:
        print(f"[{time.monotonic() - started:5.0f} s] {what}", flush=True)

    tell("fetching packages")
    sources.prepare_apt(options.cache)
    packages = sources.fetch_all(sources.table(), options.cache)
    if options.fetch_only:
        return
    tell(f"reading {len(packages)} packages")
    parts = corpus.read(packages, options.cache)
    options.out.mkdir(parents=True, exist_ok=True)
    if not options.fit_only:
        tell("training the tokenizer")
        corpus.train_tokenizer(parts["train"], 60_000_000).save(str(options.out / "tokenizer.json"), pretty=False)
        tell("cutting the text into tokens")
        tokens = corpus.tokenize(parts["train"], options.out / "tokenizer.json")
        tell("counting and pruning")
        build_table(tokens, options.table_bytes).save(options.out / "ngram.npz")
        del tokens
    tell("fitting the weights")
    fit(parts["dev"], options.out)
    tell("judging on test packages")
    (options.out / "CARD.md").write_text(card.write(load_embedded(options.out), parts, packages))
    tell("done")


def build_table(tokens: dict[str, dict[str, NDArray[np.uint16]]], n_bytes: int) -> NgramTable:
    """The pruned table of all packages."""
    by_language: dict[str, list[NDArray[np.uint16]]] = {}
    for package in tokens.values():
        for language, ids in package.items():
            by_language.setdefault(language, []).append(ids)
    laws = counting.unigrams(by_language, corpus.VOCABULARY_SIZE)
    return counting.table([np.concatenate(list(package.values())) for package in tokens.values()], laws, n_bytes)


def fit(files: list[SourceFile], folder: Path, n_holes: dict[str, int] | None = None) -> None:
    """Fit the weights of the tables in `folder` on these files, and write them there."""
    law = MixtureLaw(LineTokenizer.load(folder / "tokenizer.json"), NgramTable.load(folder / "ngram.npz"), _unfitted())
    drawn: list[Hole] = []
    for language, n in (n_holes or FITTED).items():
        drawn += holes(files, language, n, seed=5, share_with_siblings=0.5)
    fitting.save(fitting.fit(fitting.gather(law, drawn)), folder / "weights.json")


def _unfitted() -> Weights:
    return Weights({"any": np.full((len(SLOTS), N_BUCKETS), 0.25)})


if __name__ == "__main__":
    main()
