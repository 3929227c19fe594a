"""Real texts found on this machine, and what tree-sitter itself says about them; for the tests of the simulator."""

from __future__ import annotations

import random
import re
import sysconfig
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import tree_sitter

from treegraft_grammars.judge import EndingParser
from treegraft_grammars.registry import LANGUAGES, load

ROOT = Path(__file__).parent.parent
PLACES = (
    ROOT / "examples",
    ROOT / ".cache" / "sources",
    Path(sysconfig.get_path("stdlib")),
    Path("/usr/lib/python3"),
    Path("/usr/lib/node_modules"),
    Path("/usr/share/nodejs"),
    Path("/usr/include"),
    Path("/usr/bin"),
)

JUNK = (*"(){}[],;:=+\n\"'x1#.@\\<>`$ ", "/*", "if ", "else ", "return ", "class ", "import ")


@cache
def paths(language: str) -> tuple[Path, ...]:
    """Files of `language` in the known places, in a fixed order."""
    row = next(row for row in LANGUAGES if row.name == language)
    found = [
        path
        for place in PLACES
        if place.is_dir()
        for extension in row.extensions
        for path in sorted(place.rglob(f"*{extension}"))[:2000]
    ]
    if language == "bash":
        found += [path for path in sorted(Path("/usr/bin").iterdir()) if _is_script(path)]
    return tuple(dict.fromkeys(found))


def _is_script(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return re.match(rb"#! ?/bin/(ba)?sh", file.read(16)) is not None
    except OSError:
        return False


def texts(language: str, n: int, *, seed: int = 0, max_size: int = 20_000) -> Iterator[tuple[str, bytes]]:
    """Up to `n` (name, text) of moderate size, drawn with `seed`."""
    found = list(paths(language))
    random.Random(seed).shuffle(found)
    for path in found:
        if n == 0:
            return
        try:
            text = path.read_bytes()
        except OSError:
            continue
        if 0 < len(text) <= max_size:
            n -= 1
            yield str(path), text


def mutate(text: bytes, rng: random.Random) -> bytes:
    """`text` with one token deleted, inserted or replaced, or one random character put in."""
    tokens = [found.span() for found in re.finditer(rb"\w+|[^\w\s]|\s+", text)] or [(0, 0)]
    start, end = rng.choice(tokens)
    other_start, other_end = rng.choice(tokens)
    kind = rng.randrange(4)
    if kind == 0:
        return text[:start] + text[end:]
    if kind == 1:
        junk: str = rng.choice(JUNK)
        return text[:start] + junk.encode() + text[start:]
    if kind == 2:
        return text[:start] + text[other_start:other_end] + text[end:]
    return text[:start] + bytes([rng.randrange(32, 127)]) + text[start:]


class Reference:
    """tree-sitter's own parser, and the place of its first error from its log."""

    def __init__(self, language: str) -> None:
        self._language = tree_sitter.Language(load(language))
        self._parser = EndingParser(self._language)

    def first_error(self, text: bytes) -> int | None:
        """Where the last version died before tree-sitter first began to recover; None for a clean text.

        Raises EndlessParse for a text that tree-sitter does not get through.
        """
        if not self._parser.parse(text).root_node.has_error:
            return None
        starts = [0, *(found.end() for found in re.finditer(rb"\n", text))]
        place, died, recovered = 0, -1, False

        def listen(_kind: object, message: str) -> None:
            nonlocal place, died, recovered
            if recovered:
                return
            if message.startswith("process "):
                row, column = message.split("row:")[1].split(", col:")
                place = starts[int(row)] + int(column)
            elif message.startswith("detect_error"):
                died = place
            elif message.startswith("resume "):
                recovered = True

        # A parser of its own: by its types a logger cannot be taken away again.
        loud = tree_sitter.Parser(self._language)
        loud.logger = listen
        loud.parse(text)
        return died
