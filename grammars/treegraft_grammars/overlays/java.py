"""Java."""

from . import Overlay

# A quoted string ends in its line: the grammar takes a line break into the string, or skips it like a blank before the
# closing quote. Text blocks have tokens of their own.
OVERLAY = Overlay(unbroken=("string_fragment",), one_line=("string_fragment",))
