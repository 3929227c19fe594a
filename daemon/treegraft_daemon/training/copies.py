"""`python -m treegraft_daemon.training.copies --model FOLDER`: how far copying is to be trusted beside a model.

Asks the model for the true rests of lines of dev packages, as in service, notes what it and the pages of `copied` say of
each token, fits the weights of the fold (`fitting`) and writes them, with the loss before and after on other holes.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch

from treegraft_daemon.engine.model import copied
from treegraft_daemon.engine.model.loading import load
from treegraft_daemon.engine.model.mixture import SLOTS, Weights
from treegraft_daemon.engine.model.prompt import build
from treegraft_daemon.engine.model.transformer import TransformerLaw
from treegraft_daemon.training import corpus, fitting
from treegraft_daemon.training.fitting import Examples
from treegraft_daemon.training.holes import Hole, holes

LANGUAGES = ("python", "javascript", "typescript", "tsx", "go", "rust", "java", "c", "cpp", "json")


def gather(law: TransformerLaw, drawn: Iterable[Hole]) -> Examples:
    """What the model and the pages say about each token of the true rests of lines."""
    copies = copied.Copies(law._tokenizer, Weights({}))
    rows: list[tuple[np.ndarray, np.ndarray, float, str]] = []
    for n_holes, hole in enumerate(drawn, 1):
        prompt = build(hole.context, law._form, law._tokenizer, law._room)
        truth = law._tokenizer.read(prompt.owed + hole.middle.rstrip() + b"\n")
        ids = torch.tensor([*prompt.ids, *truth])
        laws = law._network.all_logits(ids, len(truth) + 1)[:-1].float().softmax(-1)
        place = copies.begin(hole.context, prompt.owed, lambda: False)
        for token, p in zip(truth, laws.numpy(), strict=True):
            buckets, shares = np.full(len(SLOTS), -1, dtype=np.int16), np.zeros(len(SLOTS), dtype=np.float32)
            for one in place.evidence:
                buckets[one.slots] = one.buckets
                shares[one.slots] = one.shares[:, one.ids == token + 1].sum(axis=1)
            rows.append((buckets, shares, max(float(p[token]), 1e-9), copied.level(float(p.max()))))
            place = place.step(token)
        if n_holes % 50 == 0:
            print(f"  {n_holes} holes, {len(rows):,} tokens", flush=True)
    return Examples.of(rows)


def main() -> None:
    """Fit on most holes, tell the loss on the rest, write the weights."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", required=True)
    parser.add_argument("--holes", type=int, default=100, help="per language; a fifth of them to judge on")
    parser.add_argument("--cache", type=Path, default=Path(".cache/training"))
    parser.add_argument("--out", type=Path, default=copied.WEIGHTS)
    options = parser.parse_args()
    law = load(options.model)
    assert isinstance(law, TransformerLaw)
    files = corpus.read_part("dev", options.cache)
    drawn = [list(holes(files, language, options.holes, 7, share_with_siblings=0.7)) for language in LANGUAGES]
    n_judged = options.holes // 5
    judged = gather(law, [hole for them in drawn for hole in them[:n_judged]])
    weights = fitting.fit(gather(law, [hole for them in drawn for hole in them[n_judged:]]))
    alone = float(-np.log(judged.base).mean())
    print(
        f"{len(judged.base):,} tokens of other holes: {alone:.3f} nats alone, {fitting.nats(judged, weights):.3f} mixed"
    )
    fitting.save(weights, options.out)


if __name__ == "__main__":
    main()
