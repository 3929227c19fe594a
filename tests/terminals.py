"""A program in a real terminal (tmux): keys go in, the screen is read."""

from __future__ import annotations

import shutil
import subprocess
import time
from pathlib import Path

import pytest

from real_editors import Home, wait_for


class Terminal:
    """One program on a screen of its own."""

    def __init__(self, home: Home, command: list[str | Path], columns: int = 80, rows: int = 24) -> None:
        if shutil.which("tmux") is None:
            pytest.skip("no tmux")
        self._tmux = ["tmux", "-L", f"treegraft-{home.folder.name}", "-f", "/dev/null"]
        self._environment = {**home.environment, "TERM": "xterm-256color", "COLORTERM": "truecolor"}
        size = ["-x", str(columns), "-y", str(rows)]
        self._run("new-session", "-d", *size, "-c", str(home.folder), *map(str, command))
        self._run("set-option", "-g", "escape-time", "0")

    def _run(self, *arguments: str) -> str:
        done = subprocess.run([*self._tmux, *arguments], env=self._environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def type(self, keys: str, pause: float = 0.04) -> None:
        """Character by character, as a hand does."""
        for key in keys:
            self._run("send-keys", "-l", key)
            time.sleep(pause)

    def press(self, *keys: str) -> None:
        """Keys by their names: Enter, Escape, C-s ..."""
        self._run("send-keys", *keys)

    def screen(self, colours: bool = False) -> str:
        """What is on the screen; with escape sequences if colours are wanted."""
        return self._run("capture-pane", "-p", *(["-e", "-N"] if colours else []))

    def wait_for(self, text: str, seconds: float = 15) -> bool:
        """Whether the text appears on the screen in time."""
        return wait_for(lambda: text in self.screen(), seconds, 0.05)

    def close(self) -> None:
        subprocess.run([*self._tmux, "kill-server"], env=self._environment, capture_output=True)
