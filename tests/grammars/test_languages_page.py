"""The page of languages tells what the registry and the last measurement say."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType

from treegraft_grammars import languages


def bench() -> ModuleType:
    """The command, which is no package."""
    spec = importlib.util.spec_from_file_location(
        "bench_languages", Path(__file__).parent.parent / "bench" / "languages.py"
    )
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_not_stale() -> None:
    command = bench()
    results = json.loads(command.RESULTS.read_text())
    assert command.PAGE.read_text() == command.page(results), "python tests/bench/languages.py"


def test_every_language_was_measured_and_nothing_disagrees() -> None:
    results = json.loads(bench().RESULTS.read_text())
    assert set(results["grammars"]) == set(languages())
    for name, measured in results["grammars"].items():
        assert measured["differ"] == 0, name
