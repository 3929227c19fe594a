"""JSON."""

from . import Overlay

OVERLAY = Overlay(
    # The grammar skips a line break before the closing quote like a blank.
    unbroken=("string_content",),
    # The grammar takes any number of values.
    closed=("document_repeat1",),
    # It takes 01, 1_0 and 0x1.
    json_numbers=("number",),
)
