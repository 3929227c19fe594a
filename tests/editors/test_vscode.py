"""A real VS Code in a real browser: the packaged extension, the real engine, the embedded model."""

from __future__ import annotations

import ast
import itertools
import json
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from editor_samples import KEYS, PAIRS, PYTHON, REST, Pair
from real_editors import Home, program, wait_for
from treegraft_grammars.judge import Judge
from vscode import EXTENSION, STOPWATCH, Server, Window, browser_path, packaged

playwright = pytest.importorskip("playwright.sync_api")

pytestmark = [pytest.mark.editor, pytest.mark.timeout(300)]

Open = Callable[[str, str], Window]

folders = itertools.count()


@pytest.fixture(scope="module")
def server(home: Home) -> Iterator[Server]:
    started = Server(home, packaged())
    yield started
    started.stop()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as playing:
        options = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        running = playing.chromium.launch(executable_path=browser_path(), args=options)
        yield running
        running.close()


@pytest.fixture
def open_file(server: Server, browser: Any) -> Iterator[Open]:
    """A window with a new file of this name and text, the server ready."""
    server.configure({})
    pages = []

    def opened(name: str, text: str, ready: bool = True) -> Window:
        page = browser.new_page(viewport={"width": 1000, "height": 640})
        pages.append(page)
        # A folder of its own: what an earlier window left unsaved in one comes back with it.
        window = Window(page, server, server.home.file(f"{next(folders)}/{name}", text))
        if ready:
            window.wait_ready()
        return window

    yield opened
    for page in pages:
        page.close()


def with_ghost(open_file: Open) -> Window:
    """A window in which KEYS were typed below PYTHON and REST is shown."""
    window = open_file("mean.py", PYTHON)
    window.to_end()
    window.type(KEYS)
    assert window.wait_ghost() == REST
    return window


def test_tab_takes_the_ghost_text_and_the_file_still_parses(open_file: Open) -> None:
    window = with_ghost(open_file)
    assert window.text() == PYTHON + KEYS, "what is only shown is not in the file"
    window.press("Tab")
    assert wait_for(lambda: window.line() == KEYS + REST, 3)
    assert window.text() == PYTHON + KEYS + REST
    ast.parse(window.text())


def test_a_word_at_a_time_and_typing_on(open_file: Open) -> None:
    window = with_ghost(open_file)
    window.press("Control+ArrowRight")
    assert wait_for(lambda: window.line() == "    return", 3)
    assert wait_for(lambda: window.ghost() == " result", 3), "the rest stays"
    window.type(" re")
    assert wait_for(lambda: window.ghost() == "sult", 3)
    window.press("Escape")
    assert wait_for(lambda: window.ghost() == "", 3)
    assert window.text() == PYTHON + "    return re"


def test_candidates_take_turns(open_file: Open) -> None:
    window = open_file("mean.py", PYTHON)
    window.to_end()
    window.type("    for ")
    first = window.wait_ghost()
    assert first
    window.press("Alt+]")
    other = wait_for(lambda: (text := window.ghost()) != first and text, 5)
    assert other, "another one"
    window.press("Alt+[")
    assert wait_for(lambda: window.ghost() == first, 3), "and back"
    window.press("Tab")
    assert window.text() == PYTHON + "    for " + first


def test_the_popup_and_the_ghost_text_agree(open_file: Open, server: Server) -> None:
    server.configure({"editor.wordBasedSuggestions": "currentDocument"})
    window = open_file("mean.py", PYTHON)
    window.to_end()
    window.type("    for val")
    window.press("Control+Space")
    window.page.wait_for_selector(".suggest-widget.visible .monaco-list-row.focused")
    chosen = window.page.inner_text(".suggest-widget.visible .monaco-list-row.focused .label-name")
    assert chosen == "value"
    assert wait_for(lambda: window.ghost() == "ue in values:", 5), "what is shown goes on from the selected item"
    window.press("Enter")
    assert wait_for(lambda: window.line() == "    for value", 3), "the popup's item is the popup's to insert"
    assert wait_for(lambda: window.ghost() == " in values:", 5)


def test_switched_off_nothing_is_shown(open_file: Open) -> None:
    window = with_ghost(open_file)
    window.command("treegraft: Switch On or Off")
    assert wait_for(lambda: window.ghost() == "", 5)
    assert wait_for(lambda: "switched off by a command" in window.status(), 5)
    window.focus()
    window.press("Control+End")
    window.type("u")
    time.sleep(1)
    assert window.ghost() == ""
    window.command("treegraft: Switch On or Off")
    assert wait_for(lambda: "ready" in window.status(), 5)
    window.press("Control+End")
    window.type("r")
    assert window.wait_ghost() == REST[2:]


