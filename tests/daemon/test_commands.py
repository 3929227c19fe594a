"""Places in files, files that are none, and the shape of the command line."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from treegraft_daemon import commands
from treegraft_daemon.__main__ import main
from treegraft_daemon.commands import Place, offset_of, parse_place, parse_replicas, read_source
from treegraft_daemon.errors import BadInput
from treegraft_protocol.messages import ReplicaReport, StatusReport


def test_a_place_may_have_colons_in_its_file_name() -> None:
    assert parse_place("a:b.py:3:7") == Place(Path("a:b.py"), 3, 7)


@pytest.mark.parametrize("words", ["a.py", "a.py:1", "a.py:x:1", "a.py:1:-1", ":1:1", ""])
def test_a_place_without_line_and_column_is_told(words: str) -> None:
    with pytest.raises(BadInput, match="FILE:LINE:COL"):
        parse_place(words)


@pytest.mark.parametrize(
    ("text", "line", "column", "offset"),
    [
        ("ab\ncd\n", 1, 1, 0),
        ("ab\ncd\n", 2, 3, 5),
        ("ab\ncd\n", 3, 1, 6),
        ("é😋x\n", 1, 3, 6),
        ("a\r\nb\r\n", 1, 2, 1),
        ("a\x0cb\nc", 2, 2, 5),
    ],
)
def test_columns_count_characters_and_lines_end_at_newlines_only(
    text: str, line: int, column: int, offset: int
) -> None:
    assert offset_of(text.encode(), Place(Path("x"), line, column)) == offset


@pytest.mark.parametrize(("line", "column"), [(0, 1), (1, 0), (1, 4), (3, 2), (4, 1)])
def test_a_cursor_outside_the_file_is_told(line: int, column: int) -> None:
    with pytest.raises(BadInput):
        offset_of(b"ab\ncd\n", Place(Path("x.py"), line, column))


@pytest.mark.parametrize(
    ("data", "sentence"),
    [(b"", "empty"), (b"a\0b", "NUL"), (b"a\xff", "UTF-8"), (b"x" * (5 * 10**6), "larger")],
)
def test_what_is_no_source_file_is_told(tmp_path: Path, data: bytes, sentence: str) -> None:
    path = tmp_path / "a.py"
    path.write_bytes(data)
    with pytest.raises(BadInput, match=sentence):
        read_source(path)
    assert path.read_bytes() == data


def test_a_missing_file_is_told_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["complete", "no/such.py:1:1"]) == 1
    assert capsys.readouterr().err == "treegraft: cannot read no/such.py: no such file or directory\n"


def test_an_unknown_option_is_refused_except_by_serve(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["status", "--what"])
    assert ended.value.code == 2
    assert "--what" in capsys.readouterr().err


def test_check_names_the_first_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good, bad = tmp_path / "good.py", tmp_path / "bad.py"
    good.write_text("x = [1, 2]\n")
    bad.write_text("x = 1\ny = (2, ]\n")
    assert main(["check", str(good)]) == 0
    assert main(["check", str(good), str(bad)]) == 1
    out = capsys.readouterr().out
    assert out.startswith(f"{bad}:2:9: error: unexpected ']', expected ")
    assert out.count("\n") == 1


def test_check_tells_an_unfinished_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "open.json"
    path.write_text('{"a": [1, 2\n')
    assert main(["check", str(path)]) == 1
    assert ":1:12: error: unexpected end of file, expected " in capsys.readouterr().out


def test_check_says_what_could_stand_there_in_words(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, text, place in (
        ("a.py", "x = (1, 2\ny = 3\n", ":2:1: error: unexpected 'y', expected ')', ',', "),
        ("a.js", "f(a b)\n", ":1:5: error: unexpected 'b', expected ')', ',', "),
        ("a.go", "package p\nfunc f()\n{\n}\n", ":3:1: error: unexpected '{', expected "),
        # What the grammar alone would take is not offered.
        ("b.py", "f(a=1, b)\n", ":1:9: error: unexpected ')', expected '='\n"),
        ("c.py", "try:\n    a\nb\n", ":3:1: error: unexpected 'b', expected 'except' or 'finally'\n"),
        ("b.js", "var {a};\n", ":1:8: error: unexpected ';', expected '='\n"),
        ("a.json", '{"a" 1}', ":1:6: error: unexpected '1', expected ':'\n"),
    ):
        path = tmp_path / name
        path.write_text(text)
        assert main(["check", str(path)]) == 1
        out = capsys.readouterr().out
        assert place in out
        assert "_" not in out.split(", expected", 1)[1]


def test_check_offers_words_of_the_language_only(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a.py"
    path.write_text("try:\n    x = = 1\n")
    assert main(["check", "--json", str(path)]) == 1
    out = capsys.readouterr().out
    assert "'lambda'" in out and "clause" not in out and "'except'" not in out


def test_check_of_a_folder_and_of_what_is_not_trusted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "node_modules").mkdir()
    for name, text in (("a.py", "x = 1\n"), ("b.py", "x = = 1\n"), ("c.md", "# a\n"), ("node_modules/d.js", "f(")):
        (tmp_path / name).write_text(text)
    assert main(["check", str(tmp_path)]) == 1
    assert capsys.readouterr().out.startswith(f"{tmp_path / 'b.py'}:1:5: error: ")
    assert main(["check", str(tmp_path / "c.md")]) == 0
    assert "c.md:1:1: note: not checked: the grammar of markdown is not trusted" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "bounds"), [("1", (1, 1)), ("8", (8, 8)), ("2-8", (2, 8)), ("3-3", (3, 3)), ("auto", (1, 1000))]
)
def test_how_many_replicas(words: str, bounds: tuple[int, int]) -> None:
    assert parse_replicas(words) == bounds


@pytest.mark.parametrize("words", ["", "0", "-1", "8-2", "0-3", "1-", "-", "many", "1.5", "1001", "1-2-3", "²"])
def test_no_number_of_replicas_is_told(words: str) -> None:
    with pytest.raises(BadInput, match="N, MIN-MAX or auto"):
        parse_replicas(words)


def test_a_cluster_without_ray_is_told_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)  # as if it were not installed
    monkeypatch.delitem(sys.modules, "treegraft_daemon.engine.cluster", raising=False)
    assert main(["engine", "--ray"]) == 1
    assert 'pip install "treegraft[cluster]"' in capsys.readouterr().err


def test_an_engine_of_one_machine_imports_nothing_of_ray() -> None:
    program = "import sys, treegraft_daemon.engine.service; print([name for name in sys.modules if name[:3] == 'ray'])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_status_shows_replicas(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    replica = ReplicaReport("x7", "gpu-1", 77, "ready", queued=2, running=1, documents=12, gpu_bytes=3 << 30, age_s=4)
    report = StatusReport(
        id=1, pid=1, version="1", model="m", state="ready", uptime_s=1, clients=3, documents=4, queued=5, running=1,
        counters={}, replicas=(replica,),
    )  # fmt: skip
    monkeypatch.setattr(commands, "_report", lambda settings: report)
    assert main(["status"]) == 0
    assert (
        "replica x7 on gpu-1: ready, 12 documents, 1 running, 2 queued, 3.0 GiB on the GPU" in capsys.readouterr().out
    )
    assert main(["status", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["replicas"][0]["documents"] == 12
