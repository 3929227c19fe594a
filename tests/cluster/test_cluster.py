"""Two real replicas behind one address, with the embedded model. `make cluster` installs Ray and runs these."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from cluster_process import Cluster, free_port, start_cluster
from treegraft_daemon import engine_client
from treegraft_daemon.config import Settings
from treegraft_daemon.engine_client import EngineClient
from treegraft_daemon.errors import TreegraftError
from treegraft_protocol.framing import MAX_FRAME_BYTES
from treegraft_protocol.messages import ReplicaReport, Suggestions

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]

SOURCE = b"import os\n\n\ndef total(values):\n    result = 0\n    for value in values:\n        result += \n    return result\n"
CURSOR = SOURCE.index(b"+= \n") + 3


Start = Callable[..., Cluster]


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Start]:
    running: list[Cluster] = []

    def begin(*options: str) -> Cluster:
        running.append(start_cluster(tmp_path_factory.mktemp("cluster"), *options))
        return running[-1]

    yield begin
    for cluster in running:
        assert cluster.end() == 0, cluster.log.read_text()


@pytest.fixture(scope="module")
def two(start: Start) -> Cluster:
    return start("--replicas", "2")


@pytest.fixture
async def client(two: Cluster) -> AsyncIterator[EngineClient]:
    connected = await two.connect()
    yield connected
    await connected.close()


async def ask(client: EngineClient, document: str, text: bytes = SOURCE, **options: int) -> Suggestions:
    """One completion in a document of this name."""
    return await client.complete(
        document=document,
        path=document,
        language="python",
        text=text,
        offset=CURSOR,
        **{"deadline_ms": 10_000, **options},
    )


async def spread(cluster: Cluster, client: EngineClient) -> tuple[ReplicaReport, ...]:
    """Reports of both replicas, once both have answered."""
    for n in range(200):
        await ask(client, f"file:///spread{n}.py")
        if len(found := await cluster.replicas()) == 2:
            return found
    raise AssertionError(cluster.log.read_text())


async def test_a_completion_is_what_one_machine_gives(
    client: EngineClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TREEGRAFT_RUNTIME_DIR", str(tmp_path))
    here = await engine_client.connect(Settings(), start=True)
    expected = await ask(here, "file:///a.py", n=3)
    await here.stop()
    found = await ask(client, "file:///a.py", n=3)
    assert found.constrained and found.items
    assert [item.text for item in found.items] == [item.text for item in expected.items]


async def test_requests_of_a_document_go_to_one_replica(two: Cluster, client: EngineClient) -> None:
    before = await spread(two, client)
    n_before = sum(replica.documents for replica in before)
    for n in range(10):
        for document in range(20):
            text = SOURCE + b"# typed" * n
            assert (await ask(client, f"file:///affine{document}.py", text)).items
    after = await two.replicas()
    # A document that two replicas served would be counted twice.
    assert sum(replica.documents for replica in after) == n_before + 20
    grown = [it.documents - next(was.documents for was in before if was.name == it.name) for it in after]
    assert all(n > 0 for n in grown), "both replicas work"


async def test_a_cancelled_request_frees_its_replica(two: Cluster, client: EngineClient) -> None:
    await ask(client, "file:///c.py")
    long = asyncio.create_task(ask(client, "file:///c.py", max_tokens=4096, n=16, deadline_ms=60_000))
    await asyncio.sleep(0.3)
    long.cancel()
    with suppress(asyncio.CancelledError):
        await long
    start = time.monotonic()
    assert (await ask(client, "file:///c.py")).items
    assert time.monotonic() - start < 2


async def test_a_deadline_holds_at_the_replica(client: EngineClient) -> None:
    start = time.monotonic()
    await ask(client, "file:///d.py", max_tokens=4096, n=16, deadline_ms=300)
    assert time.monotonic() - start < 1.5


async def test_a_killed_replica_costs_its_requests_an_empty_answer(two: Cluster) -> None:
    clients = [await two.connect() for _ in range(10)]
    victim = (await spread(two, clients[0]))[0]
    start = time.monotonic()
    running = [
        asyncio.create_task(ask(client, f"file:///k{i}.py", max_tokens=256, n=4, deadline_ms=20_000))
        for client in clients
        for i in range(5)
    ]
    await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
    os.kill(victim.pid, signal.SIGKILL)
    answers = await asyncio.wait_for(asyncio.gather(*running), 25)
    assert time.monotonic() - start < 22, "none hangs past its deadline"
    assert len(answers) == 50
    assert all(answer.items or answer.reason for answer in answers)
    assert sum(bool(answer.items) for answer in answers) >= 10, "those of the other replica are not touched"
    assert any(answer.reason == "replica lost" for answer in answers)
    for i in range(10):
        assert (await ask(clients[i], f"file:///after{i}.py")).items
    for client in clients:
        await client.close()


async def test_replicas_are_replaced_while_requests_run(two: Cluster, client: EngineClient) -> None:
    before = {replica.pid for replica in await spread(two, client)}
    n_lines = two.log.read_bytes().count(b"are replaced")
    two.process.send_signal(signal.SIGHUP)
    n_asked = 0
    end = time.monotonic() + 90
    while two.log.read_bytes().count(b"are replaced") == n_lines:
        assert time.monotonic() < end, two.log.read_text()
        assert (await ask(client, f"file:///u{n_asked % 7}.py")).items, "no request is refused"
        n_asked += 1
        await asyncio.sleep(0.05)
    for n in range(30):
        assert (await ask(client, f"file:///v{n}.py")).items
    lately = {replica.pid for replica in await two.replicas() if replica.age_s < 1}
    assert n_asked > 10 and lately and not lately & before


async def test_one_to_two_to_one_under_load(start: Start) -> None:
    cluster = start("--replicas", "1-2")
    clients = [await cluster.connect() for _ in range(8)]
    n_failed = 0

    async def load(client: EngineClient, name: str, until: Callable[[], bool]) -> None:
        nonlocal n_failed
        n = 0
        while not until():
            found = await ask(client, f"file:///{name}{n % 3}.py", max_tokens=48, n=8, deadline_ms=30_000)
            n_failed += not found.items
            n += 1

    end = time.monotonic() + 90
    grown = asyncio.Event()
    loads = [asyncio.create_task(load(client, f"l{i}", grown.is_set)) for i, client in enumerate(clients)]
    while len(await cluster.replicas()) < 2:
        assert time.monotonic() < end, cluster.log.read_text()
        await asyncio.sleep(0.5)
    grown.set()
    await asyncio.gather(*loads)
    # One replica is let go of when little is asked for; what is asked meanwhile is answered.
    end = time.monotonic() + 180
    while sum(replica.age_s < 5 for replica in await cluster.replicas()) == 2 or time.monotonic() < end - 60:
        assert time.monotonic() < end, [replica.age_s for replica in await cluster.replicas()]
        for i in range(12):
            n_failed += not (await ask(clients[0], f"file:///m{i}.py")).items
        await asyncio.sleep(1)
    assert n_failed == 0
    for client in clients:
        await client.close()


async def test_strangers_and_a_thousand_idle_connections_cost_nothing(two: Cluster, client: EngineClient) -> None:
    host, _, port = two.settings.engine_address.partition(":")
    wrong = two.log.with_name("wrong-token")
    wrong.write_text("no\n")
    wrong.chmod(0o600)
    with pytest.raises(TreegraftError, match="token"):
        await engine_client.connect(replace(two.settings, token_file=str(wrong)), start=False)
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write((MAX_FRAME_BYTES + 1).to_bytes(4, "big") + b"x" * 100)
    assert b"too_large" in await asyncio.wait_for(reader.read(), 5), "refused, and the connection ends"
    idle = [await two.connect() for _ in range(1000)]
    start = time.monotonic()
    assert (await ask(client, "file:///idle.py")).items
    assert time.monotonic() - start < 2
    assert (await client.status()).clients >= 1001
    for one in idle:
        await one.close()


async def test_a_front_uses_a_cluster_that_runs_and_leaves_it_running(tmp_path: Path) -> None:
    port = free_port()
    ray = [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block", "--port", str(port)]
    options = ["--num-cpus", "2", "--include-dashboard=false", "--disable-usage-stats"]
    with subprocess.Popen([*ray, *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as head:
        try:
            end = time.monotonic() + 60
            while not answers(port):
                assert head.poll() is None and time.monotonic() < end
                await asyncio.sleep(0.2)
            for n in range(2):
                folder = tmp_path / str(n)
                folder.mkdir()
                cluster = start_cluster(folder, "--replicas", "1", ray=f"127.0.0.1:{port}")
                client = await cluster.connect()
                assert (await ask(client, "file:///there.py")).items
                await client.close()
                assert cluster.end() == 0, cluster.log.read_text()
                assert head.poll() is None, "the cluster is not ours to end"
        finally:
            head.terminate()


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


async def test_one_who_asks_much_and_reads_nothing_delays_nobody(two: Cluster, client: EngineClient) -> None:
    await ask(client, "file:///fair.py")
    greedy = await two.connect()
    greedy._reader._transport.pause_reading()  # type: ignore[attr-defined]
    flood = [asyncio.create_task(ask(greedy, f"file:///g{n}.py", max_tokens=256, n=4)) for n in range(100)]
    await asyncio.sleep(0.1)
    for _ in range(5):
        start = time.monotonic()
        assert (await ask(client, "file:///fair.py")).items
        assert time.monotonic() - start < 2, "it waits for one completion of the other at most"
    for task in flood:
        task.cancel()
    await asyncio.gather(*flood, return_exceptions=True)
    await greedy.close()


def test_what_cannot_be_started_is_told_in_a_line(tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "TREEGRAFT_RUNTIME_DIR": str(tmp_path),
        "TREEGRAFT_CONFIG": str(tmp_path / "none.toml"),
    }
    command = [sys.executable, "-m", "treegraft_daemon", "engine", "--ray", f"127.0.0.1:{free_port()}"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert "treegraft: cannot start replicas on 127.0.0.1" in done.stderr and "Traceback" not in done.stderr
    command = [*command[:-2], "--ray", "--model", str(tmp_path)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert f"cannot start replicas on this machine: {tmp_path} has no config.json" in done.stderr
    assert "Traceback" not in done.stderr