def test_a_killed_engine_costs_one_suggestion(open_file: Open, home: Home) -> None:
    window = with_ghost(open_file)
    home.kill_engine()
    for row in range(20):  # a new engine takes a second or two
        window.type(f"\nrow_{row} = valu")
        if found := window.wait_ghost(1):
            break
        window.press("Escape")
    assert found.startswith("e")
    assert home.engine_pid() is not None


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: pair.name)
def test_a_pair_that_the_editor_closed_is_not_closed_again(open_file: Open, pair: Pair) -> None:
    window = open_file(pair.file, pair.before + pair.after)
    window.focus()
    window.goto(pair.before.count("\n") + 1, len(pair.before) - pair.before.rfind("\n"))
    window.type(pair.keys)
    assert window.text() == pair.before + pair.keys + pair.closing + pair.after, "the editor closed the pair"
    ghost = window.wait_ghost()
    assert ghost, "something is suggested inside of the pair"
    window.press("Tab")
    expected = pair.before + pair.keys + ghost + pair.closing + pair.after
    assert wait_for(lambda: window.text() == expected, 3)
    assert Judge(pair.language).first_error(expected.encode()) is None


def test_a_cell_of_a_notebook_is_a_text_like_any_other(open_file: Open) -> None:
    before, typed_in = PYTHON.split("\n\n\n")
    cells = [
        {"cell_type": "code", "source": source, "metadata": {}, "outputs": [], "execution_count": None}
        for source in (before, typed_in)
    ]
    language = {"language_info": {"name": "python"}}
    notebook = {"cells": cells, "metadata": language, "nbformat": 4, "nbformat_minor": 5}
    window = open_file("mean.ipynb", json.dumps(notebook))
    window.command("View: Close Editor")  # a page opens its file as a text
    window.page.dblclick('.explorer-folders-view .monaco-list-row:has-text("mean.ipynb")')
    window.page.click('.cell-editor-container .view-lines:has-text("mean")')
    window.press("Control+End")
    window.type(KEYS)
    assert window.wait_ghost() == REST, "the cell above has it"
    window.press("Tab")
    assert wait_for(lambda: window.ghost() == "", 3)
    written = json.loads(window.text())["cells"][1]["source"]
    assert "".join(written) == typed_in + KEYS + REST


def test_commands_answer(open_file: Open, home: Home) -> None:
    window = with_ghost(open_file)
    window.command("treegraft: Why Nothing?")
    window.page.wait_for_selector('.notification-toast:has-text("mean.py")')
    window.command("treegraft: Choose a Model")
    window.page.wait_for_selector('.quick-input-list .monaco-list-row:has-text("embedded"):has-text("in use")')
    window.press("Escape")
    window.command("treegraft: Statistics")
    window.page.wait_for_selector('.view-line:has-text("treegraft: statistics")')
    window.press("Control+Home")
    assert "model asked" in window.page.inner_text(".monaco-editor .view-lines").replace("\xa0", " ")
    before = home.engine_pid()
    window.command("treegraft: Restart")
    assert wait_for(lambda: home.engine_pid() not in (before, None), 20, 0.2)
    window.wait_ready()


def test_where_it_is_not_installed_it_says_so(open_file: Any, server: Server) -> None:
    server.configure({"treegraft.path": "/no/such/treegraft"})
    window = open_file("mean.py", PYTHON, ready=False)
    assert wait_for(lambda: "does not lead to treegraft" in window.status(), 20, 0.1)
    window.page.wait_for_selector('.notification-toast:has-text("treegraft.path")')
    window.change_settings({})
    window.wait_ready()  # without a restart of the editor


def test_time_from_the_last_key_to_the_ghost(open_file: Open) -> None:
    window = open_file("mean.py", PYTHON + "    return sum(values) / len(values)\n")
    window.page.evaluate(STOPWATCH)
    window.to_end()
    names = ["emit", "send", "post", "show", "push", "keep", "mark", "note", "give", "hand", "drop", "pass_on"]
    for name in names:  # nothing that could be expected, so that the model is asked
        window.type(f"\ndef {name}ing(values):\nresult = sum(values)\n", 0.03)
        window.type(f"{name}(res", 0.25)
        window.press("Tab")
        window.press("End")
        window.type("\n", 0.03)
        window.press("Shift+Tab")
    waited = window.page.evaluate("() => window.waited")
    assert len(waited) >= len(names), "each line had its suggestion"
    worst = sorted(waited)[int(len(waited) * 0.95)]
    print(f"\nkey to ghost text: p50 {statistics.median(waited):.0f} ms, p95 {worst:.0f} ms of {len(waited)}")
    assert statistics.median(waited) <= 250


def test_the_extension_is_clean_and_small() -> None:
    npm = program("npm")
    assert packaged().stat().st_size <= 1_000_000
    for script in ("check", "test"):
        done = subprocess.run([npm, "run", "--silent", script], cwd=EXTENSION, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr


def test_the_bundle_names_nothing_of_this_machine() -> None:
    packaged()
    assert str(Path(__file__).parents[2]) not in (EXTENSION / "dist" / "extension.js").read_text()
