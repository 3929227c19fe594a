"""Holes to fit and to judge the law on: a place in a real file, the rest of its line taken out.

A hole is drawn as package, file, line, column (of characters), each with equal chance, so that large packages and long
lines do not set the tone. Siblings are other files of the same package, nearest folder first.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

from treegraft_daemon.engine.model.law import Context, OpenFile
from treegraft_daemon.training.corpus import SourceFile

N_SIBLINGS = 5
MAIN_SHARE = 0.15  # Of a package's bytes; languages below it are not what the package is written in.


@dataclass(frozen=True, slots=True)
class Hole:
    """`context.prefix + middle + context.suffix` is the file; the middle ends where its line does."""

    context: Context
    middle: bytes

    def is_exact(self, text: bytes) -> bool:
        """Whether this is what the author wrote to the end of the line, but for blanks there."""
        return text.split(b"\n")[0].rstrip() == self.middle.rstrip()


def holes(
    files: list[SourceFile], language: str, n: int, seed: int, share_with_siblings: float, whole_lines: float = 0.0
) -> Iterator[Hole]:
    """`n` holes in files of one language; fewer if there are no files. whole_lines: the share of those at a line's start."""
    rng = random.Random(seed)
    by_package: dict[str, list[SourceFile]] = {}
    sizes = Counter[str]()
    for file in files:
        sizes[file.package] += len(file.text)
        if file.language == language:
            by_package.setdefault(file.package, []).append(file)
    # A few build scripts do not make a library in C++ a Python package.
    spoken = {name: sum(len(file.text) for file in ones) / sizes[name] for name, ones in by_package.items()}
    names = sorted(name for name in by_package if spoken[name] >= MAIN_SHARE or language == "json")
    for _ in range(n if names else 0):
        package = by_package[rng.choice(names)]
        file = rng.choice(package)
        siblings = nearest(file, package, rng) if rng.random() < share_with_siblings else ()
        # Without whole lines nothing more is drawn, so that a seed stands for the same holes as ever.
        yield cut(file, siblings, rng, whole_line=whole_lines > 0 and rng.random() < whole_lines)


def cut(file: SourceFile, siblings: tuple[OpenFile, ...], rng: random.Random, whole_line: bool = False) -> Hole:
    """A hole in a line of the file that is not blank, from a random column after the indentation to before the end."""
    lines = file.text.split(b"\n")
    row = rng.choice([row for row, line in enumerate(lines) if line.strip()])
    line = lines[row].decode()
    column = 0 if whole_line else rng.randrange(len(line) - len(line.lstrip()), len(line.rstrip()))
    typed = line[:column].encode()
    prefix = b"".join(one + b"\n" for one in lines[:row]) + typed
    suffix = file.text[len(prefix) + len(lines[row]) - len(typed) :]
    middle = lines[row][len(typed) :]
    return Hole(Context(f"{file.package}/{file.path}", file.path, file.language, prefix, suffix, siblings), middle)


def nearest(file: SourceFile, package: list[SourceFile], rng: random.Random) -> tuple[OpenFile, ...]:
    """Five other files of the package, those of the same folder first."""
    others = [other for other in package if other.path != file.path]
    rng.shuffle(others)
    folder = PurePosixPath(file.path).parent
    others.sort(key=lambda other: PurePosixPath(other.path).parent != folder)
    return tuple(OpenFile(other.path, other.text) for other in others[:N_SIBLINGS])
