"""The table of languages: every row loads, and files find their row."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
from tree_sitter import Language, Parser

from treegraft_grammars import registry
from treegraft_grammars.registry import UnknownLanguage, UnsupportedGrammar, language_of, language_of_lsp, languages
from treegraft_grammars.table import LANGUAGES, MORE

ROOT = Path(__file__).parent.parent.parent
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
    "csharp": b"class A { int F(int x) => x; }\n",
    "ruby": b'def f(x) = x\nputs "#{f 1}"\n',
    "php": b"<b><?php function f(int $x): int { return $x; } ?></b>\n",
    "lua": b"local function f(x) return x end\n",
    "html": b"<!DOCTYPE html>\n<p>a<br><b>b</b></p>\n",
    "css": b"a > b:hover { color: #fff; }\n",
    "scss": b"a { &:hover { color: $b; } }\n",
    "xml": b'<?xml version="1.0"?><a b="c"><d/></a>\n',
    "yaml": b"a:\n  - b: [c, 1]\n",
    "toml": b"[a]\nb = [1, 'c']\n",
    "sql": b"SELECT a, count(*) FROM b WHERE c = 1 GROUP BY a;\n",
    "kotlin": b"fun f(x: Int): Int = x\n",
    "swift": b"func f(_ x: Int) -> Int { return x }\n",
    "scala": b"object A { def f(x: Int): Int = x }\n",
    "haskell": b"f :: Int -> Int\nf x = x\n",
    "ocaml": b"let f (x : int) = x + 1\n",
    "ocaml-interface": b"val f : int -> int\n",
    "zig": b"fn f(x: i32) i32 { return x; }\n",
    "elixir": b"defmodule A do\n  def f(x), do: x\nend\n",
    "julia": b"f(x) = x + 1\n",
    "perl": b"sub f { my ($x) = @_; return $x; }\n",
    "fortran": b"program a\n  implicit none\n  print *, 1\nend program a\n",
    "groovy": b"int f(int x) { return x; }\n",
    "objective-c": b"@implementation A\n- (int)f:(int)x { return [self g:x]; }\n@end\n",
    "powershell": b"function F($x) { return $x }\n",
    "make": b"all: a.o\n\tcc -o $@ $<\n",
    "dockerfile": b"FROM debian\nRUN apt-get update\n",
    "markdown": b"# a\n\n- b\n",
}


def test_the_table_has_these_languages_in_order() -> None:
    assert languages() == list(HELLO)


def test_the_packages_of_the_table_are_those_of_the_project() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    first = [pin for pin in project["dependencies"] if pin.startswith("tree-sitter-")]
    for extra, pins in ("", first), (MORE, project["optional-dependencies"][MORE]):
        assert {pin.split("==")[0] for pin in pins} == {row.package for row in LANGUAGES if row.extra == extra}
        for pin in pins:
            name, wanted = pin.split("==")
            assert version(name) == wanted


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
        ("tool", b"#!/usr/bin/perl -w\n", "perl"),
        ("debian/rules", b"#!/usr/bin/make -f\n", "make"),
        ("tool", b"#!/usr/bin/tclsh\n", None),
        ("Gemfile", b"", "ruby"),
        ("a/build.gradle", b"", "groovy"),
        ("build.gradle.kts", b"", "kotlin"),
        ("a.mli", b"", "ocaml-interface"),
        ("a.YML", b"", "yaml"),
        ("tool", b"#!\n", None),
        ("tool", b"\xff\xfe#!/bin/sh", None),
        ("a.py.orig", b"", None),
        ("Makefile", b"", "make"),
        ("Makefile.old", b"", None),
        ("", b"", None),
    ],
)
def test_language_of(path: str, text: bytes, name: str | None) -> None:
    assert language_of(path, text) == name


def test_language_of_lsp() -> None:
    assert language_of_lsp("javascriptreact") == "javascript"
    assert language_of_lsp("typescriptreact") == "tsx"
    assert language_of_lsp("shellscript") == "bash"
    assert language_of_lsp("ocaml.interface") == "ocaml-interface"
    assert language_of_lsp("makefile") == "make"
    assert language_of_lsp("plaintext") is None


def test_an_unknown_name_says_which_are_known() -> None:
    with pytest.raises(UnknownLanguage, match='unknown language "cobol"; known are python, '):
        registry.load("cobol")


def test_a_missing_package_is_told_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    row = registry.Language(name="ada", lsp_ids=(), extensions=(), module="tree_sitter_no_such_package")
    monkeypatch.setitem(registry._BY_NAME, "ada", row)
    with pytest.raises(UnsupportedGrammar, match="cannot load the grammar of ada from tree-sitter-no-such-package"):
        registry.load("ada")


def test_a_package_of_an_extra_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    row = registry.Language(name="ada", lsp_ids=(), extensions=(), module="tree_sitter_no_such_package", extra=MORE)
    monkeypatch.setitem(registry._BY_NAME, "ada", row)
    with pytest.raises(UnsupportedGrammar, match=r'of ada is not installed: pip install "treegraft\[languages\]"$'):
        registry.load("ada")


def test_distrust_is_a_reason_or_nothing() -> None:
    assert registry.distrust("python") == ""
    assert "every text" in registry.distrust("markdown")


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
