"""Rust."""

from . import Overlay

_ITEMS = (
    "#", "pub", "fn", "use", "mod", "struct", "enum", "union", "trait", "impl", "type", "const", "static", "extern", "unsafe",
    "async", "default", "gen", "macro_rules!", "identifier", "crate", "self", "super", "::",
)  # fmt: skip
_COMMENTS = ("//", "/*")
# Those of all editions that are no names; within the tokens of a macro they are tokens like others.
_KEYWORDS = (
    "as", "break", "const", "continue", "else", "enum", "extern", "fn", "for", "if", "impl", "in", "let", "loop", "match", "mod",
    "move", "pub", "ref", "return", "static", "struct", "trait", "type", "unsafe", "use", "where", "while",
)  # fmt: skip

OVERLAY = Overlay(
    # The grammar takes statements outside functions. A name there is that of a macro.
    first=("shebang", *_ITEMS, *_COMMENTS),
    top=("source_file_repeat1", (*_ITEMS, *_COMMENTS)),
    # A quote in a macro begins the name of a lifetime, if it is no character.
    forbidden=tuple(("'", token) for token in (")", "]", "}", "(", "[", "{", ",", ";", ".", "=", "=>", '"')),
    # Words right before a text, a character or a `#` are kept for prefixes to come.
    glued=tuple(("identifier", token) for token in ('"', "char_literal", "#")),
    escapes=(("escape_sequence", "char_literal"), "nrt\\0\"'xu\r\n"),
    # A macro in parentheses that is a statement ends in a semicolon.
    alone=((")", "_statement"),),
    # `$x` stands in macros only.
    barred=(("metavariable", "_expression"), ("metavariable", "_type"), ("metavariable", "_pattern")),
    # Where an expression, a pattern or a type may begin: no tokens of a macro.
    reserved=tuple((_KEYWORDS, where, "") for where in ("move", "ref", "dyn")),
    top_words=(("identifier", "scoped_identifier", "crate", "self", "super"), ("!", "::", *_COMMENTS)),
)
