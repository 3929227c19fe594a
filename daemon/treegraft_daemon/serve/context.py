"""What else the model should read: other open files, nearest first, within a budget; excluded ones left out.

Pure: snapshots in, a tuple of files out. Reads no disk, asks no repository.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import PurePath

from treegraft_daemon.serve.documents import MAX_FILE_BYTES, Snapshot
from treegraft_daemon.serve.exclusion import is_secret

BUDGET_BYTES = 256 * 1024  # what the embedded law reads in well under a tenth of a second

# Languages that quote each other's names and idioms.
_FAMILIES = (("javascript", "typescript", "tsx"), ("c", "cpp"))
# What lines begin with that bring other files in, in whatever language: a line too many does no harm. Not `#include`: C is
# written as in the files of its folder rather than as in headers (of 250 rests of lines 63 % exact, 58 with headers first).
_IMPORTS = (b"import", b"from ", b"use ", b"mod ", b"pub mod ", b"using ", b"require", b"source ", b"@import")
_WORD = re.compile(rb"[\w$-]+")
_IMPORTS_WITHIN = 16 * 1024  # of a file's beginning
_NAMED_BY_FOLDER = frozenset({"__init__", "index", "mod", "lib", "main"})


def siblings(
    snapshot: Snapshot,
    recent: Iterable[Snapshot],
    n_files: int,
    is_excluded: Callable[[str], object] = is_secret,
    budget_bytes: int = BUDGET_BYTES,
) -> list[tuple[str, bytes]]:
    """Paths and texts of up to `n_files` files for the model to read beside `snapshot`; `recent`: last used first.

    Files of the same language come first, of these the ones that the document imports, then those in the same folder;
    among equals the last used one. A file that does not fit in what is left of the budget is passed over, never cut.
    `is_excluded` says of a path whether the file must be left alone.
    """
    others = [other for other in recent if other.uri != snapshot.uri and _may_be_read(other)]
    if len(others) > 1:
        imported = _imported(snapshot.text)
        # Stable: the order of use remains among equals.
        others.sort(key=lambda other: _distance(snapshot, imported, other))
    found: list[tuple[str, bytes]] = []
    for other in others:
        if len(found) == n_files:
            break
        if len(other.text) <= budget_bytes and not is_excluded(other.path):
            budget_bytes -= len(other.text)
            found.append((other.path, other.text))
    return found


def _may_be_read(other: Snapshot) -> bool:
    fits = 0 < len(other.text) <= MAX_FILE_BYTES
    return fits and other.language is not None and not other.refusal


def _distance(snapshot: Snapshot, imported: frozenset[bytes], other: Snapshot) -> tuple[int, bool, bool]:
    is_elsewhere = _folder(snapshot.path) != _folder(other.path)
    return _foreign(snapshot.language, other.language), _module(other) not in imported, is_elsewhere


def _imported(text: bytes) -> frozenset[bytes]:
    """The words in the lines of `text` that bring other files in, or in several: `import (` to `)`, `from a import {` to `}`."""
    found: set[bytes] = set()
    goes_on = False
    for line in text[:_IMPORTS_WITHIN].split(b"\n"):
        begun = line.strip()
        if goes_on or begun.startswith(_IMPORTS) or b" from " in begun or b"require(" in begun:
            found.update(_WORD.findall(begun))
            goes_on = begun.endswith((b"(", b"{")) or (goes_on and not begun.startswith((b")", b"}")))
    return frozenset(found)


def _module(file: Snapshot) -> bytes:
    """What a file is called where it is imported: its name, or its folder's where that is the module."""
    path = PurePath(file.path.replace("\\", "/"))
    by_folder = file.language == "go" or path.stem in _NAMED_BY_FOLDER
    return (path.parent.name if by_folder else path.name.split(".")[0]).encode(errors="replace")


def _foreign(language: str | None, other: str | None) -> int:
    """0: the same language, 1: of its family, 2: another."""
    if language == other:
        return 0
    return 1 if any(language in family and other in family for family in _FAMILIES) else 2


def _folder(path: str) -> str:
    return path.replace("\\", "/").rpartition("/")[0]
