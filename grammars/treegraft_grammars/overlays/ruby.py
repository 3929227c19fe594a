"""Ruby."""

from . import Overlay

_RESERVED = (
    "alias", "and", "begin", "break", "case", "class", "def", "do", "else", "elsif", "end", "ensure", "for", "if", "in",
    "module", "next", "nil", "not", "or", "redo", "rescue", "retry", "return", "self", "super", "then", "true", "false",
    "undef", "unless", "until", "when", "while", "yield",
)  # fmt: skip

OVERLAY = Overlay(
    # The grammar takes a keyword for a name where it fits nothing else: an `end` too many, or a `then`. It is a name behind
    # a dot and after def, and a key in front of a colon, which the scanner tells.
    reserved=((_RESERVED, "while", ""),),
)
