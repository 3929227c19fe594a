"""Which files are left alone."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from treegraft_daemon.serve.exclusion import FRESH_S, Exclusion, is_secret


@pytest.mark.parametrize(
    "path",
    [
        "/p/.env", "/p/.env.local", "/p/prod.env", "/p/server.pem", "/p/id_rsa", "/p/id_ed25519", "/p/.netrc",
        "/p/.npmrc", "/home/me/.ssh/config", "/home/me/.aws/credentials", "/p/secrets.yaml", "/p/credentials.json",
        "/p/x.tfvars",
        "C:\\p\\.env", "/p/.envrc", "/p/.pypirc", "/p/key.PEM",
    ],
)  # fmt: skip
def test_secrets_are_known_by_their_names(path: str) -> None:
    assert is_secret(path)
    assert "secrets" in Exclusion().reason(path)


@pytest.mark.parametrize(
    "path", ["/p/environment.py", "/p/secrets.py", "/p/keys.py", "/p/env/a.py", "/p/.environ.py", "Untitled-1", ""]
)
def test_source_files_are_no_secrets(path: str) -> None:
    assert not is_secret(path)


def test_a_setting_names_patterns() -> None:
    exclusion = Exclusion(["*.gen.py", "/vendor/", "!keep.gen.py"], roots=["/p"])
    assert exclusion.reason("/p/a.gen.py") == "a.gen.py is excluded by a setting"
    assert exclusion.reason("/p/vendor/x/a.py")
    assert exclusion.reason("Untitled.gen.py")
    assert not exclusion.reason("/p/src/vendor/a.py")
    assert not exclusion.reason("/p/keep.gen.py")


def test_an_ignore_file_counts_below_its_folder_and_the_deepest_decides(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / ".treegraftignore").write_text("*.sql\n/top.py\n")
    (tmp_path / "sub" / ".treegraftignore").write_text("!open.sql\n")
    exclusion = Exclusion()
    assert exclusion.reason(f"{tmp_path}/a.sql") == f"a.sql is excluded by {tmp_path}/.treegraftignore"
    assert exclusion.reason(f"{tmp_path}/sub/b.sql")
    assert not exclusion.reason(f"{tmp_path}/sub/open.sql")
    assert exclusion.reason(f"{tmp_path}/top.py")
    assert not exclusion.reason(f"{tmp_path}/sub/top.py")


def test_gits_own_file_counts_on_demand(tmp_path: Path) -> None:
    (tmp_path / ".gitignore").write_text("build/\n")
    path = f"{tmp_path}/build/a.py"
    assert not Exclusion().reason(path)
    assert Exclusion(respects_gitignore=True).reason(path)


def test_what_git_ignores_is_ignored(tmp_path: Path) -> None:
    lines = ["*.log", "!keep.log", "out/", "docs/*.md", "**/deep/*.c", "a/**/z", r"\#odd", "tail ", "/only"]
    (tmp_path / ".gitignore").write_text("\n".join(lines) + "\n")
    paths = [
        "x.log", "keep.log", "s/keep.log", "out/a", "s/out/a", "docs/a.md", "s/docs/a.md", "deep/a.c", "s/deep/a.c",
        "a/z", "a/b/c/z", "#odd", "tail", "only", "s/only", "plain.py",
    ]  # fmt: skip
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    asked = subprocess.run(
        ["git", "-C", str(tmp_path), "check-ignore", "--no-index", *paths], capture_output=True, text=True
    )
    exclusion = Exclusion(respects_gitignore=True)
    assert [path for path in paths if exclusion.reason(f"{tmp_path}/{path}")] == asked.stdout.replace('"', "").split()


def test_a_changed_ignore_file_counts_soon(tmp_path: Path) -> None:
    now = 0.0
    exclusion = Exclusion(clock=lambda: now)
    path = f"{tmp_path}/a.py"
    assert not exclusion.reason(path)
    (tmp_path / ".treegraftignore").write_text("a.py\n")
    now += FRESH_S
    assert exclusion.reason(path)


def test_a_wrong_pattern_costs_itself(tmp_path: Path) -> None:
    (tmp_path / ".treegraftignore").write_bytes(b"!\n\xff\xfe\na.py\n")
    assert Exclusion().reason(f"{tmp_path}/a.py")
    assert Exclusion(["!", "a.py"]).reason("/q/a.py")


def test_a_folder_of_that_name_is_no_ignore_file(tmp_path: Path) -> None:
    (tmp_path / ".treegraftignore").mkdir()
    assert not Exclusion().reason(f"{tmp_path}/a.py")


def test_a_name_that_no_file_can_have_is_not_excluded() -> None:
    assert Exclusion(respects_gitignore=True).reason("/p/a\0b/c.py") == ""
