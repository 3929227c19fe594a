"""C and C++."""

from . import Overlay

# The grammar skips a line break before the closing quote like a blank. An escaped one is a token.
OVERLAY = Overlay(unbroken=("string_content",))
