"""Fixtures that several folders share: tiny models, each made once."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

# As `loading` sets it for an engine; here test modules import torch before anything is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The directory of the tiny model of this name in `tiny_models`; not to be written to."""
    import tiny_models

    made: dict[str, Path] = {}

    def folder(name: str) -> Path:
        if name not in made:
            made[name] = getattr(tiny_models, name)(tmp_path_factory.mktemp(name))
        return made[name]

    return folder
