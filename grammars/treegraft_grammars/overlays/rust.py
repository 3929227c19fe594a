"""Rust."""

from . import Overlay

_ITEMS = (
    "#", "pub", "fn", "use", "mod", "struct", "enum", "union", "trait", "impl", "type", "const", "static", "extern", "unsafe",
    "async", "default", "gen", "macro_rules!", "identifier", "crate", "self", "super", "::",
)  # fmt: skip
_COMMENTS = ("//", "/*")

OVERLAY = Overlay(
    # The grammar takes statements outside functions. A name there is that of a macro.
    first=("shebang", *_ITEMS, *_COMMENTS),
    top=("source_file_repeat1", (*_ITEMS, *_COMMENTS)),
    escapes=(("escape_sequence", "char_literal"), "nrt\\0\"'xu\r\n"),
    # A macro in parentheses that is a statement ends in a semicolon.
    alone=((")", "_statement"),),
    # `$x` stands in macros only.
    barred=(("metavariable", "_expression"), ("metavariable", "_type"), ("metavariable", "_pattern")),
    top_words=(("identifier", "scoped_identifier", "crate", "self", "super"), ("!", "::", *_COMMENTS)),
)
