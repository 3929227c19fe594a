"""Settings: defaults, environment, what an editor sends."""

from __future__ import annotations

from treegraft_daemon.config import Settings


def test_editors_may_write_camel_case() -> None:
    settings, problems = Settings().overlay({"maxTokens": 12, "temperature": 1, "disabledLanguages": ["json"]})
    assert (settings.max_tokens, settings.temperature, settings.disabled_languages) == (12, 1.0, ("json",))
    assert problems == []


def test_a_bad_value_keeps_the_default_and_is_told() -> None:
    settings, problems = Settings().overlay({"maxTokens": "many", "enabled": 1, "nonsense": 3})
    assert settings == Settings()
    assert len(problems) == 3
    assert "maxTokens" in problems[0]


def test_the_environment_sets_defaults() -> None:
    settings = Settings.from_environment(
        {"TREEGRAFT_MAX_TOKENS": "7", "TREEGRAFT_ENABLED": "false", "TREEGRAFT_MODEL": "m"}
    )
    assert (settings.max_tokens, settings.enabled, settings.model) == (7, False, "m")
    assert Settings.from_environment({"TREEGRAFT_MAX_TOKENS": "seven"}).max_tokens == Settings().max_tokens
