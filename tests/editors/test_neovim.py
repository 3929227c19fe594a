"""Real Neovims: 0.12 with nothing but a server definition, and the plugin on 0.7, 0.10 and 0.12.

A Neovim runs as a child that has a user interface's eyes and fingers: keys go in by `nvim_input`, as typed.
"""

from __future__ import annotations

import ast
import statistics
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from editor_samples import KEYS, PAIRS, PYTHON, REST, Pair
from real_editors import EDITORS, Home, program, snippet, wait_for
from treegraft_grammars.judge import Judge

pynvim = pytest.importorskip("pynvim")

pytestmark = [pytest.mark.editor, pytest.mark.timeout(240)]

VERSIONS = ("0.12", "0.10", "0.7")
# What every plugin that closes pairs does, in its shortest form.
CLOSES_PAIRS = """
inoremap ( ()<Left>
inoremap [ []<Left>
inoremap " ""<Left>
inoremap ' ''<Left>
"""


class Neovim:
    """One Neovim with a file open."""

    def __init__(self, version: str, home: Home, monkeypatch: pytest.MonkeyPatch, init: str, plugin: bool) -> None:
        for name, value in home.environment.items():
            monkeypatch.setenv(name, value)
        editor = program(f"nvim-{version}")
        self.nvim = pynvim.attach(
            "child", argv=[str(editor), "--embed", "--headless", "-u", "NONE", "-i", "NONE", "-n"]
        )
        self.plugin = plugin
        self.nvim.command("set shiftwidth=4 expandtab")
        self.nvim.command("filetype on")
        if plugin:
            self.nvim.command(f"set runtimepath^={EDITORS / 'neovim'}")
            self.nvim.command("runtime plugin/treegraft.lua")
        self.lua(init)

    def lua(self, code: str, *arguments: Any) -> Any:
        return self.nvim.exec_lua(code, *arguments)

    def open(self, path: Path) -> None:
        """Open the file and wait until the server is there and has its engine."""
        self.nvim.command(f"edit {path}")
        if self.plugin:
            ready = "local s = require('treegraft.client').status return s.kind == 'Normal' and not s.busy"
        else:
            ready = "local c = vim.lsp.get_clients({name='treegraft'})[1] return c ~= nil and c.initialized == true"
        assert wait_for(lambda: self.lua(ready), 20), "the server answers"
        time.sleep(0 if self.plugin else 1.5)

    def type(self, keys: str, pause: float = 0.03) -> None:
        """Key by key, as a hand does."""
        for key in keys:
            self.nvim.input("<lt>" if key == "<" else key)
            time.sleep(pause)

    def press(self, key: str) -> None:
        self.nvim.input(key)

    def ghost(self) -> str:
        """What is drawn behind the cursor and is not in the buffer."""
        name = "treegraft" if self.plugin else "nvim.lsp.inline_completion"
        space = self.nvim.api.get_namespaces().get(name)
        if space is None:
            return ""
        text = ""
        for _, _, _, drawn in self.nvim.current.buffer.api.get_extmarks(space, 0, -1, {"details": True}):
            lines = [drawn.get("virt_text", []), *drawn.get("virt_lines", [])]
            text += "\n".join("".join(one[0] for one in line if one[1] != "Normal") for line in lines)
        return text

    def wait_ghost(self, seconds: float = 5.0) -> str:
        return wait_for(self.ghost, seconds)

    def line(self) -> str:
        return self.nvim.current.line

    def text(self) -> str:
        return "\n".join(self.nvim.current.buffer[:]) + "\n"

    def at_end(self) -> None:
        """To a new last line, in insert mode."""
        self.press("<Esc>Go")

    def close(self) -> None:
        self.nvim.command("qa!", async_=True)
        self.nvim.close()


@pytest.fixture(params=VERSIONS)
def nvim(request: pytest.FixtureRequest, home: Home, monkeypatch: pytest.MonkeyPatch) -> Iterator[Neovim]:
    """A Neovim with the plugin."""
    editor = Neovim(request.param, home, monkeypatch, "require('treegraft').setup()", plugin=True)
    yield editor
    editor.close()


