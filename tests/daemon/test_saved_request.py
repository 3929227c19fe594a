"""Requests as files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from treegraft_daemon.errors import BadInput
from treegraft_daemon.saved_request import SavedRequest, load_request

REQUEST = SavedRequest("file:///a.py", "/a.py", "python", "x = 'é'\r\n".encode(), 4, (("/b.py", b"y"),), n=3, seed=7)


def test_what_is_saved_is_what_is_loaded(tmp_path: Path) -> None:
    REQUEST.save(tmp_path / "r.json")
    assert load_request(tmp_path / "r.json") == REQUEST


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"treegraft": 2}, "is no saved request"),
        ({"offset": 99}, "lies outside the text"),
        ({"text": 3}, "is no saved request"),
        ({"siblings": 3}, "is no saved request"),
        ({"color": "red"}, "color"),
    ],
)
def test_what_is_no_request_is_told_in_a_line(tmp_path: Path, changes: dict[str, object], told: str) -> None:
    path = tmp_path / "r.json"
    REQUEST.save(path)
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    with pytest.raises(BadInput, match=told):
        load_request(path)


@pytest.mark.parametrize("content", ["", "[]", "{", "3"])
def test_other_files_are_told_in_a_line(tmp_path: Path, content: str) -> None:
    (tmp_path / "r.json").write_text(content)
    with pytest.raises(BadInput, match="is no saved request"):
        load_request(tmp_path / "r.json")
    with pytest.raises(BadInput, match="cannot read"):
        load_request(tmp_path / "none.json")
