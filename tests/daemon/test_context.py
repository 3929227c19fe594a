"""Which other open files the model reads."""

from __future__ import annotations

import pytest

from treegraft_daemon.serve.context import MAX_FILE_BYTES, is_secret, siblings
from treegraft_daemon.serve.documents import Documents, Snapshot


def opened(*paths: str) -> list[Snapshot]:
    """Snapshots of files used in this order, the last used first."""
    documents = Documents()
    for path in paths:
        documents.open(f"file://{path}", "", 1, f"text of {path}")
    return documents.recent()


def chosen(document: str, *others: str, n: int = 9, budget: int = 10_000) -> list[str]:
    recent = opened(*others, document)
    return [path for path, _ in siblings(recent[0], recent, n, budget)]


def test_the_document_itself_is_never_among_them() -> None:
    assert chosen("/p/a.py", "/p/b.py") == ["/p/b.py"]


def test_same_language_first_then_same_folder_then_last_used() -> None:
    order = chosen("/p/a.py", "/q/x.py", "/p/y.go", "/p/z.py", "/q/w.py")
    assert order == ["/p/z.py", "/q/w.py", "/q/x.py", "/p/y.go"]


def test_a_language_of_the_family_comes_before_a_stranger() -> None:
    assert chosen("/p/a.ts", "/p/b.js", "/p/c.py") == ["/p/b.js", "/p/c.py"]


def test_the_number_of_files_is_bounded() -> None:
    assert chosen("/p/a.py", "/p/b.py", "/p/c.py", "/p/d.py", n=2) == ["/p/d.py", "/p/c.py"]
    assert chosen("/p/a.py", "/p/b.py", n=0) == []


def test_a_file_over_the_budget_is_passed_over_not_cut() -> None:
    long = "/p/" + "long" * 30 + ".py"
    assert chosen("/p/a.py", "/p/b.py", long, budget=60) == ["/p/b.py"]


def test_generated_binary_and_empty_files_are_left_out() -> None:
    documents = Documents()
    documents.open("file:///p/big.py", "python", 1, "x" * (MAX_FILE_BYTES + 1))
    documents.open("file:///p/nul.py", "python", 1, "a\0b")
    documents.open("file:///p/empty.py", "python", 1, "")
    documents.open("file:///p/note.txt", "plaintext", 1, "words")
    here = documents.open("file:///p/a.py", "python", 1, "x").snapshot()
    assert siblings(here, documents.recent(), 9) == []


@pytest.mark.parametrize(
    "path",
    [
        "/p/.env", "/p/.env.local", "/p/prod.env", "/p/server.pem", "/p/id_rsa", "/p/id_ed25519", "/p/.netrc",
        "/p/.npmrc", "/home/me/.ssh/config", "/home/me/.aws/credentials", "/p/secrets.yaml", "/p/credentials.json",
        "/p/x.tfvars",
        "C:\\p\\.env", "/p/.envrc", "/p/.pypirc", "/p/key.PEM",
    ],
)  # fmt: skip
def test_secrets_are_left_out(path: str) -> None:
    assert is_secret(path)
    documents = Documents()
    documents.open(f"file:///{path.lstrip('/')}", "json", 1, "{}")  # whatever the editor calls it
    here = documents.open("file:///p/a.json", "json", 1, "{}").snapshot()
    assert siblings(here, documents.recent(), 9) == []


@pytest.mark.parametrize(
    "path", ["/p/environment.py", "/p/secrets.py", "/p/keys.py", "/p/env/a.py", "/p/.environ.py", "Untitled-1", ""]
)
def test_source_files_are_no_secrets(path: str) -> None:
    assert not is_secret(path)
