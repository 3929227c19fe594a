"""Lua."""

from . import Overlay

_RESERVED = (
    "and", "do", "else", "elseif", "end", "false", "for", "function", "if", "in", "local", "nil", "not", "or",
    "repeat", "return", "then", "true", "until", "while",
)  # fmt: skip

OVERLAY = Overlay(
    # The grammar takes a keyword for a name where it fits nothing else.
    reserved=((_RESERVED, "", ""),),
    # And any character but operators for a letter.
    names=("identifier",),
    # A quoted string goes on in the next line behind a backslash only.
    unbroken=("_doublequote_string_content_token1", "_singlequote_string_content_token1"),
    one_line=("_doublequote_string_content_token1", "_singlequote_string_content_token1"),
)