@pytest.fixture(params=["native", *VERSIONS])
def any_nvim(request: pytest.FixtureRequest, home: Home, monkeypatch: pytest.MonkeyPatch) -> Iterator[Neovim]:
    """A Neovim with the plugin, or 0.12 without."""
    if request.param == "native":
        editor = Neovim("0.12", home, monkeypatch, snippet("neovim"), plugin=False)
    else:
        editor = Neovim(request.param, home, monkeypatch, "require('treegraft').setup()", plugin=True)
    yield editor
    editor.close()


def type_with_ghost(nvim: Neovim, home: Home) -> None:
    """Type KEYS below PYTHON; REST is shown."""
    nvim.open(home.file("mean.py", PYTHON))
    nvim.at_end()
    nvim.type(KEYS)
    assert nvim.wait_ghost() == REST


def test_tab_takes_the_ghost_text_and_the_file_still_parses(any_nvim: Neovim, home: Home) -> None:
    type_with_ghost(any_nvim, home)
    assert any_nvim.text() == PYTHON + KEYS + "\n", "what is only shown is not in the buffer"
    any_nvim.press("<Tab>")
    assert wait_for(lambda: any_nvim.line() == KEYS + REST, 3)
    ast.parse(any_nvim.text())
    assert any_nvim.nvim.api.get_mode()["mode"] == "i", "still typing"
    assert any_nvim.nvim.current.window.cursor[1] == len(KEYS + REST)


def test_tab_is_a_tab_where_nothing_is_shown(any_nvim: Neovim, home: Home) -> None:
    any_nvim.open(home.file("empty.py", "\n"))
    any_nvim.press("i<Tab>")
    assert wait_for(lambda: any_nvim.line() == "    ", 3)


@pytest.mark.parametrize(
    "mapping",
    ["imap <C-y> <Plug>(other)", "inoremap <C-y> other", "inoremap <expr> <C-y> 'oth' . 'er'"],
)
def test_a_key_does_what_it_did_where_nothing_is_shown(nvim: Neovim, mapping: str) -> None:
    nvim.nvim.command("inoremap <Plug>(other) other")
    nvim.nvim.command(mapping)
    nvim.lua("require('treegraft').setup({ keys = { accept = '<C-y>' } })")
    nvim.press("i<C-y>")
    assert wait_for(lambda: nvim.line() == "other", 3)


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: pair.name)
def test_a_pair_that_the_editor_closed_is_not_closed_again(any_nvim: Neovim, home: Home, pair: Pair) -> None:
    for mapping in CLOSES_PAIRS.strip().split("\n"):
        any_nvim.nvim.command(mapping)
    path = home.file(pair.file, pair.before + pair.after)
    any_nvim.open(path)
    row, column = pair.before.count("\n") + 1, len(pair.before) - pair.before.rfind("\n") - 1
    any_nvim.press("i")
    any_nvim.nvim.current.window.cursor = (row, column)
    any_nvim.type(pair.keys)
    assert any_nvim.text() == pair.before + pair.keys + pair.closing + pair.after, "the editor closed the pair"
    ghost = any_nvim.wait_ghost()
    assert ghost, "something is suggested inside of the pair"
    any_nvim.press("<Tab>")
    expected = pair.before + pair.keys + ghost + pair.closing + pair.after
    assert wait_for(lambda: any_nvim.text() == expected, 3)
    assert Judge(pair.language).first_error(expected.encode()) is None
    assert pair.closing not in ghost or ghost.count(pair.closing) == ghost.count(pair.keys[-1])


def test_a_word_at_a_time(nvim: Neovim, home: Home) -> None:
    type_with_ghost(nvim, home)
    nvim.press("<M-Right>")
    assert wait_for(lambda: nvim.line() == "    return", 3)
    assert nvim.wait_ghost() == " result", "the rest stays"
    nvim.press("<M-Right>")
    assert wait_for(lambda: nvim.line() == "    return result", 3)


def test_typing_what_is_shown_keeps_the_rest(nvim: Neovim, home: Home) -> None:
    type_with_ghost(nvim, home)
    for typed in range(1, len(REST)):
        nvim.press(REST[typed - 1])
        assert wait_for(lambda typed=typed: nvim.line() == KEYS + REST[:typed], 3)
        assert nvim.ghost() == REST[typed:], "without an instant of nothing, or of too much"


