"""Settings: every option once, with its default, its bounds and a sentence.

Precedence, highest first: command line, editor settings, environment (`TREEGRAFT_<NAME>`), the file of settings,
defaults. A bad value never kills a server: the layer below it holds, and one line is told.

The table below is the only one: help, the page in docs/ and the schema that editors show are made from it.
"""

from __future__ import annotations

import os
import tomllib
import warnings
from collections.abc import Mapping
from dataclasses import Field, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal, get_args

import platformdirs

LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")
Multiline = Literal["auto", "never", "always"]
MULTILINE: tuple[Multiline, ...] = get_args(Multiline)
Precision = Literal["auto", "full"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)


def option(
    default: Any, sentence: str, *, at_most: float | None = None, at_least: float = 0, choices: tuple[str, ...] = ()
) -> Any:
    """A settings field; the sentence is what `--help`, the manual and the editors show. Bounds are those of numbers."""
    metadata = {"sentence": sentence, "at_least": at_least, "at_most": at_most, "choices": choices}
    return field(default=default, metadata=metadata)


# A document above this size is not completed: the editor's own highlighting gives up there, too.
MAX_DOCUMENT_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Settings:
    """All options. Times carry their unit in the name; sizes are in tokens or bytes as named."""

    enabled: bool = option(True, "offer completions at all")
    model: str = option("embedded", "embedded, a directory with a Hugging Face causal model, or a cached hub id")
    precision: Precision = option(
        "auto",
        "of a model's weights: auto (8 bits on a CPU, several times as fast there), full (as they are stored)",
        choices=PRECISIONS,
    )
    copying: bool = option(False, "mix what the open files say into a model's law, as the embedded one always does")
    engine_address: str = option("", "HOST:PORT of an engine elsewhere; empty: one on this machine, started on demand")
    token_file: str = option("", "file with the token of that engine")
    tls_ca: str = option("", "PEM file with the certificate, or its authority, of that engine; empty: plain TCP")
    tls_cert: str = option("", "PEM file with the certificate that an engine on the network shows; empty: plain TCP")
    tls_key: str = option("", "PEM file with the key of that certificate")
    disabled_languages: tuple[str, ...] = option((), "languages in which nothing is suggested")
    excluded_files: tuple[str, ...] = option(
        (), "files that are neither completed nor read as context, as patterns like those of a .gitignore"
    )
    respect_gitignore: bool = option(False, "leave alone what a .gitignore names, as if .treegraftignore named it")
    max_tokens: int = option(48, "longest completion in tokens", at_least=1, at_most=4096)
    n_candidates: int = option(3, "candidates when asked by hand", at_least=1, at_most=16)
    temperature: float = option(0.0, "0: most probable tokens; above 0: samples", at_most=10)
    min_probability: float = option(
        0.02, "say nothing unasked that is less probable to be what you would write; 0 to 1", at_most=1
    )
    multiline: Multiline = option(
        "auto",
        "does what is whole go on in the next line: auto (within blocks, while probable), never, always (to the statement's end)",
        choices=MULTILINE,
    )
    debounce_ms: int = option(
        40, "pause in typing before the model is asked; longer within words, shorter after brackets", at_most=5000
    )
    deadline_ms: int = option(
        2000, "latest useful answer; after it the best whole text so far is returned", at_least=10, at_most=600_000
    )
    look_ahead: bool = option(True, "while you read a suggestion, prepare the one that follows it")
    beside_popup: str = option(
        "extend",
        "while the editor's own popup is open: extend its selected item, or hide",
        choices=("extend", "hide"),
    )
    context_siblings: int = option(5, "other files, open or closed of late, that the model reads", at_most=64)
    idle_exit_s: int = option(1800, "the engine ends after so many seconds without a client; 0: never")
    idle_unload_s: int = option(
        900, "the engine lets go of the model after so many seconds without a request; 0: never; loaded again on demand"
    )
    metrics_address: str = option("", "HOST:PORT where the engine serves its counters to Prometheus; empty: nowhere")
    log_level: str = option("INFO", "how much is logged; source text at DEBUG only", choices=LOG_LEVELS)
    log_file: str = option("", "file for the log; empty: stderr")

    @classmethod
    def load(cls, environ: Mapping[str, str] | None = None) -> tuple[Settings, list[str]]:
        """Defaults overlaid by the file of settings, then by the environment; and one line per bad value."""
        environ = os.environ if environ is None else environ
        settings, problems = cls().overlay(*_from_file(settings_file(environ)))
        variables = {f"TREEGRAFT_{item.name.upper()}": item for item in fields(cls)}
        found = {name: _from_text(environ[name], item.default) for name, item in variables.items() if name in environ}
        for name, value in found.items():
            settings, complaints = settings.overlay({variables[name].name: value})
            problems += [line.replace(repr(variables[name].name), name) for line in complaints]
        return settings, problems

    def overlay(self, values: Mapping[str, Any], problems: list[str] | None = None) -> tuple[Settings, list[str]]:
        """These settings with `values` (names in camelCase or snake_case) laid over; and one line per bad value."""
        known = {item.name: item for item in fields(self)}
        good: dict[str, Any] = {}
        problems = list(problems or [])
        for key, value in values.items():
            name = snake_case(key)
            if name not in known:
                problems.append(f"unknown setting {key!r} is ignored")
                continue
            checked = _checked(value, known[name])
            if checked is None:
                kept = getattr(self, name)
                problems.append(f"setting {key!r} wants {_kind(known[name])}, not {value!r}; {kept!r} is kept")
            else:
                good[name] = checked
        return replace(self, **good), problems


