"""A native module that is older than its sources must not pass unnoticed."""

from __future__ import annotations

import runpy
from pathlib import Path
from unittest import mock

import pytest

from treegraft_daemon.engine.model import _decoder, _mixing, _urn
from treegraft_grammars import _simulator, native

ROOT = Path(__file__).parent.parent.parent


def test_setup_and_import_compute_the_same_digest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    with mock.patch("setuptools.setup") as setup:
        runpy.run_path("setup.py")
    compiled = {
        module.name.rpartition(".")[2]: dict(module.define_macros)["TREEGRAFT_SOURCE_DIGEST"].strip('"')
        for module in setup.call_args.kwargs["ext_modules"]
    }
    assert compiled == {
        "_simulator": _simulator.SOURCE_DIGEST,
        "_decoder": _decoder.SOURCE_DIGEST,
        "_urn": _urn.SOURCE_DIGEST,
        "_mixing": _mixing.SOURCE_DIGEST,
    }


def test_each_source_counts(tmp_path: Path) -> None:
    (tmp_path / "native").mkdir()
    found = set()
    for name in ("module.pyx", "native/a.c", "native/a.h"):
        (tmp_path / name).write_text("what is here")
        found.add(native.source_digest(tmp_path / "module.pyx", tmp_path / "native"))
    assert len(found) == 3


def test_a_stale_module_is_refused() -> None:
    with pytest.raises(ImportError, match="older than its sources; run pip install -e"):
        native.check_freshness("0123456789abcdef", "fedcba9876543210")
    native.check_freshness("0123456789abcdef", None)


def test_installed_without_sources_there_is_nothing_to_compare(tmp_path: Path) -> None:
    assert native.source_digest(tmp_path / "module.pyx", tmp_path) is None
