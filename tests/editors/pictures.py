"""Takes the pictures of the README and of the VS Code extension anew: `python tests/editors/pictures.py`.

Real editors, the real engine, the embedded model: what is seen is what it does. Look at them before committing.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from playwright.sync_api import sync_playwright
from rich.console import Console
from rich.text import Text

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "tests")]

from real_editors import EDITORS, FETCHED, Home, wait_for  # noqa: E402
from terminals import Terminal  # noqa: E402
from vscode import Server, Window, browser_path, packaged  # noqa: E402

DOCS = ROOT / "docs" / "pictures"
MEDIA = EDITORS / "vscode" / "media"
BEFORE = '''\
def load(path: Path) -> str:
    """The text of a file."""
    with open(path, encoding="utf-8") as file:
        return file.read()


def lines(path: Path) -> list[str]:
    """Its lines, without line breaks."""
'''
FIRST = "    with open("


def icon() -> None:
    """The extension's icon from its drawing."""
    with sync_playwright() as playing:
        browser = playing.chromium.launch(executable_path=browser_path(), args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 256, "height": 256})
        page.set_content(f"<body style='margin:0'>{(MEDIA / 'icon.svg').read_text()}</body>")
        page.screenshot(path=MEDIA / "icon.png", omit_background=True)
        browser.close()


def code(home: Home) -> None:
    """VS Code: a suggestion between brackets that the editor closed, another candidate, the menu, the status bar."""
    server = Server(home, packaged(), {"workbench.colorTheme": "Default Dark Modern", "breadcrumbs.enabled": False})
    with sync_playwright() as playing:
        options = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        browser = playing.chromium.launch(executable_path=browser_path(), args=options)
        page = browser.new_page(viewport={"width": 720, "height": 380})
        window = Window(page, server, home.file("files.py", BEFORE))
        window.wait_ready()
        window.focus()
        window.press("Control+b")  # no side bar
        window.press("Control+End")
        window.type(FIRST)
        assert window.wait_ghost()
        time.sleep(0.6)
        window.picture(MEDIA / "ghost.png")
        window.press("Alt+]")
        time.sleep(1.5)
        page.hover(".ghost-text-decoration, .ghost-text")
        time.sleep(1)
        page.screenshot(path=MEDIA / "cycle.png")
        window.press("Escape")
        window.command("treegraft: Menu")
        page.wait_for_selector('.quick-input-list .monaco-list-row:has-text("Why nothing?")')
        time.sleep(0.5)
        window.picture(MEDIA / "menu.png")
        window.press("Escape")
        page.screenshot(path=MEDIA / "status.png", clip={"x": 300, "y": 340, "width": 420, "height": 40})
        browser.close()
    server.stop()


def neovim(home: Home) -> None:
    """Neovim in a terminal, drawn as SVG."""
    init = home.folder / "init.lua"
    init.write_text(
        f"vim.opt.runtimepath:prepend('{EDITORS / 'neovim'}')\n"
        "vim.o.termguicolors, vim.o.number, vim.o.swapfile = true, true, false\n"
        "vim.o.statusline = ' %t %=%{v:lua.require(\"treegraft\").statusline()} '\n"
        "vim.keymap.set('i', '(', '()<Left>')\n"
        "require('treegraft').setup()\n"
    )
    path = home.file("neovim/files.py", BEFORE)
    # The unpacked program cannot start itself anew, which its terminal does: that is a second one, beside the editor.
    editor, socket = FETCHED / "bin" / "nvim-0.12", home.folder / "nvim.sock"
    server = subprocess.Popen([editor, "--headless", "--listen", socket, "-u", init, path], env=home.environment)
    assert wait_for(socket.exists, 10)
    terminal = Terminal(home, [editor, "--server", socket, "--remote-ui"], columns=72, rows=14)
    assert terminal.wait_for("def lines")
    time.sleep(4)
    terminal.type("Go" + FIRST.strip())
    assert wait_for(lambda: "encoding" in terminal.screen().split("def lines")[1], 10)
    time.sleep(0.5)
    with Path(os.devnull).open("w") as nowhere:
        screen = Console(record=True, width=72, file=nowhere, force_terminal=True, color_system="truecolor")
        screen.print(Text.from_ansi(terminal.screen(colours=True).rstrip("\n")))
    terminal.close()
    server.terminate()
    server.wait()
    drawing = screen.export_svg(title="nvim files.py", unique_id="treegraft")
    # The fonts that the drawing asks a server for are not needed, and a page should not ask.
    (DOCS / "neovim.svg").write_text(re.sub(r"@font-face \{.*?\}\s*", "", drawing, flags=re.DOTALL))


def main() -> None:
    """All pictures."""
    DOCS.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        home = Home.made(Path(name))
        icon()
        neovim(home)
        code(home)
        home.treegraft("stop")


if __name__ == "__main__":
    main()
