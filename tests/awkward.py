"""Letters that trip up whoever counts them: shared by the tests of positions, documents and conversations."""

from __future__ import annotations

from typing import get_args

from treegraft_daemon.serve.positions import Encoding

ENCODINGS: tuple[Encoding, ...] = get_args(Encoding)

# Everything that some library takes for a line break, next to what is one; letters of 1, 2, 3 and 4 bytes.
ALPHABET = [
    "a",
    "(",
    "\n",
    "\r",
    "\r\n",
    "\f",
    "\v",
    "\x1c",
    "\x85",
    "\u2028",
    "\u2029",
    "é",
    "語",
    "😋",
    "e\u0301",
    "\t",
]
