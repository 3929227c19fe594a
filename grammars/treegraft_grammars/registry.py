"""Which language is this file, and the compiled grammar of a language: look-ups in the table of `table.py`.

A grammar package is imported when its language is first asked for; this module opens no file and guesses nothing from
content beyond a shebang and the marks that tell a C++ header from a C one.
"""

from __future__ import annotations

import ctypes
import re
from collections.abc import Iterable
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import PurePosixPath

from .table import LANGUAGES, Language


class UnknownLanguage(LookupError):
    """There is no row for this name in the table of languages."""


class UnsupportedGrammar(Exception):
    """The compiled grammar cannot be used: its package is missing, or its ABI is not one we read."""


def languages() -> list[str]:
    """Names of all languages of the table, in its order."""
    return [row.name for row in LANGUAGES]


def language_of(path: str, text: bytes = b"") -> str | None:
    """The language of a file, by its name, its extension, then the shebang in `text`; None when none of them tells."""
    file = PurePosixPath(path.replace("\\", "/"))
    if file.name in _BY_FILE_NAME:
        return _BY_FILE_NAME[file.name]
    if file.suffix in (".C", ".H"):  # C++ where file systems tell case apart
        return "cpp"
    # The last suffix only: `a.py.orig` is no Python file, and a name such as `.json` has no suffix.
    name = _BY_EXTENSION.get(file.suffix.lower())
    if name == "c" and file.suffix.lower() == ".h" and _CPP_HEADER.search(text):
        return "cpp"
    return name or _of_shebang(text)


def language_of_lsp(language_id: str) -> str | None:
    """The language an editor calls `language_id`, or None when we have no grammar for it."""
    return _BY_LSP_ID.get(language_id)


def language_of_word(word: str) -> str | None:
    """The language that people call `word`, as at a fenced block of Markdown: a name, an alias or an extension."""
    word = word.lower()
    if word in _BY_NAME:
        return word
    return _BY_ALIAS.get(word) or _BY_LSP_ID.get(word) or _BY_EXTENSION.get(f".{word}")


def row_of(name: str) -> Language:
    """The row of a language by its name here; raises UnknownLanguage."""
    row = _BY_NAME.get(name)
    if row is None:
        raise UnknownLanguage(f'unknown language "{name}"; known are {", ".join(languages())}')
    return row


def distrust(name: str) -> str:
    """Why the grammar of a language is no constraint; "" if it is one. Raises UnknownLanguage."""
    return row_of(name).untrusted


@cache
def load(name: str) -> object:
    """The PyCapsule "tree_sitter.Language" of a language; imports its package on the first call.

    Raises UnsupportedGrammar, with what to install where a package is missing.
    """
    row = row_of(name)
    if row.extra and find_spec(row.module) is None:
        raise UnsupportedGrammar(f'the grammar of {name} is not installed: pip install "treegraft[{row.extra}]"')
    try:
        grammar: object = getattr(import_module(row.module), row.entry)()
    except (ImportError, AttributeError) as problem:
        raise UnsupportedGrammar(f"cannot load the grammar of {name} from {row.package}: {problem}") from problem
    return _capsule(grammar) if isinstance(grammar, int) else grammar


# Kept for ever, as capsules point to it.
_CAPSULE_NAME = b"tree_sitter.Language"


def _capsule(address: int) -> object:
    """Older grammar packages return a bare address."""
    make = ctypes.pythonapi.PyCapsule_New
    make.restype, make.argtypes = ctypes.py_object, [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
    return make(address, _CAPSULE_NAME, None)


def _of_shebang(text: bytes) -> str | None:
    """The language of `#!/usr/bin/env -S python3.11 -u` and its like."""
    if not text.startswith(b"#!"):
        return None
    words = text[2:].split(b"\n", 1)[0][:256].decode("utf-8", "replace").split()
    # `env` may carry options and assignments before the program it runs.
    programs = [word.rsplit("/", 1)[-1] for word in words if not word.startswith("-") and "=" not in word]
    if programs and programs[0] == "env":
        programs = programs[1:]
    return _BY_INTERPRETER.get(re.sub(r"[\d.]+$", "", programs[0])) if programs else None


# One mark is enough: none of these can stand at the start of a line of a C header.
_CPP_HEADER = re.compile(
    rb"^[ \t]*(?:(?:inline[ \t]+)?namespace\b|template[ \t]*<|using[ \t]+\w|(?:public|private|protected)[ \t]*:"
    rb"|(?:enum[ \t]+)?class[ \t]+\w|#[ \t]*include[ \t]*<(?:vector|string|memory|map|utility|type_traits|cstd\w+)>)",
    re.MULTILINE,
)


def _by(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    table: dict[str, str] = {}
    for key, name in pairs:
        assert key not in table, f"{key} belongs to {table[key]} and {name}"
        table[key] = name
    return table


_BY_NAME = {row.name: row for row in LANGUAGES}
_BY_ALIAS = _by((key, row.name) for row in LANGUAGES for key in row.aliases)
_BY_LSP_ID = _by((key, row.name) for row in LANGUAGES for key in row.lsp_ids)
_BY_EXTENSION = _by((key, row.name) for row in LANGUAGES for key in row.extensions)
_BY_FILE_NAME = _by((key, row.name) for row in LANGUAGES for key in row.file_names)
_BY_INTERPRETER = _by((key, row.name) for row in LANGUAGES for key in row.interpreters)
