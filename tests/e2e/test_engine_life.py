"""Life of the real engine process: killed, cancelled, shared, refused."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from treegraft_daemon import engine_client
from treegraft_daemon.config import Precision, Settings
from treegraft_daemon.endpoint import endpoint_of
from treegraft_daemon.engine_client import EngineClient
from treegraft_daemon.errors import ConfigError, EngineError, EngineFailed, EngineUnreachable, TreegraftError
from treegraft_protocol.framing import encode
from treegraft_protocol.messages import PROTOCOL_VERSION, Complete, Hello, Status, Suggestions

TEXT = b"import os\n\n\ndef names(folder):\n    return os.\n\n\nprint(names('.'))\n"
OFFSET = TEXT.index(b"os.\n") + 3


@pytest.fixture
async def settings(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Settings]:
    """An engine of this test's own, ended with it."""
    with tempfile.TemporaryDirectory(prefix="tg") as folder:
        monkeypatch.setenv("TREEGRAFT_RUNTIME_DIR", folder)
        yield Settings()
        try:
            client = await engine_client.connect(Settings(), start=False)
            await client.stop()
            await client.close()
        except EngineError:
            pass


def ask(
    client: EngineClient, document: str = "a", text: bytes = TEXT, max_tokens: int = 48
) -> asyncio.Task[Suggestions]:
    return asyncio.create_task(
        client.complete(
            document=document, path="a.py", language="python", text=text, offset=OFFSET, max_tokens=max_tokens, n=5
        )
    )


async def test_a_killed_engine_fails_its_request_and_the_next_one_works(settings: Settings) -> None:
    client = await engine_client.connect(settings, start=True)
    pid = (await client.status()).pid
    asking = ask(client)
    await asyncio.sleep(0)
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(EngineFailed):
        await asyncio.wait_for(asking, 5)
    assert client.closed
    await client.close()
    again = await engine_client.connect(settings, start=True)
    assert (await again.status()).pid != pid
    assert (await ask(again)).items
    await again.close()


async def test_a_hundred_cancelled_requests_leave_the_model_idle(settings: Settings) -> None:
    rng = random.Random(3)
    client = await engine_client.connect(settings, start=True)
    await ask(client)
    n_answers = 0
    for number in range(100):
        asking = ask(client, document=str(number % 7))
        await asyncio.sleep(rng.random() * 0.02)
        asking.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asking
        n_answers += 1
    await asyncio.sleep(0.2)
    report = await client.status()
    assert (n_answers, report.running, report.queued) == (100, 0, 0)
    answers = sum(count for name, count in report.counters.items() if name.startswith("answers"))
    assert answers == report.counters["requests"]
    assert (await ask(client)).items
    await client.close()


async def test_two_clients_see_their_own_documents(settings: Settings) -> None:
    one, two = [await engine_client.connect(settings, start=True) for _ in range(2)]
    other = TEXT.replace(b"names", b"listed")
    answers = await asyncio.gather(ask(one), ask(two, text=other))
    again = await asyncio.gather(ask(one), ask(two, text=other))
    assert [answer.items for answer in answers] == [answer.items for answer in again]
    assert (await one.status()).clients == 2
    await one.close()
    assert (await ask(two, text=other)).items
    await two.close()


async def test_two_starters_end_with_one_engine(settings: Settings) -> None:
    clients = await asyncio.gather(*(engine_client.connect(settings, start=True) for _ in range(4)))
    assert len({(await client.status()).pid for client in clients}) == 1
    for client in clients:
        await client.close()


async def test_a_second_engine_is_refused_in_one_line(settings: Settings) -> None:
    client = await engine_client.connect(settings, start=True)
    command = [sys.executable, "-m", "treegraft_daemon", "engine"]
    second = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert second.returncode == 1
    assert second.stderr.startswith("treegraft: an engine already serves")
    assert second.stderr.count("\n") == 1
    await client.close()


async def test_a_stale_socket_is_no_engine(settings: Settings) -> None:
    path = endpoint_of(settings).socket
    path.touch()
    with pytest.raises(EngineUnreachable):
        await engine_client.connect(settings, start=False)
    client = await engine_client.connect(settings, start=True)
    assert (await ask(client)).items
    assert path.stat().st_mode & 0o777 == 0o600
    await client.close()


async def connected(far: Settings) -> EngineClient:
    """A connection to an engine that was started a moment ago."""
    for _ in range(200):
        await asyncio.sleep(0.05)
        with contextlib.suppress(TreegraftError):
            return await engine_client.connect(far, start=False)
    raise AssertionError("the engine did not start")


async def test_a_network_engine_wants_its_token(settings: Settings, tmp_path: Path, unused_tcp_port: int) -> None:
    token, wrong = tmp_path / "token", tmp_path / "wrong"
    wrong.write_text("x" * 32)
    wrong.chmod(0o600)
    address = f"127.0.0.1:{unused_tcp_port}"
    command = [sys.executable, "-m", "treegraft_daemon", "engine", "--tcp", address, "--token-file", str(token)]
    engine = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        far = replace(settings, engine_address=address, token_file=str(token))
        client = await connected(far)
        assert (await ask(client)).items
        await client.close()
        with pytest.raises(EngineError, match="refused"):
            await engine_client.connect(replace(far, token_file=str(wrong)), start=False)
        busy = subprocess.run(
            [*command[:-2], "--token-file", str(token), "--model", str(tmp_path)],
            capture_output=True, text=True, timeout=30,
        )  # fmt: skip
        assert busy.returncode == 1
        assert "cannot listen" in busy.stderr
    finally:
        engine.terminate()
        assert engine.wait(10) == 0


