"""The bench beside other engines reads real files with ours, and counts what it is asked."""

from __future__ import annotations

import argparse
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

from treegraft_daemon.engine.model.mixture import EMBEDDED


@pytest.mark.parametrize("language", ["json", "python"])
def test_our_engine_reads_files_to_the_end_and_refuses_what_does_not_fit(language: str) -> None:
    spec = spec_from_file_location("bench_peers", Path(__file__).parent.parent / "bench" / "peers.py")
    assert spec and spec.loader
    bench = sys.modules[spec.name] = module_from_spec(spec)
    spec.loader.exec_module(bench)
    work = bench.workload(language, EMBEDDED / "tokenizer.json", 2, "any", 0)
    options = argparse.Namespace(python=[], seconds=60, set_up_limit=60)
    [ours, absent] = bench.compare(work, ["treegraft", "llguidance"], options)
    n_tokens = sum(len(tokens) for tokens, _ in work.files)
    assert ours.ends == ["read", "read"]
    assert len(ours.times["right"]) == len(ours.times["whole"]) == n_tokens
    assert ours.taken == 0 < ours.asked == len(ours.times["wrong"])
    assert all(whole >= right for whole, right in zip(ours.times["whole"], ours.times["right"], strict=True))
    if absent.problem:
        assert absent.problem.startswith("absent: pip install llguidance==")
    head, _, columns, _, row, *_ = bench.page(work, [ours, absent])
    assert f"{n_tokens} tokens" in head
    assert row.count("|") == columns.count("|")
