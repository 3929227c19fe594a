"""JavaScript, TypeScript and TSX."""

from . import Overlay

# A line break ends no quoted string early: the grammar skips it like a blank before the closing quote.
OVERLAY = Overlay(unbroken=("string_fragment",))
