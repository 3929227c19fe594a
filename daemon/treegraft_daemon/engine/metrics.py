"""Counters and latencies of an engine as Prometheus reads them, over the least of HTTP.

Off unless an address is set. Says numbers only: no text, no path, no name of a document.
Source: Prometheus exposition formats, text format 0.0.4.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

from treegraft_protocol.messages import StatusReport

PATIENCE_S = 5.0


def exposition(report: StatusReport) -> str:
    """The report as text in Prometheus' format."""
    lines = ["# TYPE treegraft_events_total counter"]
    lines += [f'treegraft_events_total{{event="{name}"}} {n}' for name, n in sorted(report.counters.items())]
    gauges = {name: getattr(report, name) for name in ("uptime_s", "clients", "documents", "queued", "running")}
    for name, value in gauges.items():
        lines += [f"# TYPE treegraft_{name} gauge", f"treegraft_{name} {value:g}"]
    lines.append("# TYPE treegraft_latency_ms gauge")
    for stage, values in sorted(report.latencies_ms.items()):
        for quantile, ms in zip(("0.5", "0.75", "0.95"), values, strict=True):
            lines.append(f'treegraft_latency_ms{{stage="{stage}",quantile="{quantile}"}} {ms:g}')
    return "\n".join(lines) + "\n"


async def serve(host: str, port: int, report: Callable[[], StatusReport]) -> asyncio.Server:
    """Answer GET /metrics at an address. Raises OSError when it cannot be had."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            async with asyncio.timeout(PATIENCE_S):
                head = await reader.readuntil(b"\r\n\r\n")
                found = head.split(b" ")[:2] == [b"GET", b"/metrics"]
                body = exposition(report()).encode() if found else b"treegraft: GET /metrics\n"
                status = b"200 OK" if found else b"404 Not Found"
                writer.write(
                    b"HTTP/1.1 %b\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n"
                    b"Content-Length: %d\r\nConnection: close\r\n\r\n%b" % (status, len(body), body)
                )
                await writer.drain()
        writer.close()

    return await asyncio.start_server(answer, host, port)
