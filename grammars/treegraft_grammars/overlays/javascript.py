"""JavaScript, and what TypeScript shares with it."""

from . import Overlay, Tags

_OPERATORS = ("&&", "||", "??", "==", "===", "!=", "!==", "+", "-", "/", "%", "&", "^", "instanceof")
_RESERVED = (
    "break", "case", "catch", "class", "const", "continue", "debugger", "default", "delete", "do", "else", "extends",
    "finally", "for", "if", "in", "instanceof", "return", "switch", "throw", "try", "typeof", "var", "void", "while", "with",
)  # fmt: skip

OVERLAY = Overlay(
    # A line break ends no quoted string early: the grammar skips it like a blank before the closing quote.
    unbroken=("string_fragment",),
    # Holes stand in arrays only; the grammar has them in arguments, parameters and objects too.
    forbidden=(("(", ","), ("{", ",")),
    in_frame=(("(", ",", ","), ("{", ",", ",")),
    # What is taken apart must be given.
    alone=(("}", "variable_declarator"), ("]", "variable_declarator")),
    # A brace behind an arrow opens a block.
    base=(("=>", "object"),),
    # Nor is an object or a function without name a statement.
    statements=((("object", "function_expression"), "", "expression_statement"),),
    # `a && b = c` assigns to no place.
    stands_on=tuple((operator, "=") for operator in _OPERATORS),
    # A keyword is a name behind a dot and in front of a colon, but not where an expression begins.
    reserved=((_RESERVED, "function", ""),),
    # Between a tag's attributes braces hold what is spread.
    only=(("{", "...", "jsx_opening_element_repeat1"),),
    tags=Tags(
        "<",
        "</",
        ">",
        "jsx_opening_element",
        names=("identifier",),
        joints=(".", ":"),
        parts=("member_expression", "jsx_namespace_name"),
    ),
)
