"""Bash."""

from . import Overlay

_RESERVED = (
    "if",
    "then",
    "elif",
    "else",
    "fi",
    "case",
    "esac",
    "for",
    "select",
    "while",
    "until",
    "do",
    "done",
    "function",
)

OVERLAY = Overlay(
    # The grammar takes a reserved word for a command where it fits nothing else. Only behind others it is an ordinary word,
    # and in the brackets of a test, where the grammar takes commands.
    reserved=((_RESERVED, "while", "["),),
    apart=(("{", "while"),),
)
