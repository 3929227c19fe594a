"""Where a grammar is looser than its language: rules as data, one module per language.

An overlay names terminals as the grammar names them. A name that the grammar does not know is an error: a new version
of the grammar must not silently lose a rule.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Protocol


class Rules(Protocol):
    """What an overlay is told to: the native simulator of one grammar."""

    def ban_keyword(self, name: str) -> int: ...
    def forbid(self, after: str, token: str) -> int: ...
    def keep_unbroken(self, name: str) -> int: ...
    def keep_on_one_line(self, name: str) -> int: ...
    def lay_out(self, newline: str, indent: str, dedent: str, comment: str) -> int: ...


@dataclass(frozen=True, slots=True)
class Overlay:
    """What the grammar accepts and the language does not.

    words: keywords of the grammar that are ordinary words of the language.
    forbidden: pairs (after, token): `token` never comes directly after `after`.
    unbroken: where one of these terminals may come, a line break is never skipped (quoted strings).
    one_line: terminals that hold no line break.
    layout: (newline, indent, dedent, comment) of a language whose lines begin after the first three only, in the column
    that the scanner has on top of its stack.
    """

    words: tuple[str, ...] = ()
    forbidden: tuple[tuple[str, str], ...] = ()
    unbroken: tuple[str, ...] = ()
    one_line: tuple[str, ...] = ()
    layout: tuple[str, str, str, str] | None = None

    def apply(self, simulator: Rules) -> None:
        """Tell the rules to `simulator`; raises LookupError for a name that the grammar does not have."""
        for word in self.words:
            _found(simulator.ban_keyword(word), word)
        for after, token in self.forbidden:
            _found(simulator.forbid(after, token), f"{after} {token}")
        for name in self.unbroken:
            _found(simulator.keep_unbroken(name), name)
        for name in self.one_line:
            _found(simulator.keep_on_one_line(name), name)
        if self.layout is not None:
            _found(simulator.lay_out(*self.layout) // len(self.layout), " ".join(self.layout))


def _found(n_symbols: int, name: str) -> None:
    if n_symbols == 0:
        raise LookupError(f"overlay names {name!r}, which the grammar does not have")


_MODULES = {
    "python": "python",
    "javascript": "javascript",
    "typescript": "javascript",
    "tsx": "javascript",
    "java": "java",
    "json": "json",
    "c": "c",
    "cpp": "c",
}


def overlay_for(language: str) -> Overlay | None:
    """The overlay of `language`, or None if it has none."""
    module = _MODULES.get(language)
    if module is None:
        return None
    overlay = import_module(f".{module}", __name__).OVERLAY
    assert isinstance(overlay, Overlay)
    return overlay
