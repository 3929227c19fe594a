"""Settings: every option once, with its default and a sentence.

Precedence, highest first: command line, editor settings, environment (`TREEGRAFT_<NAME>`), defaults.
A bad value never kills a server: `from_mapping` keeps the default and reports one line.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import platformdirs


def option(default: Any, sentence: str) -> Any:
    """A settings field; the sentence is what `--help`, the manual and the editors show."""
    return field(default=default, metadata={"sentence": sentence})


# A document above this size is not completed: the editor's own highlighting gives up there, too.
MAX_DOCUMENT_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Settings:
    """All options. Times carry their unit in the name; sizes are in tokens or bytes as named."""

    enabled: bool = option(True, "offer completions at all")
    model: str = option("embedded", "embedded, a directory with a Hugging Face causal model, or a cached hub id")
    engine_address: str = option("", "HOST:PORT of an engine elsewhere; empty: one on this machine, started on demand")
    token_file: str = option("", "file with the token of that engine")
    disabled_languages: tuple[str, ...] = option((), "languages in which nothing is suggested")
    max_tokens: int = option(48, "longest completion in tokens")
    n_candidates: int = option(3, "candidates when asked by hand")
    temperature: float = option(0.0, "0: most probable tokens; above 0: samples")
    min_probability: float = option(
        0.02, "say nothing unasked that is less probable to be what you would write; 0 to 1"
    )
    multiline: bool = option(False, "may a suggestion go on after the end of the line")
    debounce_ms: int = option(40, "pause in typing before the model is asked")
    deadline_ms: int = option(2000, "latest useful answer; after it the best whole text so far is returned")
    context_siblings: int = option(5, "other open files that the model reads")
    idle_exit_s: int = option(1800, "the engine ends after so many seconds without a client; 0: never")
    log_level: str = option("INFO", "DEBUG, INFO, WARNING or ERROR; source text is logged at DEBUG only")
    log_file: str = option("", "file for the log; empty: stderr")

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] | None = None) -> Settings:
        """Defaults overlaid by `TREEGRAFT_<NAME>` variables; wrong values are ignored."""
        environ = os.environ if environ is None else environ
        found: dict[str, Any] = {}
        for item in fields(cls):
            raw = environ.get(f"TREEGRAFT_{item.name.upper()}")
            if raw is not None:
                found[item.name] = _from_text(raw, item.default)
        settings, _ = cls().overlay(found)
        return settings

    def overlay(self, values: Mapping[str, Any]) -> tuple[Settings, list[str]]:
        """These settings with `values` (names in camelCase or snake_case) laid over; and one line per bad value."""
        known = {item.name: item for item in fields(self)}
        good: dict[str, Any] = {}
        problems: list[str] = []
        for key, value in values.items():
            name = _snake(key)
            if name not in known:
                problems.append(f"unknown setting {key!r} is ignored")
                continue
            default = known[name].default
            checked = _checked(value, default)
            if checked is None:
                kept = getattr(self, name)
                problems.append(f"setting {key!r} wants {_kind(default)}, not {value!r}; {kept!r} is kept")
            else:
                good[name] = checked
        return replace(self, **good), problems


def runtime_dir() -> Path:
    """Folder of sockets and locks, one per user; `TREEGRAFT_RUNTIME_DIR` overrides it. Not created here."""
    override = os.environ.get("TREEGRAFT_RUNTIME_DIR")
    if override:
        return Path(override)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # without a login session there is no runtime folder; the temporary one is fine
        return platformdirs.user_runtime_path("treegraft")


def _checked(value: Any, default: Any) -> Any:
    """`value` as the type of `default`, or None when it does not fit."""
    if isinstance(default, bool):
        return value if isinstance(value, bool) else None
    if isinstance(default, int):
        return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None
    if isinstance(default, float):
        fits = isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < 100
        return float(value) if fits else None
    if isinstance(default, tuple):
        fits = isinstance(value, (list, tuple)) and all(isinstance(item, str) for item in value)
        return tuple(value) if fits else None
    return value if isinstance(value, str) else None


def _from_text(raw: str, default: Any) -> Any:
    if isinstance(default, bool):
        return {"1": True, "true": True, "0": False, "false": False}.get(raw.lower(), raw)
    if isinstance(default, tuple):
        return tuple(part for part in raw.split(",") if part)
    try:
        return type(default)(raw)
    except ValueError:
        return raw


def _kind(default: Any) -> str:
    return {bool: "true or false", int: "a whole number", float: "a number", tuple: "a list of words"}.get(
        type(default), "a text"
    )


def _snake(name: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)
