"""A home of its own for treegraft, for tests with real editors."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from real_editors import Home


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """One for all tests of a module, so that they share an engine as editors do."""
    folder = tmp_path_factory.mktemp("home")
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "HOME": str(folder),
        "XDG_CONFIG_HOME": str(folder / "config"),
        "XDG_STATE_HOME": str(folder / "state"),
        "XDG_DATA_HOME": str(folder / "data"),
        "XDG_CACHE_HOME": str(folder / "cache"),
        "TREEGRAFT_RUNTIME_DIR": str(folder / "run"),
        "TREEGRAFT_CONFIG": str(folder / "none.toml"),
    }
    # An editor may ask a login shell for its environment.
    (folder / ".profile").write_text(f"export PATH={environment['PATH']}\n")
    made = Home(folder, environment)
    yield made
    made.treegraft("stop")