@pytest.mark.skipif(not shutil.which("openssl"), reason="makes its certificates with openssl")
async def test_a_network_engine_speaks_tls(settings: Settings, tmp_path: Path, unused_tcp_port: int) -> None:
    for name in ("own", "other"):
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=treegraft",
             "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", tmp_path / f"{name}.key", "-out", tmp_path / f"{name}.pem"],
            check=True, capture_output=True,
        )  # fmt: skip
    address, token = f"127.0.0.1:{unused_tcp_port}", tmp_path / "token"
    command = [sys.executable, "-m", "treegraft_daemon", "engine", "--listen", address, "--token-file", str(token)]
    engine = subprocess.Popen(
        [*command, "--tls-cert", str(tmp_path / "own.pem"), "--tls-key", str(tmp_path / "own.key")],
        stderr=subprocess.DEVNULL,
    )
    try:
        far = replace(settings, engine_address=address, token_file=str(token), tls_ca=str(tmp_path / "own.pem"))
        client = await connected(far)
        assert (await ask(client)).items
        with pytest.raises(EngineUnreachable, match="self-signed certificate"):
            await engine_client.connect(replace(far, tls_ca=str(tmp_path / "other.pem")), start=False)
        with pytest.raises(EngineUnreachable):
            await engine_client.connect(replace(far, tls_ca=""), start=False)
        with pytest.raises(ConfigError, match=r"cannot use the authority in .*: no such file"):
            await engine_client.connect(replace(far, tls_ca=str(tmp_path / "none.pem")), start=False)
        assert (await ask(client)).items, "whoever is turned away costs nothing"
        await client.close()
    finally:
        engine.terminate()
        assert engine.wait(10) == 0
    broken = subprocess.run([*command, "--tls-cert", str(token)], capture_output=True, text=True, timeout=30)
    assert broken.returncode == 1 and "cannot use the certificate" in broken.stderr and "Traceback" not in broken.stderr


async def test_garbage_in_frames_harms_nobody(settings: Settings) -> None:
    """10,000 mutated frames of valid traffic; a healthy client is served all the while."""
    rng = random.Random(11)
    healthy = await engine_client.connect(settings, start=True)
    hello = encode(Hello(protocol=PROTOCOL_VERSION, client="fuzz"))
    complete = Complete(id=1, document="a", version=1, offset=3, language="python", text=b"x = (1, 2)\n", max_tokens=1)
    valid = [encode(complete), encode(Status(id=2)), hello]
    n_sent = 0
    while n_sent < 10_000:
        reader, writer = await asyncio.open_unix_connection(str(endpoint_of(settings).socket))
        writer.write(hello)
        for _ in range(250):
            frame = bytearray(rng.choice(valid))
            for _ in range(rng.randrange(1, 4)):
                # Most keep their length, so that what follows is read as well.
                frame[rng.randrange(4 if rng.random() < 0.99 else 0, len(frame))] = rng.randrange(256)
            writer.write(bytes(frame))
            n_sent += 1
        try:
            writer.write_eof()
            async with asyncio.timeout(30):
                while await reader.read(1 << 16):
                    pass
        except (ConnectionError, OSError):
            pass
        writer.close()
    assert (await asyncio.wait_for(ask(healthy), 30)).items
    assert (await healthy.status()).clients == 1
    await healthy.close()


async def test_an_idle_engine_lets_go_of_the_model_and_loads_it_again(settings: Settings) -> None:
    client = await engine_client.connect(replace(settings, idle_unload_s=1), start=True)
    before = await ask(client)
    pid = (await client.status()).pid
    loaded_kb = resident_kb(pid)
    async with asyncio.timeout(20):
        while (await client.status()).state != "unloaded":  # asking for the status keeps nobody awake, and wakes nobody
            await asyncio.sleep(0.1)
    assert resident_kb(pid) < loaded_kb - 8_000  # the tables of one language
    after = await ask(client)
    assert [item.text for item in after.items] == [item.text for item in before.items]
    assert (await client.status()).state == "ready"
    assert (await client.status()).counters["unloads"] == 1
    await client.close()


def resident_kb(pid: int) -> int:
    return int(Path(f"/proc/{pid}/status").read_text().split("VmRSS:")[1].split()[0])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("precision", "copying", "told"),
    [("auto", False, "by Int8Network, asked"), ("full", True, "by PlainNetwork with copying, asked")],
)
async def test_an_engine_started_on_demand_loads_as_the_settings_say(
    settings: Settings, model_folder: Callable[[str], Path], precision: Precision, copying: bool, told: str
) -> None:
    model = str(model_folder("even_qwen"))
    wanted = replace(settings, model=model, precision=precision, copying=copying)
    client = await engine_client.connect(wanted, start=True)
    await ask(client)
    assert (await client.status()).model == model
    assert told in endpoint_of(wanted).log.read_text()
    await client.close()
