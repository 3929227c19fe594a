"""The table of languages: every row loads, and files find their row."""

from __future__ import annotations

import subprocess
import sys

import pytest
from tree_sitter import Language, Parser

from treegraft_grammars import registry
from treegraft_grammars.registry import UnknownLanguage, UnsupportedGrammar, language_of, language_of_lsp, languages

HELLO = {
    "python": b"def f(x):\n    return x\n",
    "javascript": b"const f = (x) => <b>{x}</b>;\n",
    "typescript": b"const f = <T,>(x: T): T => x;\n",
    "tsx": b"const f = (x: string) => <b>{x}</b>;\n",
    "json": b'{"a": [1, true, null]}\n',
    "go": b"package a\n\nfunc f(x int) int { return x }\n",
    "rust": b"fn f<'a>(x: &'a str) -> &'a str { x }\n",
    "java": b"class A { int f(int x) { return x; } }\n",
    "c": b"int f(int x) { return x; }\n",
    "cpp": b"template <class T> T f(T x) { return x; }\n",
    "bash": b'for f in *; do echo "$f"; done\n',
}


def test_the_table_has_eleven_languages_in_order() -> None:
    assert languages() == list(HELLO)


@pytest.mark.parametrize("name", languages())
def test_every_row_loads_a_grammar_that_reads_its_own_language(name: str) -> None:
    tree = Parser(Language(registry.load(name))).parse(HELLO[name])
    assert not tree.root_node.has_error
    assert registry.load(name) is registry.load(name)


@pytest.mark.parametrize(
    ("path", "text", "name"),
    [
        ("src/a.py", b"", "python"),
        ("C:\\src\\A.PY", b"", "python"),
        ("stubs/a.pyi", b"", "python"),
        ("a.mjs", b"", "javascript"),
        ("a.d.ts", b"", "typescript"),
        ("a.tsx", b"", "tsx"),
        ("package-lock.json", b"", "json"),
        (".babelrc", b"", "json"),
        ("a.c", b"namespace a {", "c"),
        ("a.h", b"struct a { int b; };\n", "c"),
        ("a.h", b"#pragma once\nnamespace a {\n}\n", "cpp"),
        ("a.h", b"struct a {\n public:\n  int b;\n};\n", "cpp"),
        ("a.C", b"", "cpp"),
        ("/home/me/.bashrc", b"", "bash"),
        ("configure", b"#! /bin/sh\n", "bash"),
        ("tool", b"#!/usr/bin/env -S python3.11 -u\nx = 1\n", "python"),
        ("tool", b"#!/usr/bin/env FOO=1 node\n", "javascript"),
        ("tool", b"#!/usr/bin/perl\n", None),
        ("tool", b"#!\n", None),
        ("tool", b"\xff\xfe#!/bin/sh", None),
        ("a.py.orig", b"", None),
        ("Makefile", b"", None),
        ("", b"", None),
    ],
)
def test_language_of(path: str, text: bytes, name: str | None) -> None:
    assert language_of(path, text) == name


def test_language_of_lsp() -> None:
    assert language_of_lsp("javascriptreact") == "javascript"
    assert language_of_lsp("typescriptreact") == "tsx"
    assert language_of_lsp("shellscript") == "bash"
    assert language_of_lsp("plaintext") is None


def test_an_unknown_name_says_which_are_known() -> None:
    with pytest.raises(UnknownLanguage, match='unknown language "cobol"; known are python, '):
        registry.load("cobol")


def test_a_missing_package_is_told_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    row = registry.Language(name="ruby", lsp_ids=(), extensions=(), module="tree_sitter_no_such_package")
    monkeypatch.setitem(registry._BY_NAME, "ruby", row)
    with pytest.raises(UnsupportedGrammar, match="cannot load the grammar of ruby from tree-sitter-no-such-package"):
        registry.load("ruby")


def test_asking_for_a_name_loads_no_grammar_and_no_native_code() -> None:
    """The language server pays for the table only."""
    code = (
        "import sys, treegraft_grammars as g; g.language_of('a.py'); g.language_of_lsp('go'); g.languages();"
        "print([m for m in sys.modules if 'tree_sitter' in m or 'numpy' in m or '_simulator' in m])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=_environment())
    assert done.stdout.strip() == "[]"


def _environment() -> dict[str, str]:
    import os
    from pathlib import Path

    return {**os.environ, "PYTHONPATH": str(Path(registry.__file__).parents[1])}
