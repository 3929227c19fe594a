"""Whatever is killed or taken away: nothing is left behind, and the next start works. Real processes, real engine."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import pytest

from treegraft_daemon.serve.transports import is_alive

EDITOR = Path(__file__).parents[1] / "editor_process.py"
ENGINE_LEAVES_S = 1


@pytest.fixture
def environment() -> Iterator[dict[str, str]]:
    """An engine of this test's own that ends soon after its last client; the folder is short, as socket paths must be."""
    with tempfile.TemporaryDirectory(prefix="tg", ignore_cleanup_errors=True) as folder:
        yield {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(sys.path),
            "TREEGRAFT_RUNTIME_DIR": folder,
            "TREEGRAFT_IDLE_EXIT_S": str(ENGINE_LEAVES_S),
        }


def editor(
    environment: dict[str, str], *words: str, stay: bool = False
) -> tuple[subprocess.Popen[str], dict[str, Any]]:
    """An editor that has asked once; `words` go before its command. What it printed."""
    command = [*words, sys.executable, str(EDITOR), *(["--stay"] if stay else [])]
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True
    )
    assert process.stdout is not None
    assert process.stderr is not None
    line = process.stdout.readline()
    assert line, process.stderr.read()
    found: dict[str, Any] = json.loads(line)
    if not stay:
        assert process.wait(20) == 0, process.stderr.read()
        process.stderr.close()
    process.stdout.close()
    return process, found


def gone(pid: int, within_s: float = 10) -> bool:
    end = monotonic() + within_s
    while is_alive(pid):
        if monotonic() > end:
            return False
        sleep(0.05)
    return True


ORDERS = list(itertools.permutations(["editor", "serve", "engine"]))


@pytest.mark.parametrize(
    "order",
    [*(pytest.param(order, marks=pytest.mark.slow) for order in ORDERS[:-1]), ORDERS[-1]],
    ids="-".join,
)
def test_killed_in_any_order_nothing_stays_and_the_next_start_works(
    environment: dict[str, str], order: tuple[str, ...]
) -> None:
    process, found = editor(environment, stay=True)
    assert found["items"] == 1
    pids = {"editor": process.pid, "serve": found["serve"], "engine": found["engine"]}
    for victim in order:
        if is_alive(pids[victim]):
            os.kill(pids[victim], signal.SIGKILL)
        if victim == "editor":
            process.wait(10)
    assert process.stderr is not None
    process.stderr.close()
    assert gone(pids["serve"])
    assert gone(pids["engine"])
    _, again = editor(environment)
    assert again["items"] == 1
    assert gone(again["engine"])


@pytest.mark.parametrize("victim", ["editor", pytest.param("serve", marks=pytest.mark.slow)])
def test_who_is_left_alone_leaves(environment: dict[str, str], victim: str) -> None:
    """The server ends with its editor, and the engine, which outlives both, after the time that is set."""
    process, found = editor(environment, stay=True)
    os.kill({"editor": process.pid, "serve": found["serve"]}[victim], signal.SIGKILL)
    if victim == "serve":
        process.kill()
    process.wait(10)
    assert process.stderr is not None
    process.stderr.close()
    assert gone(found["serve"])
    assert gone(found["engine"])


def in_namespace(*flags: str) -> list[str]:
    """The beginning of a command in a namespace of its own; skips where the system does not let us have one."""
    if shutil.which("unshare") is None or subprocess.run(["unshare", *flags, "true"], capture_output=True).returncode:
        pytest.skip("no namespaces for unprivileged users here")
    return ["unshare", *flags]


def test_without_any_network_everything_works(environment: dict[str, str]) -> None:
    words = in_namespace("--map-root-user", "--net")
    reached = subprocess.run(
        [*words, sys.executable, "-c", "import socket; socket.create_connection(('127.0.0.1', 9), 1)"],
        capture_output=True,
        text=True,
    )
    assert "unreachable" in reached.stderr  # not even this machine's own address answers
    _, found = editor(environment, *words)
    assert found["items"] == 1
    assert gone(found["engine"])


def test_a_read_only_home_is_no_trouble(environment: dict[str, str], tmp_path: Path) -> None:
    words = in_namespace("--map-root-user", "--mount")
    home = tmp_path / "home"
    home.mkdir()
    script = f'mount -t tmpfs -o ro tmpfs "{home}" && ! touch "{home}/x" 2>/dev/null && exec "$0" "$@"'
    environment |= {"HOME": str(home), "XDG_CONFIG_HOME": str(home / ".config"), "XDG_CACHE_HOME": str(home / ".cache")}
    _, found = editor(environment, *words, "sh", "-c", script)
    assert found["items"] == 1
    assert gone(found["engine"])


def test_a_full_disk_costs_suggestions_at_most(environment: dict[str, str], tmp_path: Path) -> None:
    """Where sockets and logs belong there is no room: the server answers, or says in one line what is wrong."""
    words = in_namespace("--map-root-user", "--mount")
    folder = environment["TREEGRAFT_RUNTIME_DIR"]
    script = (
        f'mount -t tmpfs -o size=8k,mode=700 tmpfs "{folder}" && '
        f'{{ dd if=/dev/zero of="{folder}/full" bs=1k count=64 2>/dev/null; exec "$0" "$@"; }}'
    )
    _, found = editor(environment, *words, "sh", "-c", script)
    if found["items"]:
        assert gone(found["engine"])
    else:
        assert "no space left" in found["message"].lower()


FROZEN = """
import asyncio
from tree_sitter import Language, Parser
from treegraft_daemon.engine import service
from treegraft_grammars.registry import load

async def main():
    service.FROZEN_S = 3.0
    watch = asyncio.create_task(service.watch_interpreter())
    await asyncio.sleep(4.5)
    print("left alone", flush=True)
    Parser(Language(load("kotlin"))).parse(b"class A {\\n  private var x: Foo? = null\\n\\n  @Jvm")

asyncio.run(main())
"""


def test_an_engine_in_which_nothing_runs_any_more_ends(environment: dict[str, str]) -> None:
    """Kotlin's scanner never returns from such an end, and tree-sitter holds the interpreter."""
    ended = subprocess.run([sys.executable, "-c", FROZEN], env=environment, capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stdout) == (1, "left alone\n"), ended.stderr
    assert "Timeout" in ended.stderr and "in main" in ended.stderr
