"""A native module that is older than its sources must not pass unnoticed."""

from __future__ import annotations

import runpy
from pathlib import Path
from unittest import mock

import pytest

from treegraft_grammars import _simulator, constraint

ROOT = Path(__file__).parent.parent.parent


def test_setup_and_import_compute_the_same_digest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    with mock.patch("setuptools.setup"):
        digest = runpy.run_path("setup.py")["digest"]
        assert (
            digest() == constraint.source_digest(ROOT / "grammars" / "treegraft_grammars") == _simulator.SOURCE_DIGEST
        )


def test_a_stale_module_is_refused() -> None:
    with pytest.raises(ImportError, match="older than its sources; run pip install -e"):
        constraint._check_freshness("0123456789abcdef", "fedcba9876543210")
    constraint._check_freshness("0123456789abcdef", None)


def test_installed_without_sources_there_is_nothing_to_compare(tmp_path: Path) -> None:
    assert constraint.source_digest(tmp_path) is None
