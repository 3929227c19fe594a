"""The page of behaviours names tests that are there."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_every_behaviour_names_a_test_that_is_there() -> None:
    page = (ROOT / "docs" / "behaviours.md").read_text()
    code = "\n".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    there = set(re.findall(r"^(?:async )?def (test_\w+)", code, re.MULTILINE))
    rows = re.findall(r"^\| (\d+) \|.*\|$", page, re.MULTILINE)
    assert rows == [str(number) for number in range(1, 31)]
    for row in re.findall(r"^\| \d+ \|.*$", page, re.MULTILINE):
        named = re.findall(r"`(test_\w+)`", row)
        assert named, row
        assert set(named) <= there, row
