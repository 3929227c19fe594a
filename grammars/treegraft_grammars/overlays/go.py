"""Go."""

from . import Overlay

_DECLARATIONS = ("import", "func", "type", "var", "const")
_KEYWORDS = (
    "break", "case", "chan", "const", "continue", "default", "defer", "else", "fallthrough", "for", "func", "go", "goto",
    "if", "import", "interface", "map", "package", "range", "return", "select", "struct", "switch", "type", "var",
)  # fmt: skip

OVERLAY = Overlay(
    # The language puts a semicolon at the end of a line after these; the grammar skips the line break where it cannot.
    ends_line=(
        "identifier", "int_literal", "float_literal", "imaginary_literal", "rune_literal", "`", '"', "nil", "true", "false",
        "iota", "break", "continue", "fallthrough", "return", "++", "--", ")", "]", "}",
    ),
    # The grammar takes statements outside functions, and files without a package.
    first=("package",),
    top=("source_file_repeat1", _DECLARATIONS),
    escapes=(("escape_sequence", "rune_literal"), "abfnrtv\\'\"01234567xuU"),
    # The grammar takes a keyword for a name where it fits nothing else.
    reserved=((_KEYWORDS, "", ""),),
)  # fmt: skip
