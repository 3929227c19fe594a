"""`treegraft serve` as a process: transports, exit codes, lost parents, what goes to which stream."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import stat
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from time import perf_counter
from typing import Any

import pytest

from lsp_client import Client, Process, asking, opening, start_serve
from scripted_engine import ScriptedEngine

SUM = "def f(values):\n    \n"

Start = Callable[..., Coroutine[Any, Any, Process]]


@pytest.fixture
async def start(engine: ScriptedEngine, tmp_path: Path) -> AsyncIterator[Start]:
    """Starts servers that use the scripted engine; ends what is left of them."""
    started: list[Process] = []

    async def start(*flags: str) -> Process:
        process = await start_serve(
            *flags, TREEGRAFT_ENGINE_ADDRESS=str(engine.path), TREEGRAFT_RUNTIME_DIR=str(tmp_path)
        )
        started.append(process)
        return process

    yield start
    for process in started:
        await end(process)


async def end(process: Process) -> None:
    """Leave nothing behind, whatever the test did."""
    if process.child.returncode is None:
        process.child.kill()
    while process.child.returncode is None:
        await asyncio.sleep(0.01)
    process.errors.cancel()
    process.child._transport.close()  # type: ignore[attr-defined]


async def completes(client: Client) -> bool:
    client.open(SUM)
    return len(await client.complete(1, 4)) == 1


async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Client:
    return Client(reader, writer.write)


async def listening(process: Process) -> str:
    """Where a server says that it listens."""
    process.errors.cancel()
    assert process.child.stderr is not None
    async with asyncio.timeout(20):
        while b"listening on" not in (line := await process.child.stderr.readline()):
            assert line, "the server ended"
    return line.decode().split()[-1]


# --- transports ---


async def test_stdio_from_start_to_exit(start: Start) -> None:
    began = perf_counter()
    process = await start("--stdio")
    await process.client.initialize()
    assert perf_counter() - began < 5  # 0.4 s alone on a machine
    assert await completes(process.client)
    await process.client.leave()
    assert await process.exit_code() == 0
    assert await process.errors == b""


async def test_tcp_serves_many_clients_one_after_and_beside_another(start: Start) -> None:
    process = await start("--tcp", "--port", "0")
    host, _, port = (await listening(process)).rpartition(":")
    clients = [await connected(*await asyncio.open_connection(host, int(port))) for _ in range(2)]
    for client in clients:
        await client.initialize()
    clients[0].open(SUM)
    assert await clients[1].complete(1, 4) == []  # not its document
    assert len(await clients[0].complete(1, 4)) == 1
    await clients[0].leave()
    await clients[0].until(lambda: clients[0].hung_up)
    assert await completes(clients[1])
    third = await connected(*await asyncio.open_connection(host, int(port)))
    await third.initialize()
    assert await completes(third)
    process.child.send_signal(signal.SIGTERM)
    assert await process.exit_code() == 0


async def test_a_unix_socket_is_its_owners_alone_and_goes_with_the_server(start: Start, tmp_path: Path) -> None:
    path = tmp_path / "lsp.sock"
    process = await start("--listen-unix", str(path))
    assert await listening(process) == str(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    client = await connected(*await asyncio.open_unix_connection(str(path)))
    await client.initialize()
    assert await completes(client)
    process.child.send_signal(signal.SIGTERM)
    assert await process.exit_code() == 0
    assert not path.exists()


async def test_an_abandoned_socket_is_taken_over_a_used_one_is_not(start: Start, tmp_path: Path) -> None:
    path = tmp_path / "lsp.sock"
    abandoned = socket.socket(socket.AF_UNIX)
    abandoned.bind(str(path))
    abandoned.close()
    first = await start("--listen-unix", str(path))
    assert await listening(first) == str(path)
    second = await start("--listen-unix", str(path))
    assert await second.exit_code() == 1
    assert (await second.errors).decode().splitlines() == [f"treegraft: cannot listen on {path}: another server does"]
    assert path.exists()


@pytest.mark.parametrize("kind", ["socket", "pipe"])
async def test_connecting_to_a_listening_client(start: Start, tmp_path: Path, kind: str) -> None:
    met: asyncio.Queue[Client] = asyncio.Queue()

    async def meet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await met.put(Client(reader, writer.write))

    if kind == "socket":
        listener = await asyncio.start_server(meet, "127.0.0.1", 0)
        flag = f"--socket={listener.sockets[0].getsockname()[1]}"
    else:
        path = tmp_path / "editor.sock"
        listener = await asyncio.start_unix_server(meet, str(path))
        flag = f"--pipe={path}"
    process = await start(flag)
    client = await asyncio.wait_for(met.get(), 15)
    await client.initialize()
    assert await completes(client)
    await client.leave()
    assert await process.exit_code() == 0
    listener.close()


async def test_a_transport_that_cannot_be_had_is_one_line(start: Start) -> None:
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        port = str(busy.getsockname()[1])
        tries = (["--tcp", "--port", port], ["--socket=1"], ["--pipe=/nonexistent"], ["--listen-unix", "/proc/x"])
        for process in await asyncio.gather(*(start(*flags) for flags in tries)):
            assert await process.exit_code() == 1
            (line,) = (await process.errors).decode().splitlines()
            assert line.startswith("treegraft: ")


# --- the end ---


async def test_exit_without_shutdown_is_1(start: Start) -> None:
    process = await start("--stdio")
    await process.client.initialize()
    process.client.notify("exit")
    assert await process.exit_code() == 1


async def test_the_end_of_stdin_ends_the_server_even_while_the_engine_works(
    start: Start, engine: ScriptedEngine
) -> None:
    engine.open.clear()
    process = await start("--stdio")
    await process.client.initialize()
    process.client.send(opening(SUM), process.client.call_message("textDocument/inlineCompletion", asking(1, 4)))
    await engine.asked_for(1)
    assert process.child.stdin is not None
    process.child.stdin.close()
    assert await process.exit_code() == 1


async def test_shutdown_and_exit_while_the_engine_works(start: Start, engine: ScriptedEngine) -> None:
    engine.open.clear()
    process = await start("--stdio")
    await process.client.initialize()
    process.client.send(opening(SUM), process.client.call_message("textDocument/inlineCompletion", asking(1, 4)))
    await engine.asked_for(1)
    await process.client.leave()
    assert await process.exit_code(5) == 0


@pytest.mark.parametrize("told_by", ["processId", "--clientProcessId"])
async def test_the_server_ends_with_its_client_even_if_stdin_stays_open(start: Start, told_by: str) -> None:
    editor = await asyncio.create_subprocess_exec("sleep", "600")
    try:
        process = await start("--stdio", *([] if told_by == "processId" else [f"--clientProcessId={editor.pid}"]))
        await process.client.initialize(processId=editor.pid if told_by == "processId" else None)
        assert await completes(process.client)
    finally:
        editor.kill()
        await editor.wait()
    assert await process.exit_code(10) == 1


async def test_a_process_id_from_elsewhere_does_not_end_the_server(start: Start) -> None:
    process = await start("--stdio")
    await process.client.initialize(processId=2**22 + 5)  # above the highest that Linux gives
    assert await completes(process.client)
    await asyncio.sleep(0.3)
    assert await completes(process.client)


async def test_a_client_that_is_gone_from_the_start_ends_the_server(start: Start) -> None:
    process = await start("--stdio", f"--clientProcessId={2**22 + 5}")
    assert await process.exit_code(10) == 1


async def test_a_client_that_does_not_read_holds_nothing_up(start: Start, engine: ScriptedEngine) -> None:
    engine.answers = ["x" * 200_000]  # each answer is more than a pipe holds
    process = await start("--stdio")
    await process.client.initialize()
    process.client._reading.cancel()
    process.client.send(opening(SUM))
    for n in range(5):
        process.client.send(process.client.call_message("textDocument/inlineCompletion", asking(0, n)))
        await engine.asked_for(n + 1)  # the later requests are read though the earlier answers are not
    process.client.send({"jsonrpc": "2.0", "method": "exit"})
    async with asyncio.timeout(10):
        while process.child.returncode is None:  # wait() would wait for us to read
            await asyncio.sleep(0.02)
    assert process.child.returncode == 1


# --- streams ---


async def test_prints_of_anybody_go_to_stderr(tmp_path: Path) -> None:
    code = (
        "import os, sys\n"
        "from treegraft_daemon.serve.transports import guard_stdio\n"
        "wire_in, wire_out = guard_stdio()\n"
        "print('from python', flush=True)\n"
        "os.system('echo from a child; cat')\n"
        "os.write(wire_out, b'wire ' + os.read(wire_in, 99))\n"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, stdin=-1, stdout=-1, stderr=-1,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    out, err = await process.communicate(b"said")
    assert out == b"wire said"
    assert err.decode().split("\n") == ["from python", "from a child", ""]


async def test_no_source_text_in_the_log(start: Start, tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    process = await start("--stdio", "--log-file", str(log), "--log-level", "INFO")
    await process.client.initialize(initializationOptions={"maxTokens": "x"})
    process.client.open("secret_word = 1\n")
    process.client.send({"jsonrpc": "2.0", "method": "textDocument/didOpen", "params": {"textDocument": "secret_word"}})
    process.client.change(2, {"range": None, "text": "secret_word"}, {"text": ["secret_word"]})
    await process.client.call("textDocument/inlineCompletion", {"textDocument": "secret_word"})
    await process.client.complete(0, 0)
    await process.client.leave()
    assert await process.exit_code() == 0
    assert "secret_word" not in log.read_text()
    assert b"secret_word" not in await process.errors


async def test_an_editors_settings_do_not_override_the_command_line(start: Start) -> None:
    process = await start("--stdio", "--model", "embedded")
    await process.client.initialize(initializationOptions={"model": "/models/other", "maxTokens": 7})
    assert (await process.client.call("treegraft/status"))["result"]["model"] == "embedded"
    await process.client.leave()
    assert await process.exit_code() == 0


async def test_unknown_flags_are_warned_about(start: Start) -> None:
    process = await start("--stdio", "--node-ipc", "--whatever=1")
    await process.client.initialize()
    await process.client.leave()
    assert await process.exit_code() == 0
    assert b"--whatever=1" in await process.errors


async def test_serve_imports_no_torch_and_no_numpy_before_it_answers(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "import treegraft_daemon.serve.server\n"
        "heavy = {'torch', 'numpy', 'tree_sitter', 'tokenizers', 'treegraft_daemon.engine_client'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, stdout=-1, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    )
    out, _ = await process.communicate()
    assert out.decode().strip() == "[]"
