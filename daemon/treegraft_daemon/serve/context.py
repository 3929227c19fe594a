"""What else the model should read: other open files, nearest first, within a budget; secrets left out.

Pure: snapshots in, a tuple of files out. Reads no disk, asks no repository.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import PurePosixPath

from treegraft_daemon.serve.documents import Snapshot

BUDGET_BYTES = 256 * 1024  # what the embedded law reads in well under a tenth of a second
MAX_FILE_BYTES = 128 * 1024  # longer ones are mostly generated

# Languages that quote each other's names and idioms.
_FAMILIES = (("javascript", "typescript", "tsx"), ("c", "cpp"))

_SECRET_NAMES = re.compile(
    r"\.env(\..*|rc)?|.*\.env|\.netrc|_netrc|\.npmrc|\.pypirc|\.pgpass|\.htpasswd|\.git-credentials|\.dockercfg"
    r"|id_(rsa|dsa|ecdsa|ed25519)(_.*)?|.*\.(pem|key|p8|p12|pfx|jks|keystore|kdbx|asc|gpg|ppk|tfvars|tfstate)"
    r"|(credentials?|secrets?)(\.(json|ya?ml|toml|ini|txt|env|cfg|xml|properties))?",
    re.IGNORECASE,
)
_SECRET_FOLDERS = frozenset({".ssh", ".gnupg", ".aws", ".azure", ".kube", ".docker", ".password-store"})


def siblings(
    snapshot: Snapshot, recent: Iterable[Snapshot], n_files: int, budget_bytes: int = BUDGET_BYTES
) -> list[tuple[str, bytes]]:
    """Paths and texts of up to `n_files` files for the model to read beside `snapshot`; `recent`: last used first.

    Files of the same language come first, of these the ones in the same folder; among equals the last used one. A file
    that does not fit in what is left of the budget is passed over, never cut.
    """
    others = [other for other in recent if other.uri != snapshot.uri and _may_be_read(other)]
    others.sort(key=lambda other: _distance(snapshot, other))  # stable: the order of use remains among equals
    found: list[tuple[str, bytes]] = []
    for other in others:
        if len(found) == n_files:
            break
        if len(other.text) <= budget_bytes:
            budget_bytes -= len(other.text)
            found.append((other.path, other.text))
    return found


def is_secret(path: str) -> bool:
    """Does the name say that the file holds keys or passwords?"""
    parts = PurePosixPath(path.replace("\\", "/")).parts
    if not parts:
        return False
    return _SECRET_NAMES.fullmatch(parts[-1]) is not None or not _SECRET_FOLDERS.isdisjoint(parts[:-1])


def _may_be_read(other: Snapshot) -> bool:
    fits = 0 < len(other.text) <= MAX_FILE_BYTES
    return fits and other.language is not None and not other.refusal and not is_secret(other.path)


def _distance(snapshot: Snapshot, other: Snapshot) -> tuple[int, int]:
    return _foreign(snapshot.language, other.language), int(_folder(snapshot.path) != _folder(other.path))


def _foreign(language: str | None, other: str | None) -> int:
    """0: the same language, 1: of its family, 2: another."""
    if language == other:
        return 0
    return 1 if any(language in family and other in family for family in _FAMILIES) else 2


def _folder(path: str) -> str:
    return str(PurePosixPath(path.replace("\\", "/")).parent)
