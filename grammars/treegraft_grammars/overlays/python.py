"""Python 3 as CPython reads it, over a grammar that also knows Python 2."""

from . import Overlay

OVERLAY = Overlay(
    # `print x` and `exec x` are statements of Python 2; in Python 3 both are names.
    words=("print", "exec"),
    # An empty block: the grammar lets a line end after the colon and nothing follow it.
    forbidden=((":", "_newline"),),
    # A line break inside an unfinished statement, an unexpected indentation, a dedent to a column that no block has.
    layout=("_newline", "_indent", "_dedent", "comment"),
)
