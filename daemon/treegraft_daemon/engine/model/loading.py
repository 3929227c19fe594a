"""From the name of a model to a law. Never downloads."""

from __future__ import annotations

from pathlib import Path

from treegraft_daemon.engine.model.law import Law
from treegraft_daemon.errors import ModelNotFound


def load(model: str) -> Law:
    """The law called `model`. Raises ModelNotFound or ModelBroken, saying what to do."""
    if model == "embedded":
        from treegraft_daemon.engine.model.mixture import load_embedded

        return load_embedded()
    if not Path(model).is_dir():
        raise ModelNotFound(f'no directory {model}; "embedded" names the model that is built in')
    raise ModelNotFound(f"{model} is a directory, but this version can only load the embedded model")
