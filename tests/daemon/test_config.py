"""Settings: defaults, environment, what an editor sends."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path

import pytest

from treegraft_daemon import __version__
from treegraft_daemon.config import Settings, as_page, as_schema

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"


def schema_text() -> str:
    return json.dumps(as_schema(), ensure_ascii=False, indent=2) + "\n"


def test_editors_may_write_camel_case() -> None:
    settings, problems = Settings().overlay({"maxTokens": 12, "temperature": 1, "disabledLanguages": ["json"]})
    assert (settings.max_tokens, settings.temperature, settings.disabled_languages) == (12, 1.0, ("json",))
    assert problems == []


def test_a_bad_value_keeps_the_default_and_is_told() -> None:
    settings, problems = Settings().overlay({"maxTokens": "many", "enabled": 1, "nonsense": 3})
    assert settings == Settings()
    assert len(problems) == 3
    assert "maxTokens" in problems[0]


def test_numbers_stay_within_their_bounds() -> None:
    settings, problems = Settings().overlay({"minProbability": 7, "maxTokens": 0, "besidePopup": "under"})
    assert settings == Settings()
    assert problems[0] == "setting 'minProbability' wants a number (0 to 1), not 7; 0.02 is kept"
    assert "one of extend, hide" in problems[2]


def test_the_environment_goes_before_the_file(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text('max_tokens = 7\nminProbability = 0.5\nmodel = 3\nexcludedFiles = ["*.gen.py"]\n')
    settings, problems = Settings.load({"TREEGRAFT_CONFIG": str(path), "TREEGRAFT_MAX_TOKENS": "9"})
    assert (settings.max_tokens, settings.min_probability, settings.model) == (9, 0.5, "embedded")
    assert settings.excluded_files == ("*.gen.py",)
    assert problems == ["setting 'model' wants a text, not 3; 'embedded' is kept"]


def test_wrong_variables_are_told_by_their_names(tmp_path: Path) -> None:
    environ = {
        "TREEGRAFT_CONFIG": str(tmp_path / "none"),
        "TREEGRAFT_ENABLED": "false",
        "TREEGRAFT_MAX_TOKENS": "seven",
    }
    settings, problems = Settings.load(environ)
    assert (settings.enabled, settings.max_tokens) == (False, Settings().max_tokens)
    assert problems == ["setting TREEGRAFT_MAX_TOKENS wants a whole number (1 to 4096), not 'seven'; 48 is kept"]


@pytest.mark.parametrize("content", [b"max_tokens = ", b"\xff\xfe"])
def test_a_broken_file_of_settings_is_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "config.toml"
    path.write_bytes(content)
    settings, (problem,) = Settings.load({"TREEGRAFT_CONFIG": str(path)})
    assert settings == Settings()
    assert problem.startswith(f"{path} is ignored: ")


def test_a_folder_for_a_file_of_settings_is_one_line(tmp_path: Path) -> None:
    _, (problem,) = Settings.load({"TREEGRAFT_CONFIG": str(tmp_path)})
    assert "directory" in problem


@pytest.mark.parametrize(("name", "made"), [("settings.md", as_page()), ("settings.schema.json", schema_text())])
def test_the_page_and_the_schema_are_those_of_the_table(name: str, made: str) -> None:
    assert (DOCS / name).read_text() == made, f"docs/{name} is stale: `treegraft settings` writes it"


def test_the_settings_and_the_version_of_the_vscode_extension_are_ours() -> None:
    manifest = json.loads((ROOT / "editors" / "vscode" / "package.json").read_text())
    assert manifest["version"] == __version__
    offered = manifest["contributes"]["configuration"]["properties"]
    own = {"treegraft.path", "treegraft.interpreter", "treegraft.trace.server"}
    servers = {name: value for name, value in offered.items() if name not in own}
    wanted = {f"treegraft.{name}": {**value, "scope": "resource"} for name, value in as_schema()["properties"].items()}
    assert servers == wanted, "npm run settings --prefix editors/vscode"


def test_the_schema_takes_the_defaults_and_names_every_setting() -> None:
    properties = as_schema()["properties"]
    settings, problems = Settings().overlay({name: entry["default"] for name, entry in properties.items()})
    assert settings == Settings()
    assert problems == []
    assert len(properties) == len(fields(Settings))
