"""The commands as a person types them: real processes, the real engine, the embedded model."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from treegraft_grammars import Judge, languages

SOURCE = """\
import os


def first(path):
    with open(path) as stream:
        return stream.


def second(path):
    with open(path) as stream:
        return stream.readlines()
"""


@pytest.fixture(scope="module")
def environment() -> Iterator[dict[str, str]]:
    """An engine of this module's own, in a short folder: socket paths have 100 bytes."""
    with tempfile.TemporaryDirectory(prefix="tg") as folder:
        environment = dict(os.environ, TREEGRAFT_RUNTIME_DIR=folder)
        yield environment
        run(environment, "stop")


def run(environment: dict[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "treegraft_daemon", *words]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)


def test_status_of_no_engine_is_told_and_starts_none(environment: dict[str, str]) -> None:
    answer = run(environment, "status", "--json")
    assert (answer.returncode, json.loads(answer.stdout)) == (3, {"running": False})


def test_complete_starts_the_engine_and_prints_what_parses(environment: dict[str, str], tmp_path: Path) -> None:
    path = tmp_path / "a.py"
    path.write_text(SOURCE)
    answer = run(environment, "complete", f"{path}:6:23", "-n", "3", "--json")
    assert answer.returncode == 0, answer.stderr
    found = json.loads(answer.stdout)
    assert (found["language"], found["constrained"]) == ("python", True)
    texts = [candidate["text"] for candidate in found["candidates"]]
    assert texts and len(set(texts)) == len(texts)
    compile(SOURCE.replace("return stream.\n", f"return stream.{texts[0]}\n"), "a.py", "exec")
    for text in texts:
        other = tmp_path / "b.py"
        other.write_text(SOURCE.replace("return stream.\n", f"return stream.{text}\n"))
        assert run(environment, "check", str(other)).returncode == 0
    assert path.read_text() == SOURCE
    assert json.loads(run(environment, "status", "--json").stdout)["running"]


PAGE = """\
<!DOCTYPE html>
<p>A page (with a script</p>
<script>
function total(values) {
  let sum = 0;
  for (const value of values) {
    sum += value;
  }
  return sum;
}
console.log(total([1, 2]));
console.log(total(
</script>
"""
NOTES = """\
# Notes (unfinished

```python
import os

def first(path):
    return os.path.join(path, "a")

def second(path):
    return os.path.join(
```
"""


@pytest.mark.parametrize(
    ("name", "text", "line", "language", "inside"),
    [
        ("a.html", PAGE, 12, "javascript", r"<script>(.*)</script>"),
        ("a.md", NOTES, 10, "python", r"```python\n(.*)```"),
    ],
)
def test_complete_within_another_language(
    environment: dict[str, str], tmp_path: Path, name: str, text: str, line: int, language: str, inside: str
) -> None:
    path = tmp_path / name
    path.write_text(text)
    lines = text.split("\n")
    answer = run(environment, "complete", f"{path}:{line}:{len(lines[line - 1]) + 1}", "-n", "3", "--json")
    assert answer.returncode == 0, answer.stderr
    found = json.loads(answer.stdout)
    assert (found["language"], found["constrained"], bool(found["candidates"])) == (language, True, True), found
    for candidate in found["candidates"]:
        written = "\n".join([*lines[: line - 1], lines[line - 1] + candidate["text"], *lines[line:]])
        body = re.search(inside, written, re.DOTALL)
        assert body and Judge(language).first_error(body[1].encode()) is None, candidate


def test_the_same_seed_gives_the_same_text(environment: dict[str, str], tmp_path: Path) -> None:
    path = tmp_path / "a.py"
    path.write_text(SOURCE)
    words = ["complete", f"{path}:6:23", "--temperature", "1", "--seed", "7"]
    assert run(environment, *words).stdout == run(environment, *words).stdout


