"""Turns the fetched packages into the few small files that `training.network` reads, for a machine without a network.

    python -m treegraft_daemon.training.packing --out FOLDER [--parts 2]

Ten minutes on two cores. The tokens of the training packages (204 million) take 85 MB; --parts spreads them over as
many folders, each with all languages, for machines that take one upload at a time. The first part also holds
tokens of held-out packages and the holes to judge on: the same as the card's.
"""

from __future__ import annotations

import argparse
import json
import lzma
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from treegraft_daemon.engine.model.linewise import LineTokenizer
from treegraft_daemon.engine.model.mixture import EMBEDDED
from treegraft_daemon.engine.model.window import CONTEXT, window
from treegraft_daemon.training import corpus, sources
from treegraft_daemon.training.corpus import SourceFile
from treegraft_daemon.training.fitting import tokens_around
from treegraft_daemon.training.holes import Hole, holes

PIECE = 2_500_000  # Tokens per file: some for every core that unpacks them.
HELD_OUT = 2_000_000  # Tokens of dev packages to watch the loss on.
# Holes to judge on per language; the test holes are those of the card.
JUDGED = {"python": 400, "javascript": 200, "typescript": 200, "tsx": 200, "go": 200, "rust": 200, "java": 200,
          "c": 200, "cpp": 200, "json": 200}  # fmt: skip
# Two-byte numbers, most of them small: half a bit per token less than by LZMA's defaults.
FILTERS = [{"id": lzma.FILTER_LZMA2, "preset": 6, "lc": 0, "lp": 1, "pb": 1}]


def main() -> None:
    """Fetch what is missing, tokenize, pack."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--cache", type=Path, default=Path(".cache/training"))
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--parts", type=int, default=2)
    options = parser.parse_args()
    started = time.monotonic()

    def tell(what: str) -> None:
        print(f"[{time.monotonic() - started:5.0f} s] {what}", flush=True)

    sources.prepare_apt(options.cache)
    parts = corpus.read(sources.fetch_all(sources.table(), options.cache), options.cache)
    tell("tokenizing and packing")
    pack(parts, EMBEDDED / "tokenizer.json", options.out, options.parts)
    for one in sorted(options.out.iterdir()):
        tell(f"{one}: {sum(file.stat().st_size for file in one.iterdir()) / 1e6:.1f} MB")


def pack(parts: dict[str, list[SourceFile]], tokenizer: Path, out: Path, n_folders: int) -> None:
    """Write the folders `out/0`, `out/1` ..."""
    folders = [out / str(number) for number in range(n_folders)]
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
    reader = LineTokenizer.load(tokenizer)
    (folders[0] / "meta.json").write_text(json.dumps({"line_break": reader.line_break}))
    jobs = [
        (folders[number % n_folders] / f"train-{number:03d}-{language}.xz", piece)
        for number, (language, piece) in enumerate(_pieces(corpus.tokenize(parts["train"], tokenizer)))
    ]
    held_out = _by_language(corpus.tokenize(parts["dev"], tokenizer))
    share = HELD_OUT / max(sum(map(len, held_out.values())), 1)
    jobs += [
        (folders[0] / f"dev-0-{language}.xz", tokens[: max(int(len(tokens) * share), 20_000)])
        for language, tokens in held_out.items()
    ]
    with ThreadPoolExecutor(2) as pool:  # LZMA lets other threads run.
        list(pool.map(_write, *zip(*jobs, strict=True)))
    for part, seed in (("dev", 11), ("test", 7)):
        drawn = [hole for language, n in JUDGED.items() for hole in holes(parts[part], language, n, seed, 0.5)]
        np.savez_compressed(folders[0] / f"holes-{part}.npz", **rows(reader, drawn))  # type: ignore[arg-type]


def rows(tokenizer: LineTokenizer, drawn: list[Hole]) -> dict[str, NDArray[np.generic]]:
    """Holes as rows for `training.network.judge`.

    ids: uint16 [holes, CONTEXT]; targets: int16 of the same shape, at the place before each token of the rest of the
    line its id, -1 elsewhere; ends_line: whether the suffix begins with a line break.
    """
    ids = np.zeros((len(drawn), CONTEXT), dtype=np.uint16)
    targets = np.full((len(drawn), CONTEXT), -1, dtype=np.int16)
    for row, hole in enumerate(drawn):
        context = hole.context
        before, rest = tokens_around(tokenizer, hole)
        read = window(context.language, before, tokenizer.read(context.suffix), whole_suffix=True)
        truth = rest[: CONTEXT - len(read)]
        whole = np.concatenate([read, truth])
        ids[row, : len(whole)] = whole
        targets[row, len(read) - 1 : len(whole) - 1] = truth
    ends = np.array([hole.context.suffix[:1] in (b"\n", b"\r") for hole in drawn])
    return {"ids": ids, "targets": targets, "ends_line": ends, "line_break": np.array(tokenizer.line_break)}


def _by_language(tokens: dict[str, dict[str, NDArray[np.uint16]]]) -> dict[str, NDArray[np.uint16]]:
    found: dict[str, list[NDArray[np.uint16]]] = {}
    for package in tokens.values():
        for language, ids in package.items():
            found.setdefault(language, []).append(ids)
    return {language: np.concatenate(ones) for language, ones in found.items()}


def _pieces(tokens: dict[str, dict[str, NDArray[np.uint16]]]) -> Iterator[tuple[str, NDArray[np.uint16]]]:
    for language, ids in sorted(_by_language(tokens).items()):
        for low in range(0, len(ids), PIECE):
            yield language, ids[low : low + PIECE]


def _write(path: Path, tokens: NDArray[np.uint16]) -> None:
    path.write_bytes(lzma.compress(tokens.astype("<u2").tobytes(), filters=FILTERS))


if __name__ == "__main__":
    main()
