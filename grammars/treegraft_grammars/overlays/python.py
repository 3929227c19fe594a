"""Python 3 as CPython reads it, over a grammar that also knows Python 2."""

from . import Order, Overlay, Unfinished

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
    forbidden=(
        (":", "_newline"),
        ("(", ","),
        ("{", ","),
        *((operator, "*") for operator in _OPERATORS),
        ("await", "="),
        ("async", "="),
    ),
    # A list of imports without brackets ends in no comma.
    # Brackets around a starred value alone are none of a list.
    # `await` and `async` are no names, even where nothing follows them.
    reduce=(
        (",", "_newline", "_import_list"),
        (",", ";", "_import_list"),
        (")", "", "parenthesized_list_splat"),
        *((word, "", phrase) for word in ("await", "async") for phrase in ("primary_expression", "pattern")),
    ),
    # What is tried has handlers, or something done at last.
    unfinished=(
        Unfinished(
            "try_statement",
            opener="try",
            bodies=("block", "_simple_statements"),
            words=("except", "finally"),
            phrases=("except_clause", "finally_clause", "try_statement_repeat1"),
        ),
    ),
    # `a := b` needs brackets, and `a as b` is said of what is imported, opened or matched only.
    statements=(
        (("named_expression", "as_pattern"), "_newline", "expression_statement"),
        (("named_expression", "as_pattern"), ";", "expression_statement"),
    ),
    # An annotation is one type: `a: b: c` has two. What is assigned is no `b += c`.
    base=((":", "constrained_type"), *((operator, "augmented_assignment") for operator in ("=", *_ASSIGNMENTS))),
    # `a = b: c` is no annotation.
    # `a, b += c` adds to no place.
    # Nor is `a += b = c` an assignment, and `a = b := c` needs brackets.
    # `except a, b` and `raise a, b` were Python 2.
    stands_on=(
        ("=", ":"),
        *((",", operator) for operator in _ASSIGNMENTS),
        *((operator, "=") for operator in _ASSIGNMENTS),
        *((operator, ":=") for operator in ("=", *_ASSIGNMENTS)),
        ("return", ":="),
        ("except", ","),
        ("raise", ","),
    ),
    # `x for x in a, b` was a comprehension of Python 2, and `<>` a comparison.
    barred=((",", "for_in_clause_repeat1"), ("<>", "")),
    # 09 was a number of Python 2.
    decimals=("integer",),
    # A keyword is never a name, whatever would fit.
    reserved=((_KEYWORDS, "", ""),),
    # `f(a=1, b)` and `def f(a=1, b)`: nothing plain behind what is named.
    order=Order(
        separator=",",
        ordered=("argument_list_repeat1", "_parameters_repeat1", "parameter", "typed_parameter"),
        named=("keyword_argument", "default_parameter", "typed_default_parameter"),
        unpacked=("dictionary_splat",),
        starred=("list_splat", "positional_separator"),
        barrier=("list_splat_pattern", "dictionary_splat_pattern", "keyword_separator"),
        words=("identifier", "match", "type"),
        starts=("*", "**", ")", ":", "/"),
        rest=("=", ":"),
    ),
    # A line break inside an unfinished statement, an unexpected indentation, a dedent to a column that no block
    # has; and a line break right behind a single quote.
    layout=("_newline", "_indent", "_dedent", "comment", "_string_content"),
)