def given(options: Mapping[str, Any]) -> dict[str, Any]:
    """Those of a command line's options that are settings and were given."""
    names = {item.name for item in fields(Settings)}
    return {name: value for name, value in options.items() if name in names and value is not None}


def runtime_dir() -> Path:
    """Folder of sockets and locks, one per user; `TREEGRAFT_RUNTIME_DIR` overrides it. Not created here."""
    override = os.environ.get("TREEGRAFT_RUNTIME_DIR")
    if override:
        return Path(override)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # without a login session there is no runtime folder; the temporary one is fine
        return platformdirs.user_runtime_path("treegraft")


def settings_file(environ: Mapping[str, str] | None = None) -> Path:
    """The user's file of settings, in TOML; `TREEGRAFT_CONFIG` overrides where it is. It need not exist."""
    override = (os.environ if environ is None else environ).get("TREEGRAFT_CONFIG")
    return Path(override) if override else platformdirs.user_config_path("treegraft") / "config.toml"


def as_schema() -> dict[str, Any]:
    """The settings as a JSON schema of one object, names in camelCase: what editors' settings pages are made from."""
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "treegraft",
        "type": "object",
        "properties": {camel_case(item.name): _schema_of(item) for item in fields(Settings)},
        "additionalProperties": False,
    }


def as_page() -> str:
    """The settings as a page of Markdown."""
    lines = [
        "# Settings",
        "",
        "Every setting can be given in four places; the first one that names it counts:",
        "",
        "1. the command line, where there is a flag (`treegraft serve --help`);",
        "2. the editor: section `treegraft` of its settings, or `initializationOptions`, names as in the table;",
        "3. the environment: `TREEGRAFT_` and the name in capitals with underscores, as `TREEGRAFT_MAX_TOKENS=32`;",
        "   lists are separated by commas;",
        "4. `config.toml` in the user's configuration folder (`~/.config/treegraft` on Linux), names as in the table or",
        "   with underscores, as `max_tokens = 32`. `TREEGRAFT_CONFIG` names another file.",
        "",
        "`treegraft settings` shows what holds and where it comes from. A wrong value is told in one line and changes",
        "nothing. This page is written by `treegraft settings --markdown`, the schema beside it by",
        "`treegraft settings --schema`.",
        "",
        "| name | default | what it does |",
        "|---|---|---|",
    ]
    for item in fields(Settings):
        default = _as_toml(item.default)
        lines.append(f"| `{camel_case(item.name)}` | `{default}` | {item.metadata['sentence']}{_bounds(item)} |")
    return "\n".join(lines) + "\n"


