"""HTML."""

from . import Overlay

# The grammar knows a closing tag without its opening one, and takes it.
OVERLAY = Overlay(decided=(("</", "erroneous_end_tag_name"),))