@pytest.mark.parametrize(
    ("name", "data", "place", "sentence"),
    [
        ("a.xyz", b"x = 1\n", "1:1", "no grammar"),
        ("a.py", b"\0\0", "1:1", "NUL"),
        ("a.py", b"x" * 5_000_000, "1:1", "larger"),
        ("a.py", b"x = 1\n", "9:1", "no line 9"),
        ("a.py", b"x = 1\n", "1:40", "no column 40"),
        ("a.py", b"x = '\xff'\n", "1:1", "UTF-8"),
        ("a.py", b"", "1:1", "empty"),
    ],
)
def test_what_cannot_be_completed_is_one_line(
    environment: dict[str, str], tmp_path: Path, name: str, data: bytes, place: str, sentence: str
) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    answer = run(environment, "complete", f"{path}:{place}")
    assert answer.returncode == 1
    assert answer.stdout == ""
    assert sentence in answer.stderr
    assert answer.stderr.count("\n") == 1
    assert path.read_bytes() == data


def test_a_full_disk_is_one_line(environment: dict[str, str], tmp_path: Path) -> None:
    path = tmp_path / "a.py"
    path.write_text("x = (\n")
    for words in (["complete", f"{path}:1:6"], ["check", str(path)], ["check", "--json", str(path)]):
        with open("/dev/full", "w") as full:
            command = [sys.executable, "-m", "treegraft_daemon", *words]
            answer = subprocess.run(
                command, env=environment, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60
            )
        assert answer.returncode == 1
        assert answer.stderr == "treegraft: cannot write the output: no space left on device\n"


def test_a_runtime_folder_that_cannot_be_made_is_one_line(environment: dict[str, str], tmp_path: Path) -> None:
    path = tmp_path / "a.py"
    path.write_text(SOURCE)
    for words in (["complete", f"{path}:6:23"], ["engine"]):
        answer = run({**environment, "TREEGRAFT_RUNTIME_DIR": str(path / "run")}, *words)
        assert answer.returncode == 1
        assert "not a directory" in answer.stderr and answer.stderr.count("\n") == 1


def test_a_busy_port_is_one_line(environment: dict[str, str], tmp_path: Path) -> None:
    token = tmp_path / "token"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        answer = run(environment, "engine", "--tcp", address, "--token-file", str(token), "--model", str(tmp_path))
    assert answer.returncode == 1
    assert "address already in use" in answer.stderr, answer.stderr
    assert answer.stderr.splitlines()[-1].startswith("treegraft: ")


def test_a_missing_model_is_one_line(environment: dict[str, str], tmp_path: Path) -> None:
    path = tmp_path / "a.py"
    path.write_text(SOURCE)
    answer = run(environment, "complete", f"{path}:6:23", "--model", str(tmp_path / "none"))
    assert answer.returncode == 1
    assert answer.stderr.startswith("treegraft: ")
    assert answer.stderr.count("\n") == 1
    assert run(environment, "stop", "--model", str(tmp_path / "none")).returncode == 0


@pytest.mark.parametrize("name", ["qwen", pytest.param("starcoder", marks=pytest.mark.slow)])
def test_a_directory_with_a_model_completes_what_parses(
    environment: dict[str, str], tmp_path: Path, model_folder: Callable[[str], Path], name: str
) -> None:
    path, model = tmp_path / "a.py", str(model_folder(name))
    path.write_text(SOURCE)
    words = ["complete", f"{path}:6:23", "--model", model, "--json", "-n", "3", "--max-tokens", "20"]
    for options in ([], ["--temperature", "1", "--seed", "4"]):
        answer = run(environment, *words, *options)
        assert answer.returncode == 0, answer.stderr
        found = json.loads(answer.stdout)
        assert found["constrained"]
        for candidate in found["candidates"]:
            # A random model writes nonsense, but nonsense that is Python.
            ast.parse(SOURCE.replace("return stream.\n", f"return stream.{candidate['text']}\n"))
    assert json.loads(run(environment, "status", "--model", model, "--json").stdout)["model"] == model
    assert run(environment, "stop", "--model", model).returncode == 0


