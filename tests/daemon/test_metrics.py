"""Numbers for people and for Prometheus."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path

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


def test_the_dashboard_asks_for_numbers_that_there_are() -> None:
    root = Path(__file__).parent.parent.parent
    panels = json.loads((root / "docs" / "grafana.json").read_text())["panels"]
    asked = {
        name
        for panel in panels
        for target in panel["targets"]
        for name in re.findall(r"\w*treegraft_\w+", target["expr"])
    }
    # Ray puts its name before ours, and an ending behind those of counters and histograms.
    source = (root / "daemon" / "treegraft_daemon" / "engine" / "cluster.py").read_text()
    declared = set(re.findall(r'(?:Counter|Histogram)\("(treegraft_\w+)"', source))
    of_replicas = {f"ray_{name}{ending}" for name in declared for ending in ("_total", "_bucket")}
    of_front = set(re.findall(r"^(treegraft_\w+)", metrics.exposition(REPORT), re.MULTILINE))
    assert asked and asked <= of_replicas | of_front
    assert declared == {
        name.removeprefix("ray_").removesuffix("_total").removesuffix("_bucket") for name in asked - of_front
    }
