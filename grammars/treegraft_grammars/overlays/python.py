"""Python 3 as CPython reads it, over a grammar that also knows Python 2."""

from . import Overlay

_KEYWORDS = (
    "and", "as", "assert", "async", "await", "break", "class", "continue", "def", "del", "elif", "else", "except", "finally",
    "for", "from", "global", "if", "import", "in", "is", "lambda", "nonlocal", "not", "or", "pass", "raise", "return", "try",
    "while", "with", "yield",
)  # fmt: skip

_OPERATORS = (
    "==", "!=", "<", ">", "<=", ">=", "+", "-", "/", "//", "%", "&", "|", "^", "<<", ">>", "and", "or", "not", "assert",
    "@",
)  # fmt: skip
_ASSIGNMENTS = ("+=", "-=", "*=", "/=", "@=", "//=", "%=", "**=", ">>=", "<<=", "&=", "^=", "|=")

OVERLAY = Overlay(
    # `print x` and `exec x` are statements of Python 2; in Python 3 both are names.
    words=("print", "exec"),
    # An empty block: the grammar lets a line end after the colon and nothing follow it.
    # And a star is no operand.
    # Nor does a list begin with a comma.
    forbidden=((":", "_newline"), ("(", ","), ("{", ","), *((operator, "*") for operator in _OPERATORS)),
    # A list of imports without brackets ends in no comma.
    # Brackets around a starred value alone are none of a list.
    reduce=((",", "_newline", "_import_list"), (",", ";", "_import_list"), (")", "", "parenthesized_list_splat")),
    # `a := b` needs brackets, and `a as b` is said of what is imported, opened or matched only.
    statements=(
        (("named_expression", "as_pattern"), "_newline", "expression_statement"),
        (("named_expression", "as_pattern"), ";", "expression_statement"),
    ),
    # `a = b: c` is no annotation.
    # `a, b += c` adds to no place.
    stands_on=(("=", ":"), *((",", operator) for operator in _ASSIGNMENTS)),
    # 09 was a number of Python 2.
    decimals=("integer",),
    # A keyword is never a name, whatever would fit.
    reserved=((_KEYWORDS, "", ""),),
    # A line break inside an unfinished statement, an unexpected indentation, a dedent to a column that no block
    # has; and a line break right behind a single quote.
    layout=("_newline", "_indent", "_dedent", "comment", "_string_content"),
)
