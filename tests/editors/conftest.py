"""A home of its own for treegraft, for tests with real editors."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from real_editors import Home


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """One for all tests of a module, so that they share an engine as editors do."""
    made = Home.made(tmp_path_factory.mktemp("home"))
    yield made
    made.treegraft("stop")