def camel_case(name: str) -> str:
    head, *tail = name.split("_")
    return head + "".join(word.capitalize() for word in tail)


def snake_case(name: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)


def _from_file(path: Path) -> tuple[dict[str, Any], list[str]]:
    """What the file holds; nothing and a line when it cannot be used, nothing at all when it is not there."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8")), []
    except (FileNotFoundError, NotADirectoryError):
        return {}, []
    except (OSError, ValueError) as problem:
        why = problem.strerror if isinstance(problem, OSError) else str(problem)
        return {}, [f"{path} is ignored: {why}"]


def _checked(value: Any, item: Field[Any]) -> Any:
    """`value` as the type of the option and within its bounds, or None when it does not fit."""
    default, at_least, at_most = item.default, item.metadata["at_least"], item.metadata["at_most"]
    if isinstance(default, bool):
        return value if isinstance(value, bool) else None
    if isinstance(default, (int, float)):
        whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
        if isinstance(value, bool) or not (whole if isinstance(default, int) else isinstance(value, (int, float))):
            return None
        return type(default)(value) if at_least <= value and (at_most is None or value <= at_most) else None
    if isinstance(default, tuple):
        fits = isinstance(value, (list, tuple)) and all(isinstance(part, str) for part in value)
        return tuple(value) if fits else None
    choices = item.metadata["choices"]
    return value if isinstance(value, str) and (not choices or value in choices) else None


def _from_text(raw: str, default: Any) -> Any:
    if isinstance(default, bool):
        return {"1": True, "true": True, "0": False, "false": False}.get(raw.lower(), raw)
    if isinstance(default, tuple):
        return tuple(part for part in raw.split(",") if part)
    try:
        return type(default)(raw)
    except ValueError:
        return raw


def _kind(item: Field[Any]) -> str:
    default, choices = item.default, item.metadata["choices"]
    if choices:
        return "one of " + ", ".join(choices)
    kinds = {bool: "true or false", int: "a whole number", float: "a number", tuple: "a list of words"}
    return kinds.get(type(default), "a text") + _bounds(item)


def _bounds(item: Field[Any]) -> str:
    at_least, at_most = item.metadata["at_least"], item.metadata["at_most"]
    if isinstance(item.default, bool) or not isinstance(item.default, (int, float)):
        choices = item.metadata["choices"]
        return f" ({', '.join(choices)})" if choices else ""
    if at_most is not None:
        return f" ({at_least:g} to {at_most:g})"
    return f" (from {at_least:g})"


def _schema_of(item: Field[Any]) -> dict[str, Any]:
    default, sentence = item.default, item.metadata["sentence"]
    schema: dict[str, Any] = {"description": f"{sentence[0].upper()}{sentence[1:]}."}
    if isinstance(default, tuple):
        return {**schema, "type": "array", "items": {"type": "string"}, "default": list(default)}
    if isinstance(default, bool):
        return {**schema, "type": "boolean", "default": default}
    if isinstance(default, (int, float)):
        schema |= {"type": "integer" if isinstance(default, int) else "number", "minimum": item.metadata["at_least"]}
        if item.metadata["at_most"] is not None:
            schema["maximum"] = item.metadata["at_most"]
        return {**schema, "default": default}
    if item.metadata["choices"]:
        schema["enum"] = list(item.metadata["choices"])
    return {**schema, "type": "string", "default": default}


def _as_toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return "[" + ", ".join(f'"{part}"' for part in value) + "]"
    return f'"{value}"' if isinstance(value, str) else str(value)
