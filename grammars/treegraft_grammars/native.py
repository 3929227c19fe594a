"""A native module that is older than its sources refuses to be imported.

`setup.py` compiles the digest of a module's sources into it, by this file; who imports the module compares. Imports
nothing of the package: it runs before anything is built.
"""

from __future__ import annotations

import hashlib
from pathlib import Path


def source_digest(pyx: Path, folder: Path) -> str | None:
    """Of a module's own file and of all in its folder of C; None where the sources are not installed."""
    if not pyx.exists():
        return None
    hasher = hashlib.sha256()
    for path in sorted([pyx, *folder.glob("*.[ch]")], key=lambda path: path.name):
        hasher.update(path.read_bytes())
    return hasher.hexdigest()[:16]


def check_freshness(compiled: str, present: str | None) -> None:
    """Raises ImportError when what was compiled in is not what is there."""
    if present is not None and present != compiled:
        raise ImportError("native module is older than its sources; run pip install -e .")
