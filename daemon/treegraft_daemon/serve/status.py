"""How one client is served just now, as its editor may show it: told when it changes, logged when it is trouble.

Knows no LSP: how the client is told, the server says.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from treegraft_daemon.errors import TreegraftError

logger = logging.getLogger(__name__)

SAME_LINE_S = 60.0  # the same trouble is logged once in so long


class Status:
    """One client's. `kind` is Normal, Inactive, Warning or Error."""

    def __init__(self, send: Callable[[Status], None]) -> None:
        """`send` tells the client of a change."""
        self.kind, self.message, self.busy = "Normal", "", False
        self.reason = ""  # why the last answer of the engine was empty or unchecked
        self._send = send
        self._logged_at: dict[str, float] = {}

    def tell(self, kind: str, message: str, busy: bool = False) -> None:
        """The state is this now; busy: it will change by itself."""
        if (kind, message, busy) == (self.kind, self.message, self.busy):
            return
        self.kind, self.message, self.busy = kind, message, busy
        self._send(self)

    def trouble(self, problem: TreegraftError) -> None:
        """There are no suggestions, and why."""
        line, now = str(problem), asyncio.get_running_loop().time()
        if now - self._logged_at.get(line, float("-inf")) > SAME_LINE_S:  # not one per key
            self._logged_at[line] = now
            logger.warning("no suggestions: %s", line)
        self.reason = line
        self.tell("Error", line)
