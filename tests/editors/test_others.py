"""Emacs (lsp-mode, eglot) and Helix in a terminal, set up by the snippets of editors/README.md as they stand there."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from editor_samples import KEYS, PYTHON, REST
from real_editors import Home, program, saved, snippet, wait_for
from terminals import Terminal

pytestmark = [pytest.mark.editor, pytest.mark.timeout(180)]

Start = Callable[..., Terminal]


@pytest.fixture
def start(home: Home) -> Iterator[Start]:
    running: list[Terminal] = []

    def started(*command: str | Path) -> Terminal:
        running.append(Terminal(home, list(command)))
        return running[-1]

    yield started
    for terminal in running:
        terminal.close()


def emacs(home: Home, start: Start, name: str, path: Path) -> Terminal:
    """Emacs with the snippet of this name, the file open, the cursor at its end."""
    init = home.folder / f"{name}.el"
    # Emacs asks where a project begins; a folder under version control needs no question. A package manager loads the
    # autoloads; the unpacked Emacs cannot compile.
    (path.parent / ".git").mkdir(exist_ok=True)
    settings = "comp-enable-subr-trampolines nil native-comp-deferred-compilation nil make-backup-files nil"
    loads = '(load "lsp-mode-autoloads" t t)' if name == "lsp-mode" else ""
    init.write_text(f"(setq {settings} lsp-auto-guess-root t)\n{loads}\n{snippet(name)}")
    terminal = start(program("emacs"), "-nw", "-q", "-l", init, path)
    assert terminal.wait_for("def mean(values):"), terminal.screen()
    return terminal


def below(terminal: Terminal) -> str:
    """What the screen shows below the last line of the file as it was."""
    return terminal.screen().split("def mean(values):")[-1]


def test_lsp_mode(home: Home, start: Start) -> None:
    path = home.file("lsp-mode/mean.py", PYTHON)
    terminal = emacs(home, start, "lsp-mode", path)
    assert terminal.wait_for("initialized successfully", 20), terminal.screen()
    terminal.press("M->")
    terminal.type(KEYS)
    assert wait_for(lambda: KEYS + REST in below(terminal), 8), terminal.screen()
    assert "Accept: [TAB" in terminal.screen()
    assert saved(path) == PYTHON
    terminal.press("Tab")
    terminal.press("C-x", "C-s")
    assert wait_for(lambda: saved(path).rstrip("\n") == PYTHON + KEYS + REST, 5), terminal.screen()
    ast.parse(saved(path))


def test_eglot(home: Home, start: Start) -> None:
    path = home.file("eglot/mean.py", PYTHON)
    terminal = emacs(home, start, "eglot", path)
    assert terminal.wait_for("Connected!", 20), terminal.screen()
    terminal.press("M->")
    terminal.type(KEYS)
    terminal.press("C-M-i")
    assert wait_for(lambda: KEYS + REST in below(terminal), 8), terminal.screen()
    terminal.press("C-x", "C-s")
    assert wait_for(lambda: saved(path).rstrip("\n") == PYTHON + KEYS + REST, 5), terminal.screen()
    ast.parse(saved(path))


def test_helix(home: Home, start: Start) -> None:
    configuration = Path(home.environment["XDG_CONFIG_HOME"]) / "helix" / "languages.toml"
    configuration.parent.mkdir(parents=True, exist_ok=True)
    configuration.write_text(snippet("helix"))
    path = home.file("helix/mean.py", PYTHON)
    terminal = start(program("hx"), path)
    assert terminal.wait_for("def mean(values):")
    terminal.press("g", "e", "o")
    terminal.type(KEYS)
    for _ in range(8):  # the server may still be starting, and Helix does not say when it is there
        if wait_for(lambda: KEYS.strip() + REST in below(terminal), 2):
            break
        terminal.press("BSpace")
        terminal.type(KEYS[-1])
    assert KEYS.strip() + REST in below(terminal), terminal.screen()
    terminal.press("Tab")
    terminal.press("Enter")
    terminal.press("Escape")
    assert wait_for(lambda: "NOR" in terminal.screen(), 5)
    terminal.type(":w")
    terminal.press("Enter")
    assert wait_for(lambda: saved(path) == PYTHON + KEYS + REST + "\n", 5), terminal.screen() + saved(path)
