"""Grammars: what may follow a text so that it still parses, and whether a whole text does.

    grammar = grammar_for("python")
    state = grammar.parse(prefix).state          # never raises on bad text
    state.step(b"foo(") is None                  # no continuation could parse
    state.meets(suffix)                          # the document reads on without a new error

Imports nothing else of treegraft. A grammar package is loaded when its language is first asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .registry import UnknownLanguage, UnsupportedGrammar, distrust, language_of, language_of_lsp, languages

if TYPE_CHECKING:
    from .constraint import Grammar, Parsed, ParseState, grammar_for
    from .injection import Region, is_host, region_at
    from .judge import EndlessParse, Judge
    from .vocabulary import Vocabulary

__all__ = [
    "EndlessParse",
    "Grammar",
    "Judge",
    "ParseState",
    "Parsed",
    "Region",
    "UnknownLanguage",
    "UnsupportedGrammar",
    "Vocabulary",
    "distrust",
    "grammar_for",
    "is_host",
    "language_of",
    "language_of_lsp",
    "languages",
    "region_at",
]

# The language server asks only for names of languages: it need not pay for the native module, tree-sitter or numpy.
_HOME = {
    "Grammar": "constraint",
    "ParseState": "constraint",
    "Parsed": "constraint",
    "grammar_for": "constraint",
    "Region": "injection",
    "is_host": "injection",
    "region_at": "injection",
    "EndlessParse": "judge",
    "Judge": "judge",
    "Vocabulary": "vocabulary",
}


def __getattr__(name: str) -> object:
    """Import the module of a public name when it is first used."""
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value: object = getattr(import_module(f".{home}", __name__), name)
    globals()[name] = value
    return value
