"""Numbers for people and for Prometheus."""

from __future__ import annotations

import asyncio

from treegraft_daemon.engine import metrics
from treegraft_daemon.telemetry import Latencies
from treegraft_protocol.messages import StatusReport

REPORT = StatusReport(
    id=0, pid=1, version="0", model="m", state="ready", uptime_s=2.5, clients=1, documents=2, queued=0, running=1,
    counters={"requests": 7}, latencies_ms={"total": (1.0, 2.0, 30.5)},
)  # fmt: skip


def test_percentiles_are_those_of_the_last_calls() -> None:
    latencies = Latencies(n_kept=100)
    for ms in [1e6, *range(100)]:
        latencies.add("parse", ms)
    assert latencies.snapshot() == {"parse": (50, 75, 95)}


async def fetched(port: int, request: bytes) -> str:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    answer = await reader.read()
    writer.close()
    return answer.decode()


async def test_prometheus_finds_the_numbers(unused_tcp_port: int) -> None:
    server = await metrics.serve("127.0.0.1", unused_tcp_port, lambda: REPORT)
    answer = await fetched(unused_tcp_port, b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
    head, body = answer.split("\r\n\r\n")
    assert head.startswith("HTTP/1.1 200 OK")
    assert f"Content-Length: {len(body)}" in head
    assert 'treegraft_events_total{event="requests"} 7' in body
    assert 'treegraft_latency_ms{stage="total",quantile="0.95"} 30.5' in body
    assert "treegraft_uptime_s 2.5" in body
    assert (await fetched(unused_tcp_port, b"GET / HTTP/1.1\r\n\r\n")).startswith("HTTP/1.1 404")
    server.close()
