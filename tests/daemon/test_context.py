"""Which other open files the model reads."""

from __future__ import annotations

import pytest

from treegraft_daemon.serve.context import siblings
from treegraft_daemon.serve.documents import KEPT_CLOSED, MAX_FILE_BYTES, Documents, Snapshot


def opened(*paths: str) -> list[Snapshot]:
    """Snapshots of files used in this order, the last used first."""
    documents = Documents()
    for path in paths:
        documents.open(f"file://{path}", "", 1, f"text of {path}")
    return documents.recent()


def chosen(document: str, *others: str, n: int = 9, budget: int = 10_000) -> list[str]:
    recent = opened(*others, document)
    return [path for path, _ in siblings(recent[0], recent, n, budget_bytes=budget)]


def test_the_document_itself_is_never_among_them() -> None:
    assert chosen("/p/a.py", "/p/b.py") == ["/p/b.py"]


def test_same_language_first_then_same_folder_then_last_used() -> None:
    order = chosen("/p/a.py", "/q/x.py", "/p/y.go", "/p/z.py", "/q/w.py")
    assert order == ["/p/z.py", "/q/w.py", "/q/x.py", "/p/y.go"]


@pytest.mark.parametrize(
    ("document", "text", "imported"),
    [
        ("/p/a.py", "import os\n\nfrom q.near import x\n", "/q/near.py"),
        ("/p/a.py", "from . import (\n    far,\n    near,\n)\n", "/q/near.py"),
        ("/p/a.py", "def f():\n    import near\n", "/q/near/__init__.py"),
        ("/p/a.ts", 'import {\n  a,\n} from "../q/near";\n', "/q/near.ts"),
        ("/p/a.ts", 'import { a } from "../q/near.model.js";\n', "/q/near.model.ts"),
        ("/p/a.js", "const near = require('./near')\n", "/q/near/index.js"),
        ("/p/a.ts", 'export * from "./near";\n', "/q/near.ts"),
        ("/p/a.go", 'import (\n\t"fmt"\n\t"x.org/q/near"\n)\n', "/q/near/any.go"),
        ("/p/a.rs", "pub mod near;\n", "/q/near.rs"),
        ("/p/a.rs", "use crate::{\n    far,\n    near::{a, b},\n};\n", "/q/near/mod.rs"),
        ("/p/a.java", "import org.q.Near;\n", "/q/Near.java"),
        ("/p/a.rb", "require_relative '../q/near'\n", "/q/near.rb"),
        ("/p/a.php", "use App\\Q\\Near;\n", "/q/Near.php"),
    ],
)
def test_what_the_document_imports_comes_before_its_folder(document: str, text: str, imported: str) -> None:
    extension = imported.rpartition(".")[2]
    documents, other = Documents(), f"/p/other.{extension}"
    for path in (imported, other):
        documents.open(f"file://{path}", "", 1, "x")
    here = documents.open(f"file://{document}", "", 1, text).snapshot()
    assert [path for path, _ in siblings(here, documents.recent(), 9)] == [imported, other]
    documents.open(f"file://{document}", "", 1, text.replace("ear", "ame"))
    assert [path for path, _ in siblings(documents.recent()[0], documents.recent(), 9)] == [other, imported]


def test_headers_do_not_come_before_the_folder() -> None:
    documents = Documents()
    for path in ("/q/near.h", "/p/other.c"):
        documents.open(f"file://{path}", "", 1, "x")
    here = documents.open("file:///p/a.c", "", 1, '#include "q/near.h"\n').snapshot()
    assert [path for path, _ in siblings(here, documents.recent(), 9)] == ["/p/other.c", "/q/near.h"]


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


def test_files_closed_of_late_come_after_the_open_ones_of_their_kind() -> None:
    documents = Documents()
    for name in ("old", "closed", "open", "here"):
        documents.open(f"file:///p/{name}.py", "python", 1, f"text of {name}")
    documents.close("file:///p/old.py")
    documents.close("file:///p/closed.py")
    here = documents.recent()[0]
    assert [path for path, _ in siblings(here, documents.recent(), 9)] == ["/p/open.py", "/p/closed.py", "/p/old.py"]
    documents.open("file:///p/old.py", "python", 1, "anew")
    found = dict(siblings(here, documents.recent(), 9))
    assert found["/p/old.py"] == b"anew", "opened again it is itself"
    assert len(documents) == 3


def test_few_closed_files_are_kept_and_no_large_one() -> None:
    documents = Documents()
    for number in range(KEPT_CLOSED + 3):
        documents.open(f"file:///p/{number}.py", "python", 1, "x")
        documents.close(f"file:///p/{number}.py")
    documents.open("file:///p/large.py", "python", 1, "x" * (MAX_FILE_BYTES + 1))
    documents.close("file:///p/large.py")
    kept = [snapshot.path for snapshot in documents.recent()]
    assert kept == [f"/p/{number}.py" for number in range(KEPT_CLOSED + 2, 2, -1)]
    assert not documents.close("file:///p/large.py")


def test_excluded_files_are_left_out() -> None:
    recent = opened("/p/b.py", "/p/.env", "/p/c.py", "/p/a.py")
    found = siblings(recent[0], recent, 9, is_excluded=lambda path: path.endswith("c.py"))
    assert [path for path, _ in found] == ["/p/b.py"]


def test_secrets_are_left_out_whatever_the_editor_calls_them() -> None:
    documents = Documents()
    documents.open("file:///p/.env", "json", 1, "{}")
    here = documents.open("file:///p/a.json", "json", 1, "{}").snapshot()
    assert siblings(here, documents.recent(), 9) == []