def test_candidates_take_turns(nvim: Neovim, home: Home) -> None:
    nvim.open(home.file("mean.py", PYTHON))
    nvim.at_end()
    nvim.type("    for ")
    assert nvim.wait_ghost()
    nvim.press("<M-]>")
    first = wait_for(lambda: (text := nvim.ghost()) and text[-1].isdigit() and text, 3)
    assert first
    total = int(first[-1])
    assert total >= 2
    seen = {first}
    for _ in range(total - 1):
        nvim.press("<M-]>")
        seen.add(wait_for(lambda: (text := nvim.ghost()) not in seen and text, 3))
    assert len(seen) == total
    nvim.press("<M-[>")
    assert wait_for(lambda: nvim.ghost() in seen, 1)
    shown = nvim.ghost().rsplit(" ", 1)[0]
    nvim.press("<Tab>")
    assert wait_for(lambda: nvim.text() == PYTHON + "    for " + shown + "\n", 3)


def test_what_stands_behind_the_cursor_is_drawn_behind_the_last_line(nvim: Neovim) -> None:
    """No server needed: a suggestion of two lines between brackets, as it is drawn."""
    nvim.nvim.current.buffer[:] = ["f()"]
    nvim.nvim.current.window.cursor = (1, 2)
    nvim.lua(
        """package.loaded['treegraft.client'].request = function(_, _, handler)
             vim.schedule(function() handler(nil, { items = { { insertText = 'a,\\n  b' } } }) end)
             return 1
           end
           package.loaded['treegraft.client'].notify = function() end"""
    )
    nvim.press("i<M-]>")
    assert wait_for(lambda: nvim.ghost() == "a,\n  b", 3)
    space = nvim.nvim.api.get_namespaces()["treegraft"]
    ((_, row, column, drawn),) = nvim.nvim.current.buffer.api.get_extmarks(space, 0, -1, {"details": True})
    assert (row, column) == (0, 2)
    assert drawn["virt_text_pos"] == "overlay", "over the bracket"
    assert "".join(text for text, _ in drawn["virt_lines"][-1]) == "  b)"
    nvim.press("<Tab>")
    assert wait_for(lambda: nvim.text() == "f(a,\n  b)\n", 3)


def test_undo_takes_back_what_was_accepted_and_keeps_what_was_typed(nvim: Neovim, home: Home) -> None:
    type_with_ghost(nvim, home)
    nvim.press("<Tab>")
    assert wait_for(lambda: nvim.line() == KEYS + REST, 3)
    nvim.press("<Esc>u")
    assert wait_for(lambda: nvim.line() == KEYS, 3)


def test_nothing_is_drawn_over_a_selected_popup_item(nvim: Neovim, home: Home) -> None:
    nvim.nvim.command("set completeopt=menuone,noinsert,noselect")
    nvim.open(home.file("mean.py", PYTHON))
    nvim.at_end()
    nvim.type("    res")
    assert nvim.wait_ghost()
    nvim.press("<C-x><C-n>")
    assert wait_for(lambda: nvim.nvim.funcs.pumvisible() == 1, 3)
    assert nvim.wait_ghost(2), "beside an open popup the suggestion stays"
    nvim.press("<C-n>")
    assert wait_for(lambda: nvim.nvim.funcs.complete_info(["selected"])["selected"] >= 0, 3)
    assert wait_for(lambda: nvim.ghost() == "", 2)


def test_switched_off_nothing_is_shown(nvim: Neovim, home: Home) -> None:
    type_with_ghost(nvim, home)
    nvim.nvim.command("Treegraft toggle")
    assert wait_for(lambda: nvim.ghost() == "", 3)
    assert wait_for(lambda: nvim.lua("return require('treegraft').statusline()") == "treegraft -", 3)
    nvim.type("u")
    time.sleep(0.5)
    assert nvim.ghost() == ""
    nvim.nvim.command("Treegraft toggle")
    assert wait_for(lambda: nvim.lua("return require('treegraft').statusline()") == "treegraft", 3)
    nvim.type("r")
    assert nvim.wait_ghost() == REST[2:]


def test_leaving_insert_mode_and_dismissing_take_it_away(nvim: Neovim, home: Home) -> None:
    type_with_ghost(nvim, home)
    nvim.press("<C-]>")
    assert wait_for(lambda: nvim.ghost() == "", 2)
    nvim.type("u")
    assert nvim.wait_ghost() == REST[1:], "the next key asks again"
    nvim.press("<Esc>")
    assert wait_for(lambda: nvim.ghost() == "", 2)
    nvim.press("A")
    assert nvim.wait_ghost() == REST[1:]


