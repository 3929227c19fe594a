"""Bash."""

from . import Overlay

# What ends or continues a construct is no command; it is a word anywhere else.
OVERLAY = Overlay(reserved=((("then", "do", "else", "elif", "fi", "done", "esac"), "if"),))
