"""An engine on a Ray cluster of this machine, for tests and benches."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

from treegraft_daemon import engine_client
from treegraft_daemon.config import Settings
from treegraft_daemon.engine_client import EngineClient
from treegraft_protocol.messages import ReplicaReport

START_S = 120


@dataclass
class Cluster:
    """A front that runs, and how to reach it."""

    process: subprocess.Popen[bytes]
    settings: Settings
    log: Path

    def end(self) -> int:
        """Tell it to stop; its exit code."""
        self.process.terminate()
        return self.process.wait(60)

    async def connect(self) -> EngineClient:
        return await engine_client.connect(self.settings, start=False)

    async def replicas(self) -> tuple[ReplicaReport, ...]:
        client = await self.connect()
        try:
            return (await client.status()).replicas
        finally:
            await client.close()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def start_cluster(folder: Path, *options: str, ray: str = "") -> Cluster:
    """A front with its replicas, ready; its files are in `folder`. `ray`: address of a cluster that runs."""
    address, token, log = f"127.0.0.1:{free_port()}", folder / "token", folder / "log"
    environment = {**os.environ, "TREEGRAFT_RUNTIME_DIR": str(folder), "TREEGRAFT_CONFIG": str(folder / "none.toml")}
    command = [sys.executable, "-m", "treegraft_daemon", "engine", f"--ray={ray}", "--listen", address]
    with log.open("wb") as out:
        process = subprocess.Popen(
            [*command, "--token-file", str(token), *options], stdout=out, stderr=out, env=environment
        )
    cluster = Cluster(process, replace(Settings(), engine_address=address, token_file=str(token)), log)
    end = time.monotonic() + START_S
    while b"listens at" not in log.read_bytes():
        if process.poll() is not None or time.monotonic() > end:
            process.terminate()
            raise RuntimeError(f"the cluster did not start:\n{log.read_text()}")
        time.sleep(0.2)
    return cluster
