"""Which files are left alone: neither completed nor read as context.

Secrets, by their names; what the person's patterns say; what a `.treegraftignore` on the way up from the file names,
and a `.gitignore`, too, if the settings say so. Patterns mean what they mean to git; the deepest file that names a path
decides, and `!` takes back. Reads these ignore files and nothing else, each at most every few seconds.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from time import monotonic
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec

logger = logging.getLogger(__name__)

OWN_FILE = ".treegraftignore"
GITS_FILE = ".gitignore"
FRESH_S = 2.0  # an ignore file that was changed counts after so long
MAX_IGNORE_BYTES = 1 << 20

_SECRET_NAMES = re.compile(
    r"\.env(\..*|rc)?|.*\.env|\.netrc|_netrc|\.npmrc|\.pypirc|\.pgpass|\.htpasswd|\.git-credentials|\.dockercfg"
    r"|id_(rsa|dsa|ecdsa|ed25519)(_.*)?|.*\.(pem|key|p8|p12|pfx|jks|keystore|kdbx|asc|gpg|ppk|tfvars|tfstate)"
    r"|(credentials?|secrets?)(\.(json|ya?ml|toml|ini|txt|env|cfg|xml|properties))?",
    re.IGNORECASE,
)
_SECRET_FOLDERS = frozenset({".ssh", ".gnupg", ".aws", ".azure", ".kube", ".docker", ".password-store"})


def is_secret(path: str) -> bool:
    """Does the name say that the file holds keys or passwords?"""
    parts = PurePosixPath(path.replace("\\", "/")).parts
    if not parts:
        return False
    return _SECRET_NAMES.fullmatch(parts[-1]) is not None or not _SECRET_FOLDERS.isdisjoint(parts[:-1])


class Exclusion:
    """The rules of one client; `roots` are its workspace folders, which the patterns of the settings start from."""

    def __init__(
        self,
        patterns: Sequence[str] = (),
        *,
        respects_gitignore: bool = False,
        roots: Sequence[str] = (),
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._names = (OWN_FILE, GITS_FILE) if respects_gitignore else (OWN_FILE,)
        self._patterns = _compiled(patterns, "excludedFiles") if patterns else None
        self._roots = [Path(root).as_posix().rstrip("/") + "/" for root in roots]
        self._clock = clock
        self._files: dict[str, tuple[float, GitIgnoreSpec | None]] = {}

    def reason(self, path: str) -> str:
        """Why this file is left alone, in one line; "" if it is not."""
        name = PurePosixPath(path.replace("\\", "/")).name or path
        if is_secret(path):
            return f"{name} may hold secrets"
        whole = Path(path)
        here = whole.as_posix()  # from here on strings: this is asked for dozens of files with every key
        if self._patterns is not None and any(self._patterns.match_file(way) for way in self._ways(here)):
            return f"{name} is excluded by a setting"
        if not whole.is_absolute():  # such as a file that was never saved
            return ""
        end = here.rfind("/")
        while end >= 0:
            for ignoring in self._names:
                file = f"{here[:end]}/{ignoring}"
                spec = self._spec(file)
                verdict = spec.check_file(here[end + 1 :]).include if spec is not None else None
                if verdict is not None:
                    return f"{name} is excluded by {file}" if verdict else ""
            end = here.rfind("/", 0, end)
        return ""

    def _ways(self, here: str) -> Iterator[str]:
        """The path as seen from each workspace folder, and whole."""
        for root in self._roots:
            if here.startswith(root):
                yield here[len(root) :]
        yield here.lstrip("/")

    def _spec(self, path: str) -> GitIgnoreSpec | None:
        now = self._clock()
        known = self._files.get(path)
        if known is not None and now - known[0] < FRESH_S:
            return known[1]
        spec = _read(path)
        self._files[path] = (now, spec)
        return spec


def _read(path: str) -> GitIgnoreSpec | None:
    """The patterns of an ignore file; None when there is none, or none that can be read."""
    try:
        with open(path, "rb") as file:
            data = file.read(MAX_IGNORE_BYTES)
    except (OSError, ValueError):  # such as a NUL in the name
        return None
    return _compiled(data.decode("utf-8", "replace").splitlines(), path)


def _compiled(lines: Sequence[str], origin: str) -> GitIgnoreSpec:
    """The patterns; a line that is none costs itself and a line in the log."""
    from pathspec import GitIgnoreSpec  # when there is a pattern at all: 50 ms

    try:
        return GitIgnoreSpec.from_lines(lines)
    except ValueError:
        pass
    good = []
    for line in lines:
        try:
            GitIgnoreSpec.from_lines([line])
            good.append(line)
        except ValueError:
            logger.warning("%s: %r is no pattern and is ignored", origin, line[:80])
    return GitIgnoreSpec.from_lines(good)
