"""A real VS Code, served to a browser (code-server), with the packaged extension: keys go in, the page is looked at."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from real_editors import EDITORS, FETCHED, Home, program, wait_for

EXTENSION = EDITORS / "vscode"
SETTINGS = {
    "security.workspace.trust.enabled": False,
    "workbench.startupEditor": "none",
    "workbench.tips.enabled": False,
    "telemetry.telemetryLevel": "off",
    "chat.disableAIFeatures": True,
    "editor.inlineSuggest.enabled": True,
    "editor.minimap.enabled": False,
    "editor.wordBasedSuggestions": "off",
    "editor.quickSuggestions": {"other": "off", "comments": "off", "strings": "off"},
    "editor.fontSize": 15,
    "files.autoSave": "off",
    "files.hotExit": "off",
    "window.commandCenter": False,
    "workbench.secondarySideBar.defaultVisibility": "hidden",
    "git.enabled": False,
}

# Ghost text is drawn in pieces, one for each colour; further lines in a zone between the lines.
GHOST = """() => {
  const lines = new Map();
  const pieces = '.ghost-text, .ghost-text-decoration, .ghost-text-decoration-preview, .suggest-preview-text .view-line';
  for (const piece of document.querySelectorAll(pieces)) {
    const line = piece.closest('.view-line') ?? piece;
    lines.set(line, (lines.get(line) ?? '') + piece.textContent);
  }
  return [...lines.values()].join('\\n').replaceAll('\\u00a0', ' ');
}"""
# Milliseconds from a key to the ghost text that answers it: another one than before, and not its rest after that key.
STOPWATCH = f"""() => {{
  const ghost = {GHOST};
  window.waited = [];
  let struck = null, before = '', rest = '';
  document.addEventListener('keydown', event => {{
    [struck, before] = [performance.now(), ghost()];
    rest = before.startsWith(event.key) ? before.slice(1) : '';
  }}, true);
  new MutationObserver(() => {{
    const now = ghost();
    if (struck !== null && now && now !== before && now !== rest) {{
      window.waited.push(performance.now() - struck);
      struck = null;
    }}
  }}).observe(document.body, {{ subtree: true, childList: true, characterData: true }});
}}"""


def packaged() -> Path:
    """The .vsix, built from what is there now."""
    npm = program("npm")
    if not (EXTENSION / "node_modules").exists():
        pytest.skip("the extension's tools are missing: npm ci --prefix editors/vscode")
    done = subprocess.run([npm, "run", "--silent", "package"], cwd=EXTENSION, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return EXTENSION / "dist" / "treegraft.vsix"


class Server:
    """code-server with the extension, for one home."""

    def __init__(self, home: Home, vsix: Path, settings: dict[str, Any] | None = None) -> None:
        code = FETCHED / "vscode" / "node_modules"
        if not (FETCHED / "vscode" / ".complete").exists():
            pytest.skip("no code-server: sh tests/editors/fetch.sh vscode")
        self.home, self.settings = home, {**SETTINGS, **(settings or {})}
        self.data, self.work = home.folder / "code", home.folder / "work"
        self.work.mkdir(exist_ok=True)
        (self.data / "User").mkdir(parents=True, exist_ok=True)
        self.configure({})
        command = [code / "node" / "bin" / "node", code / "code-server"]
        folders = ["--user-data-dir", self.data, "--extensions-dir", self.data / "extensions"]
        done = subprocess.run(
            [*command, *folders, "--install-extension", vsix], env=home.environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        options = ["--auth", "none", "--disable-telemetry", "--disable-update-check", "--disable-workspace-trust"]
        self.log = (home.folder / "code-server.log").open("w")
        self.process = subprocess.Popen(
            [*command, "--bind-addr", f"127.0.0.1:{self.port}", *options, *folders, self.work],
            env=home.environment, stdout=self.log, stderr=self.log, start_new_session=True,
        )  # fmt: skip
        assert wait_for(self._answers, 60, 0.2), "code-server listens"

    def configure(self, settings: dict[str, Any]) -> None:
        (self.data / "User" / "settings.json").write_text(json.dumps({**self.settings, **settings}))

    def _answers(self) -> bool:
        with socket.socket() as asking:
            return asking.connect_ex(("127.0.0.1", self.port)) == 0

    def stop(self) -> None:
        os.killpg(self.process.pid, signal.SIGTERM)
        self.process.wait(10)
        self.log.close()


class Window:
    """One window with one file open, in a browser's page."""

    def __init__(self, page: Any, server: Server, path: Path) -> None:
        self.page, self.server, self.path = page, server, path
        files = json.dumps([["openFile", f"vscode-remote://127.0.0.1:{server.port}{path}"]])
        page.goto(f"http://127.0.0.1:{server.port}/?folder={path.parent}&payload={files}")
        page.wait_for_selector(".monaco-editor .view-line", timeout=60_000)
        page.wait_for_selector('[id="treegraft.treegraft.treegraft.status"], [id*="treegraft.status"]', timeout=60_000)

    def status(self) -> str:
        """The tooltip's text of the item in the status bar."""
        item = self.page.query_selector('[id*="treegraft.status"] a')
        return (item.get_attribute("aria-label") or "") if item else ""

    def wait_ready(self) -> None:
        assert wait_for(lambda: "ready" in self.status(), 40, 0.1), self.status()

    def focus(self) -> None:
        self.page.click(".monaco-editor .view-lines")

    def goto(self, row: int, column: int) -> None:
        """The cursor to a place, counted from 1; columns in characters."""
        self.page.keyboard.press("Control+g")
        self.page.wait_for_selector(".quick-input-widget input")
        self.page.keyboard.type(f"{row}:1")
        self.page.keyboard.press("Enter")
        time.sleep(0.2)
        for _ in range(column - 1):
            self.page.keyboard.press("ArrowRight")

    def to_end(self) -> None:
        self.focus()
        self.page.keyboard.press("Control+End")

    def type(self, keys: str, pause: float = 0.04) -> None:
        self.page.keyboard.type(keys, delay=pause * 1000)

    def press(self, key: str) -> None:
        self.page.keyboard.press(key)

    def ghost(self) -> str:
        """What is drawn and not in the file."""
        return self.page.evaluate(f"() => ({GHOST})()")

    def wait_ghost(self, seconds: float = 6.0) -> str:
        """The ghost text, once it is there and drawn to its end."""

        def settled() -> str:
            found = self.ghost()
            time.sleep(0.05)
            return found if found == self.ghost() else ""

        return wait_for(settled, seconds, 0.02)

    def text(self) -> str:
        """What is in the file, read from the disk after saving."""
        before = self.path.stat().st_mtime_ns
        self.page.keyboard.press("Control+s")
        # The file is emptied first, then written.
        wait_for(lambda: self.path.stat().st_mtime_ns != before and self.path.stat().st_size, 1.5)
        return self.path.read_text()

    def line(self) -> str:
        """The cursor's line as it is drawn, without ghost text."""
        return self.page.evaluate(
            """() => {
                 const cursor = document.querySelector('.monaco-editor .cursors-layer .cursor');
                 const top = cursor.getBoundingClientRect().top;
                 for (const line of document.querySelectorAll('.monaco-editor .view-lines > .view-line')) {
                   if (Math.abs(line.getBoundingClientRect().top - top) < 3) {
                     const copy = line.cloneNode(true);
                     copy.querySelectorAll('[class*=ghost-text]').forEach(one => one.remove());
                     return copy.textContent.replaceAll('\\u00a0', ' ');
                   }
                 }
                 return '';
               }"""
        )

    def command(self, title: str) -> None:
        """Run a command by its title, as a person does."""
        self.page.keyboard.press("F1")
        self.page.wait_for_selector(".quick-input-widget input")
        self.page.keyboard.type(title)
        self.page.wait_for_selector(f'.quick-input-list .monaco-list-row:has-text("{title}")', timeout=10_000)
        self.page.keyboard.press("Enter")

    def change_settings(self, settings: dict[str, Any]) -> None:
        """As a person does in settings.json: what is written beside the editor is not watched here."""
        self.command("Preferences: Open User Settings (JSON)")
        self.page.wait_for_selector('.view-line:has-text("security.workspace.trust.enabled")')
        self.page.keyboard.press("Control+a")
        self.page.keyboard.insert_text(json.dumps({**self.server.settings, **settings}))
        self.page.keyboard.press("Control+s")
        self.page.keyboard.press("Escape")

    def picture(self, path: Path, around: str | None = None) -> None:
        """A screenshot of the page, or of the element of this selector."""
        path.parent.mkdir(parents=True, exist_ok=True)
        if around:
            self.page.query_selector(around).screenshot(path=path)
        else:
            self.page.screenshot(path=path)


def browser_path() -> Path:
    """Chromium."""
    if (found := shutil.which("chromium") or shutil.which("google-chrome")) is None:
        pytest.skip("no chromium: sh tests/editors/fetch.sh vscode")
    return Path(found)
