"""The text to learn from: files of the fetched packages, without copies of each other and of held-out code.

Also trains the tokenizer and turns each package into one array of tokens. Knows no law.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import AddedToken, Tokenizer, pre_tokenizers, trainers

from treegraft_daemon.engine.model.linewise import END, SPECIAL, new_tokenizer
from treegraft_daemon.training import sources
from treegraft_daemon.training.sources import Package

VOCABULARY_SIZE = 8192
LONG_LINE = 30  # Bytes from which a line is telling; shorter ones are shared by chance.
SHARED_LIMIT = 0.4  # A training file with a larger share of its long lines in held-out files is a copy.
# Share of the tokenizer's text per language; Python first because it is asked for most.
BPE_SHARE = {
    "python": 30, "javascript": 12, "typescript": 12, "tsx": 4, "go": 10, "rust": 10, "java": 10, "c": 8, "cpp": 8, "json": 2,
    "bash": 1,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class SourceFile:
    """One file of a package."""

    package: str
    path: str
    language: str
    text: bytes


def read(packages: Iterable[Package], cache: Path) -> dict[str, list[SourceFile]]:
    """Files by part ("train", "dev", "test"), each text once, training files without copies of held-out code."""
    parts: dict[str, list[SourceFile]] = {"test": [], "dev": [], "train": []}
    seen: set[bytes] = set()
    # Held-out packages are read first, so that of equal files they keep theirs.
    for package in sorted(packages, key=lambda package: ("test", "dev", "train").index(package.part)):
        for path, language, text in sources.files_of(package, cache):
            digest = blake2b(b"".join(text.split()), digest_size=16).digest()
            if digest not in seen:
                seen.add(digest)
                parts[package.part].append(SourceFile(package.key, path, language, text))
    held_out = _long_lines(file.text for part in ("dev", "test") for file in parts[part])
    before = len(parts["train"])
    parts["train"] = [file for file in parts["train"] if _shared(file.text, held_out) <= SHARED_LIMIT]
    print(f"  {before - len(parts['train'])} training files repeat held-out code and are dropped", flush=True)
    return parts


def read_part(part: str, cache: Path) -> list[SourceFile]:
    """The files of "test" or "dev": of packages that no law was trained on."""
    packages = [row for row in sources.table() if row.part == part]
    return read(sources.fetch_all(packages, cache), cache)[part]


def train_tokenizer(files: list[SourceFile], n_bytes: int, size: int = VOCABULARY_SIZE) -> Tokenizer:
    """A byte-level BPE from about `n_bytes` of the files, languages in fixed shares."""
    tokenizer = new_tokenizer()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=[AddedToken(SPECIAL, special=True)],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
        min_frequency=2,
        max_token_length=24,
    )
    tokenizer.train_from_iterator(_sample(files, n_bytes), trainer)
    assert tokenizer.token_to_id(SPECIAL) == END
    return tokenizer


def tokenize(files: list[SourceFile], tokenizer: Path) -> dict[str, dict[str, NDArray[np.uint16]]]:
    """Tokens of each package by language: every document begins with END. Two processes."""
    by_package: dict[tuple[str, str], list[bytes]] = {}
    for file in files:
        by_package.setdefault((file.package, file.language), []).append(file.text)
    jobs = [(str(tokenizer), texts) for texts in by_package.values()]
    found: dict[str, dict[str, NDArray[np.uint16]]] = {}
    with ProcessPoolExecutor(2) as pool:
        for (package, language), tokens in zip(by_package, pool.map(_tokens_of, jobs, chunksize=4), strict=True):
            found.setdefault(package, {})[language] = tokens
    return found


def _tokens_of(job: tuple[str, list[bytes]]) -> NDArray[np.uint16]:
    tokenizer = Tokenizer.from_file(job[0])
    ids = (tokenizer.encode(text.decode(), add_special_tokens=False).ids for text in job[1])
    return np.concatenate([np.array([END, *one], dtype=np.uint16) for one in ids])


def _sample(files: list[SourceFile], n_bytes: int) -> Iterator[str]:
    left = {language: n_bytes * share // sum(BPE_SHARE.values()) for language, share in BPE_SHARE.items()}
    shuffled = list(files)
    random.Random(0).shuffle(shuffled)
    for file in shuffled:
        if left.get(file.language, 0) > 0:
            left[file.language] -= len(file.text)
            yield file.text.decode()


def _long_lines(texts: Iterable[bytes]) -> frozenset[int]:
    counts = Counter(hash(line.strip()) for text in texts for line in text.split(b"\n") if len(line) >= LONG_LINE)
    return frozenset(counts)


def _shared(text: bytes, known: frozenset[int]) -> float:
    """The share of the long lines that are known; 0 for fewer than five."""
    lines = [line.strip() for line in text.split(b"\n") if len(line) >= LONG_LINE]
    return sum(hash(line) in known for line in lines) / len(lines) if len(lines) >= 5 else 0.0
