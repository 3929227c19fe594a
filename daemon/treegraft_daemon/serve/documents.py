"""Open files exactly as the editor has them: UTF-8 bytes, line lengths, versions; hands out frozen Snapshots.

Never reads a file from disk: what was not opened does not exist here. The server's loop is the only owner; snapshots
are values and may go anywhere.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import PurePosixPath
from urllib.parse import unquote, urlsplit

from treegraft_daemon.config import MAX_DOCUMENT_BYTES
from treegraft_daemon.serve.positions import Encoding, Lines, to_utf8


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A document at one moment. `language_id` is the editor's word; `language` is None when there is no grammar."""

    uri: str
    path: str
    version: int
    language_id: str
    language: str | None
    text: bytes

    @property
    def refusal(self) -> str:
        """Why nothing can be suggested in such a text, in one line; "" if it can."""
        if len(self.text) > MAX_DOCUMENT_BYTES:
            return f"{self.name} is larger than {MAX_DOCUMENT_BYTES // 2**20} MiB"
        if b"\0" in self.text:
            return f"{self.name} holds NUL bytes: it looks like a binary file"
        return ""

    @property
    def name(self) -> str:
        """The last part of the path, for messages."""
        return PurePosixPath(self.path).name or self.uri


class Document:
    """One open file. Invariant: `lines` describes `text`."""

    def __init__(self, uri: str, language_id: str, version: int, text: str) -> None:
        self.uri = uri
        self.path = path_of(uri)
        self.language_id = language_id
        self.version = version
        self.text = to_utf8(text)
        self._lines = Lines(self.text)
        self._snapshot: Snapshot | None = None
        self._language: str | None = None
        self._language_known = False

    def snapshot(self) -> Snapshot:
        """The document as it is now; the same object until the next change."""
        if self._snapshot is None:
            if not self._language_known:  # asked once: the name of a file does not change while it is open
                self._language, self._language_known = _language(self.language_id, self.path, self.text[:4096]), True
            self._snapshot = Snapshot(self.uri, self.path, self.version, self.language_id, self._language, self.text)
        return self._snapshot

    def offset_at(self, line: int, character: int, encoding: Encoding) -> int:
        return self._lines.offset_at(self.text, line, character, encoding)

    def position_at(self, offset: int, encoding: Encoding) -> tuple[int, int]:
        return self._lines.position_at(self.text, offset, encoding)

    def replace_range(self, start: tuple[int, int], end: tuple[int, int], data: str, encoding: Encoding) -> None:
        """An incremental change. A range given the wrong way round is turned, as other servers do."""
        first, last = sorted((self.offset_at(*start, encoding), self.offset_at(*end, encoding)))
        self.text = self._lines.splice(self.text, first, last, to_utf8(data))
        self._snapshot = None

    def replace_all(self, text: str) -> None:
        """A change that brings the whole text."""
        self.text = to_utf8(text)
        self._lines = Lines(self.text)
        self._snapshot = None

    def set_version(self, version: int) -> None:
        self.version = version
        self._snapshot = None


# Files that were closed, kept to be read beside others: who looks through a project opens and closes one after another.
KEPT_CLOSED = 8
MAX_FILE_BYTES = 128 * 1024  # of a file to be read beside others; longer ones are mostly generated


class Documents:
    """All open files of one client, the last used one last; and the last few that were closed, as they were then."""

    def __init__(self) -> None:
        self._open: dict[str, Document] = {}
        self._closed: dict[str, Snapshot] = {}

    def open(self, uri: str, language_id: str, version: int, text: str) -> Document:
        """A file was opened; opening it again replaces what was known of it."""
        self._open.pop(uri, None)
        self._closed.pop(uri, None)
        document = self._open[uri] = Document(uri, language_id, version, text)
        return document

    def close(self, uri: str) -> bool:
        """A file was closed; False if it was not open. From now on it is only read beside others."""
        document = self._open.pop(uri, None)
        if document is None:
            return False
        if len(document.text) <= MAX_FILE_BYTES:
            self._closed[uri] = document.snapshot()
            if len(self._closed) > KEPT_CLOSED:
                del self._closed[next(iter(self._closed))]
        return True

    def get(self, uri: str) -> Document | None:
        return self._open.get(uri)

    def use(self, uri: str) -> Document | None:
        """The document, which is now the last used one; None if it is not open."""
        document = self._open.pop(uri, None)
        if document is not None:
            self._open[uri] = document
        return document

    def recent(self) -> list[Snapshot]:
        """All open files, the last used first, then those closed of late, the last one first."""
        return [document.snapshot() for document in reversed(self._open.values())] + [*reversed(self._closed.values())]

    def __len__(self) -> int:
        return len(self._open)


def path_of(uri: str) -> str:
    """The path in a uri: of a file as the system writes it, of others (`untitled:Untitled-1`) what stands for it."""
    try:
        parts = urlsplit(uri)
    except ValueError:  # such as a bracket without its end
        return to_utf8(uri).decode()
    path = unquote(f"//{parts.netloc}{parts.path}" if parts.netloc else parts.path)
    path = to_utf8(path).decode()
    if parts.scheme == "file" and os.name == "nt":
        return path.lstrip("/").replace("/", "\\")
    return path


def _language(language_id: str, path: str, head: bytes) -> str | None:
    from treegraft_grammars import language_of, language_of_lsp  # when a first document asks, not at the start

    # What the person chose in the editor wins; the name of the file helps with ids that we do not know.
    return language_of_lsp(language_id) or language_of(path, head)