def test_a_killed_engine_costs_one_suggestion(any_nvim: Neovim, home: Home) -> None:
    type_with_ghost(any_nvim, home)
    home.kill_engine()
    any_nvim.press("<BS>")
    any_nvim.type("t")
    time.sleep(1)
    any_nvim.press("<Esc>")
    for _ in range(20):  # a new engine takes a second or two
        any_nvim.press("o")
        any_nvim.type("    return valu")
        if any_nvim.wait_ghost(1):
            break
        any_nvim.press("<Esc>")
    assert any_nvim.ghost()
    assert home.engine_pid() is not None


def test_commands_answer(nvim: Neovim, home: Home) -> None:
    nvim.open(home.file("mean.py", PYTHON))
    nvim.at_end()
    nvim.type(KEYS)
    nvim.wait_ghost()
    nvim.press("<Esc>")
    nvim.nvim.command("messages clear")
    for action, answer in (("why", "mean.py"), ("status", "model embedded, engine ready")):
        nvim.nvim.command(f"Treegraft {action}")
        assert wait_for(lambda answer=answer: answer in nvim.nvim.funcs.execute("messages"), 5), action
    with pytest.raises(pynvim.NvimError, match="no such action: nonsense"):
        nvim.nvim.command("Treegraft nonsense")
    nvim.nvim.command("Treegraft stats")
    assert wait_for(lambda: "model_asked" in nvim.text(), 5), "in a window of its own"
    nvim.nvim.command("close")
    assert nvim.nvim.funcs.getcompletion("Treegraft re", "cmdline") == ["restart"]
    before = home.engine_pid()
    nvim.nvim.command("Treegraft restart")
    assert wait_for(lambda: home.engine_pid() not in (before, None), 15)


def test_health_and_help(nvim: Neovim, home: Home) -> None:
    nvim.open(home.file("mean.py", PYTHON))
    nvim.nvim.command("checkhealth treegraft")
    page = wait_for(lambda: "the server runs" in nvim.text() and nvim.text(), 30)
    assert page and "ERROR" not in page
    assert "grammars" in page
    nvim.nvim.command(f"helptags {EDITORS / 'neovim' / 'doc'}")
    nvim.nvim.command("help treegraft-keys")
    assert "accept_word" in nvim.text()


def test_time_from_the_last_key_to_the_ghost(any_nvim: Neovim, home: Home, record_property: Any) -> None:
    """Not a bar but a figure; the native client waits for 200 ms before it asks."""
    any_nvim.open(home.file("mean.py", PYTHON))
    waited = []
    names = ["emit", "send", "post", "show", "push", "keep", "mark", "note", "give", "hand", "drop", "pass_on"]
    for number, name in enumerate(names):  # nothing that could be expected, so that the model is asked
        any_nvim.press(f"<Esc>Go0<C-d><CR>def mean_{number}(values):<CR>    result = sum(values)<CR>")
        time.sleep(0.6)
        assert any_nvim.line() == "    ", "indented by the editor"
        started = time.monotonic()
        any_nvim.press(f"{name}(res")
        assert wait_for(lambda: any_nvim.ghost().startswith("ult"), 3, 0.001)
        waited.append((time.monotonic() - started) * 1000)
        any_nvim.press("<Tab>")
        time.sleep(0.1)
    record_property("ms", waited)
    print(
        f"\nlast key to ghost text: p50 {statistics.median(waited):.0f} ms, worst {max(waited):.0f} ms of {len(waited)}"
    )
    assert statistics.median(waited) < 1000


def test_the_lua_code_is_clean() -> None:
    done = subprocess.run(
        [program("luacheck"), "lua", "lsp", "plugin"], cwd=EDITORS / "neovim", capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout


def test_the_first_word_of_a_suggestion(nvim: Neovim) -> None:
    words = {
        "urn result": "urn",
        " result": " result",
        "(path, limit)": "(",
        "path.join(": "path",
        "\n    return": "\n    ",
        "größe = 1": "größe",
        " += 1": " +=",
        "...": "...",
    }
    for text, word in words.items():
        assert nvim.lua("return require('treegraft.ghost').first_word(...)", text) == word, text
