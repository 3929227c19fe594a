"""The only file that knows LSP: ours in, ours out, nothing escapes."""

from __future__ import annotations

from treegraft_daemon.serve.transports import Transport

__all__ = ["Transport"]
