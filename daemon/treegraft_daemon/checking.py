"""The first syntax error of files, in words for people.

Knows files, grammars and wording; prints nothing and decides on no exit code.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from treegraft_daemon.errors import BadInput

if TYPE_CHECKING:
    from treegraft_grammars import ParseState

MAX_BYTES = 100 * 2**20
# Folders that hold nothing a person wrote here.
_LEFT_OUT = {"node_modules", "__pycache__", "site-packages", "build", "dist", "target", "venv"}
_SHOWN = 6


@dataclass(frozen=True, slots=True)
class Finding:
    """An error, or a note (severity "note") on a file that was not checked. Line and column count from 1, in characters.

    expected: what could stand there, the most telling first.
    """

    file: str
    line: int
    column: int
    severity: str
    message: str
    found: str = ""
    expected: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}: {self.severity}: {self.message}"

    def as_json(self) -> dict[str, Any]:
        """For scripts."""
        return {**asdict(self), "expected": list(self.expected)}


def files_of(names: Iterable[str]) -> Iterator[Path]:
    """The files named, and the files of folders named whose language is known and can be checked; hidden ones are left out."""
    from treegraft_grammars import distrust, language_of

    for name in names:
        path = Path(name)
        if not path.is_dir():
            yield path
            continue
        for parent, folders, inside in _walk(path):
            folders[:] = sorted(one for one in folders if one not in _LEFT_OUT and not one.startswith("."))
            for file in sorted(inside):
                language = language_of(file)
                if language is not None and not file.startswith(".") and not distrust(language):
                    yield parent / file


def _walk(path: Path) -> Iterator[tuple[Path, list[str], list[str]]]:
    import os

    for parent, folders, inside in os.walk(path):
        yield Path(parent), folders, inside


def check_file(path: Path, read: Callable[[Path, int], bytes]) -> Finding | None:
    """The first error of a file, or why it cannot be checked; None when it is fine. `read` raises BadInput."""
    from treegraft_grammars import UnsupportedGrammar, distrust, grammar_for, language_of

    if path.is_file() and path.stat().st_size == 0:
        return None
    try:
        text = read(path, MAX_BYTES)
    except BadInput as problem:
        return Finding(str(path), 1, 1, "error", str(problem))
    language = language_of(str(path), text[:4096])
    if language is None:
        return Finding(str(path), 1, 1, "error", f"no grammar for {path}")
    if why := distrust(language):
        return Finding(str(path), 1, 1, "note", f"not checked: the grammar of {language} is not trusted: {why}")
    try:
        grammar = grammar_for(language)
    except UnsupportedGrammar as problem:
        return Finding(str(path), 1, 1, "error", str(problem))
    parsed = grammar.check(text)
    if parsed.first_error is None:
        return None
    offset = parsed.first_error if parsed.error_token is None else parsed.error_token
    end = len(text.rstrip())
    at_end = offset >= end
    offset = min(offset, end)
    found = "end of file" if at_end else _found_at(text, offset)
    gap = min(parsed.first_error, offset)
    state = grammar.parse(text[:gap]).state
    expected = [name for name in _names(state, text[gap:offset], _lacking(language, state)) if name != found]
    message = f"unexpected {found}" + (f", expected {_listed(expected)}" if expected else "")
    start = text.rfind(b"\n", 0, offset) + 1
    column = len(text[start:offset].decode("utf-8", "replace")) + 1
    return Finding(str(path), text.count(b"\n", 0, offset) + 1, column, "error", message, found, tuple(expected))


def _found_at(text: bytes, offset: int) -> str:
    """The word, or the one character, at an offset, quoted; "end of line" for a line break."""
    line = text[offset : offset + 200].decode("utf-8", "replace").splitlines()
    first = line[0] if line else ""
    word = re.match(r"\w+|.", first)
    return repr(word[0]) if word else "end of line"


def _lacking(language: str, state: ParseState) -> list[str]:
    """Keywords of what an unfinished statement lacks; they may stand behind a line break, of which the tables do not tell."""
    from treegraft_grammars.overlays import overlay_for

    overlay = overlay_for(language) if state.unfinished() else None
    return [name for one in overlay.unfinished for name in one.words] if overlay else []


def _names(state: ParseState, gap: bytes, lacking: list[str]) -> list[str]:
    """What may come behind `gap`, as a person would say it: what closes, kinds of things, signs, keywords."""
    found = [*state.alternatives(), *((name, True) for name in lacking)]
    # The tables know nothing of overlays. What is spelled as it is named can be tried.
    refused = {name for name, is_literal in found if is_literal and not _may_come(state, gap, name)}
    return sorted({_said(name, is_literal) for name, is_literal in found if name not in refused} - {""}, key=_order)


def _may_come(state: ParseState, gap: bytes, literal: str) -> bool:
    if not literal.isprintable():
        return True
    tried = literal.encode()
    if literal[0].isalpha():  # a word is whole between blanks: `except` may become a name, `except ` may not
        tried = (b"" if gap else b" ") + tried + b" "
    return state.step(gap + tried) is not None


_CLOSERS = ("')'", "']'", "'}'", "':'", "';'", "','", "end of line")


def _order(name: str) -> tuple[int, int, str]:
    if name in _CLOSERS:
        return 0, _CLOSERS.index(name), name
    return (1 if name[0] != "'" else 3 if name[1].isalpha() else 2), 0, name


# What grammars call things that people call otherwise; parts of tokens say nothing to a person.
_SAID = {
    "end": "end of file", "newline": "end of line", "string start": "string", "string content": "", "string end": "end of string",
    "escape interpolation": "", "escape sequence": "", "comment": "", "line continuation": "", "html comment": "",
    "integer": "number", "float": "number", "int literal": "number", "float literal": "number", "number literal": "number",
    "integer literal": "number", "decimal integer literal": "number", "hex integer literal": "number",
    "octal integer literal": "number", "binary integer literal": "number", "decimal floating point literal": "number",
    "hex floating point literal": "number", "imaginary literal": "number", "heredoc body": "", "identifier": "name",
    "type identifier": "name", "property identifier": "name", "field identifier": "name", "word": "word",
    "line comment": "", "block comment": "", "hash bang line": "",
}  # fmt: skip


def _said(name: str, is_literal: bool) -> str:
    """A literal in quotes, a kind in words; "" for what is better not said."""
    if name.strip(" \t\r") in ("\n", "\\n", "\r\n"):
        return "end of line"
    if is_literal and not re.search(r"_token\d|^\w+_\w+$", name):
        return f"'{name}'"
    words = re.sub(r"\s*(token\d+|name)?$", "", name.lower().replace("_", " ")) or name
    return _SAID.get(words, words)


def _listed(expected: list[str]) -> str:
    """The alternatives in words: what closes, then kinds; many signs are "operator", many words "keyword"."""
    closers = [name for name in expected if name in _CLOSERS]
    kinds = [name for name in expected if name[0] != "'" and name not in _CLOSERS]
    words = [name for name in expected if name[0] == "'" and name[1].isalpha()]
    signs = [name for name in expected if name not in (*closers, *kinds, *words)]
    if {"name", "number"} <= set(kinds):
        # Whatever begins a value.
        kinds, signs = ["expression"], [name for name in signs if len(signs) <= 2]
    if len(signs) > 3:
        signs = ["operator"]
    if len(words) > 3:
        words = ["keyword"]
    shown = [*closers, *kinds, *signs, *words]
    if len(shown) > _SHOWN:
        return ", ".join(shown[:_SHOWN]) + f" or {len(shown) - _SHOWN} more"
    return " or ".join([", ".join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)
