"""What tests with real editors share: where the programs are, a home of its own for treegraft, the engine's process.

`sh tests/editors/fetch.sh` brings the editors; what is not there is skipped with a reason.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import pytest

T = TypeVar("T")

ROOT = Path(__file__).parents[1]
FETCHED = ROOT / ".cache" / "editors"
EDITORS = ROOT / "editors"


def program(name: str) -> Path:
    """A fetched editor, or the one on PATH; skips the test where neither is there."""
    fetched = FETCHED / "bin" / name
    if fetched.exists():
        return fetched
    if (found := shutil.which(name)) is not None:
        return Path(found)
    pytest.skip(f"no {name}: sh tests/editors/fetch.sh")


def wait_for(look: Callable[[], T], seconds: float = 10.0, pause: float = 0.01) -> T:
    """What `look` gives as soon as that is something; the last answer when the time is over."""
    end = time.monotonic() + seconds
    while not (found := look()) and time.monotonic() < end:
        time.sleep(pause)
    return found


def snippet(name: str) -> str:
    """The block of editors/README.md that is marked with this name."""
    found = re.search(rf"^```\w+ {name}\n(.*?)^```$", (EDITORS / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    assert found is not None, f"editors/README.md has a snippet for {name}"
    return found[1]


def saved(path: Path) -> str:
    """What is in the file; nothing in the moment in which an editor puts a new one in its place."""
    try:
        return path.read_text()
    except FileNotFoundError:
        return ""


@dataclass
class Home:
    """A folder for a user who has installed treegraft, and what an editor of theirs is started with."""

    folder: Path
    environment: dict[str, str]

    @classmethod
    def made(cls, folder: Path) -> Home:
        """In an empty folder."""
        environment = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "HOME": str(folder),
            "XDG_CONFIG_HOME": str(folder / "config"),
            "XDG_STATE_HOME": str(folder / "state"),
            "XDG_DATA_HOME": str(folder / "data"),
            "XDG_CACHE_HOME": str(folder / "cache"),
            "TREEGRAFT_RUNTIME_DIR": str(folder / "run"),
            "TREEGRAFT_CONFIG": str(folder / "none.toml"),
        }
        # An editor may ask a login shell for its environment.
        (folder / ".profile").write_text(f"export PATH={environment['PATH']}\n")
        return cls(folder, environment)

    def file(self, name: str, text: str) -> Path:
        path = self.folder / "work" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def treegraft(self, *arguments: str) -> str:
        return subprocess.run(
            ["treegraft", *arguments], env=self.environment, capture_output=True, text=True, timeout=60
        ).stdout

    def engine_pid(self) -> int | None:
        report = json.loads(self.treegraft("status", "--json"))
        return report.get("pid") if report.get("running") else None

    def kill_engine(self) -> None:
        pid = self.engine_pid()
        assert pid is not None, "an engine runs"
        os.kill(pid, signal.SIGKILL)
