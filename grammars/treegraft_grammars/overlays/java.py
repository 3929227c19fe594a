"""Java."""

from . import Overlay

_RESERVED = (
    "abstract", "assert", "break", "byte", "case", "catch", "char", "class", "continue", "default", "do", "double", "else",
    "enum", "extends", "final", "finally", "float", "for", "if", "implements", "import", "instanceof", "int", "interface",
    "long", "native", "new", "package", "private", "protected", "public", "return", "short", "static", "strictfp", "switch",
    "synchronized", "throw", "throws", "transient", "try", "volatile", "while", "null_literal", "true", "false", "this", "super", "void_type",
)  # fmt: skip
_VALUES = (
    "identifier", "field_access", "array_access", "binary_expression", "unary_expression", "parenthesized_expression",
    "lambda_expression", "ternary_expression", "instanceof_expression", "cast_expression", "method_reference",
    "class_literal", "string_literal", "decimal_integer_literal",
)  # fmt: skip

OVERLAY = Overlay(
    # A quoted string ends in its line: the grammar takes a line break into the string, or skips it like a blank before the
    # closing quote. Text blocks have tokens of their own.
    unbroken=("string_fragment",),
    one_line=("string_fragment",),
    # A value is no statement, unless an arrow of a switch hands it out.
    statements=((_VALUES, ";", "expression_statement"),),
    arrows=("->",),
    escapes=(("escape_sequence", "_escape_sequence_token1", "character_literal"), "bstnfr\"'\\01234567u\r\n"),
    # The grammar takes a keyword for a name where it fits nothing else.
    reserved=((_RESERVED, "", ""),),
)