def test_a_broken_model_costs_one_line_and_the_engine_stays(
    environment: dict[str, str], tmp_path: Path, model_folder: Callable[[str], Path]
) -> None:
    path = tmp_path / "a.py"
    path.write_text(SOURCE)
    model = Path(shutil.copytree(model_folder("qwen"), tmp_path / "model"))
    (model / "model.safetensors").write_bytes(b"\0" * 100)
    for _ in range(2):
        answer = run(environment, "complete", f"{path}:6:23", "--model", str(model))
        assert answer.returncode == 1
        assert "cut off" in answer.stderr and answer.stderr.count("\n") == 1
    report = json.loads(run(environment, "status", "--model", str(model), "--json").stdout)
    assert report["running"] and report["state"].startswith("failed: ")
    assert run(environment, "stop", "--model", str(model)).returncode == 0


def test_models_are_listed_and_pulled_only_by_name(environment: dict[str, str], tmp_path: Path) -> None:
    offline = {**environment, "HF_HUB_CACHE": str(tmp_path), "HF_HUB_OFFLINE": "1"}
    [embedded] = json.loads(run(offline, "models", "--json").stdout)
    assert embedded["name"] == "embedded" and 1_000_000 < embedded["bytes"] < 30_000_000
    for words, sentence in (
        (["pull"], "wants a name"),
        (["pull", "some/model"], "cannot download"),
        (["list", "x/y"], "pull x/y"),
    ):
        answer = run(offline, "models", *words)
        assert answer.returncode == 1
        assert sentence in answer.stderr and answer.stderr.count("\n") == 1


def test_check_of_a_broken_and_a_good_file(environment: dict[str, str], tmp_path: Path) -> None:
    good, bad = tmp_path / "good.go", tmp_path / "bad.go"
    good.write_text("package a\n\nfunc f() int {\n\treturn 1\n}\n")
    bad.write_text("package a\n\nfunc f( int {\n\treturn 1\n}\n")
    assert run(environment, "check", str(good)).returncode == 0
    answer = run(environment, "check", "--json", str(good), str(bad))
    assert answer.returncode == 1
    (finding,) = json.loads(answer.stdout)
    assert finding["file"] == str(bad)
    assert finding["line"] == 3
    assert finding["expected"]


def test_doctor_is_content(environment: dict[str, str]) -> None:
    answer = run(environment, "doctor")
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert f"{len(languages())} of {len(languages())} load" in answer.stdout


def test_stop_ends_the_engine(environment: dict[str, str]) -> None:
    run(environment, "stop")
    assert run(environment, "status").returncode == 3
    assert run(environment, "stop").stdout == "engine: not running\n"


def test_a_saved_request_is_replayed_to_the_same_answer(environment: dict[str, str], tmp_path: Path) -> None:
    source, saved = tmp_path / "a.py", tmp_path / "request.json"
    source.write_text(SOURCE)
    asked = run(environment, "complete", f"{source}:6:23", "--save", str(saved), "--json")
    source.unlink()
    replayed = run(environment, "replay", str(saved), "--json")
    assert asked.returncode == replayed.returncode == 0
    first, second = json.loads(asked.stdout), json.loads(replayed.stdout)
    assert first["candidates"] and (first["line"], first["column"]) == (second["line"], second["column"])
    for answer in (first, second):
        del answer["timings"]
    assert first == second


def test_stats_show_stages(environment: dict[str, str]) -> None:
    shown = run(environment, "stats").stdout
    assert re.search(r"^total +\d+\.\d +\d+\.\d +\d+\.\d$", shown, re.MULTILINE), shown
    assert set(json.loads(run(environment, "stats", "--json").stdout)) == {"counters", "latencies_ms"}
