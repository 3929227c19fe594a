"""JSON."""

from . import Overlay

# The grammar skips a line break before the closing quote like a blank.
OVERLAY = Overlay(unbroken=("string_content",))
