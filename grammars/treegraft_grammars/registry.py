"""Which language is this file, and where is its compiled grammar: one table.

Adding a language is a row here plus a pinned package in pyproject.toml. A grammar package is imported when its
language is first asked for; this module opens no file and guesses nothing from content beyond a shebang and the
marks that tell a C++ header from a C one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import PurePosixPath


class UnknownLanguage(LookupError):
    """There is no row for this name in the table of languages."""


class UnsupportedGrammar(Exception):
    """The compiled grammar cannot be used: its package is missing, or its ABI is not one we read."""


@dataclass(frozen=True, slots=True)
class Language:
    """One row: how files of the language are recognised and which package holds its compiled parser.

    extensions are lower case with their dot; file_names are whole names; interpreters are what a shebang calls, without
    version digits; `entry` is the function of `module` that returns the capsule.
    """

    name: str
    lsp_ids: tuple[str, ...]
    extensions: tuple[str, ...]
    module: str
    entry: str = "language"
    file_names: tuple[str, ...] = ()
    interpreters: tuple[str, ...] = ()


LANGUAGES: tuple[Language, ...] = (
    Language(
        name="python",
        lsp_ids=("python",),
        extensions=(".py", ".pyi", ".pyw"),
        file_names=("SConstruct", "SConscript", "wscript", ".pythonrc", ".pythonstartup"),
        interpreters=("python", "pypy"),
        module="tree_sitter_python",
    ),
    Language(
        name="javascript",
        lsp_ids=("javascript", "javascriptreact"),
        extensions=(".js", ".mjs", ".cjs", ".jsx"),
        file_names=("Jakefile",),
        interpreters=("node", "nodejs", "qjs"),
        module="tree_sitter_javascript",
    ),
    Language(
        name="typescript",
        lsp_ids=("typescript",),
        extensions=(".ts", ".mts", ".cts"),
        interpreters=("ts-node", "tsx", "deno", "bun"),
        module="tree_sitter_typescript",
        entry="language_typescript",
    ),
    Language(
        name="tsx",
        lsp_ids=("typescriptreact", "tsx"),
        extensions=(".tsx",),
        module="tree_sitter_typescript",
        entry="language_tsx",
    ),
    Language(
        name="json",
        lsp_ids=("json", "jsonc"),
        extensions=(".json", ".jsonc", ".geojson", ".webmanifest", ".code-workspace", ".har"),
        file_names=(".babelrc", ".jshintrc", ".swcrc", ".watchmanconfig", "composer.lock", "Pipfile.lock"),
        module="tree_sitter_json",
    ),
    Language(name="go", lsp_ids=("go",), extensions=(".go",), module="tree_sitter_go"),
    Language(
        name="rust", lsp_ids=("rust",), extensions=(".rs",), interpreters=("rust-script",), module="tree_sitter_rust"
    ),
    Language(name="java", lsp_ids=("java",), extensions=(".java",), module="tree_sitter_java"),
    Language(name="c", lsp_ids=("c",), extensions=(".c", ".h"), module="tree_sitter_c"),
    Language(
        name="cpp",
        lsp_ids=("cpp",),
        extensions=(".cpp", ".cc", ".cxx", ".c++", ".hpp", ".hh", ".hxx", ".h++", ".ipp", ".inl", ".tpp"),
        module="tree_sitter_cpp",
    ),
    Language(
        name="bash",
        lsp_ids=("shellscript", "bash", "sh"),
        extensions=(".sh", ".bash", ".ebuild", ".eclass"),
        file_names=(
            ".bashrc", ".bash_profile", ".bash_aliases", ".bash_login", ".bash_logout", ".profile", "bash.bashrc",
            "PKGBUILD", "APKBUILD",
        ),
        interpreters=("bash", "sh", "dash", "ash"),
        module="tree_sitter_bash",
    ),
)  # fmt: skip


def languages() -> list[str]:
    """Names of all languages of the table, in its order."""
    return [row.name for row in LANGUAGES]


def language_of(path: str, text: bytes = b"") -> str | None:
    """The language of a file, by its name, its extension, then the shebang in `text`; None when none of them tells."""
    file = PurePosixPath(path.replace("\\", "/"))
    if file.name in _BY_FILE_NAME:
        return _BY_FILE_NAME[file.name]
    if file.suffix in (".C", ".H"):  # C++ where file systems tell case apart
        return "cpp"
    # The last suffix only: `a.py.orig` is no Python file, and a name such as `.json` has no suffix.
    name = _BY_EXTENSION.get(file.suffix.lower())
    if name == "c" and file.suffix.lower() == ".h" and _CPP_HEADER.search(text):
        return "cpp"
    return name or _of_shebang(text)


def language_of_lsp(language_id: str) -> str | None:
    """The language an editor calls `language_id`, or None when we have no grammar for it."""
    return _BY_LSP_ID.get(language_id)


def row_of(name: str) -> Language:
    """The row of a language by its name here; raises UnknownLanguage."""
    row = _BY_NAME.get(name)
    if row is None:
        raise UnknownLanguage(f'unknown language "{name}"; known are {", ".join(languages())}')
    return row


@cache
def load(name: str) -> object:
    """The PyCapsule "tree_sitter.Language" of a language; imports its package on the first call."""
    row = row_of(name)
    try:
        capsule: object = getattr(import_module(row.module), row.entry)()
    except (ImportError, AttributeError) as problem:
        package = row.module.replace("_", "-")
        raise UnsupportedGrammar(f"cannot load the grammar of {name} from {package}: {problem}") from problem
    return capsule


def _of_shebang(text: bytes) -> str | None:
    """The language of `#!/usr/bin/env -S python3.11 -u` and its like."""
    if not text.startswith(b"#!"):
        return None
    words = text[2:].split(b"\n", 1)[0][:256].decode("utf-8", "replace").split()
    # `env` may carry options and assignments before the program it runs.
    programs = [word.rsplit("/", 1)[-1] for word in words if not word.startswith("-") and "=" not in word]
    if programs and programs[0] == "env":
        programs = programs[1:]
    return _BY_INTERPRETER.get(re.sub(r"[\d.]+$", "", programs[0])) if programs else None


# One mark is enough: none of these can stand at the start of a line of a C header.
_CPP_HEADER = re.compile(
    rb"^[ \t]*(?:(?:inline[ \t]+)?namespace\b|template[ \t]*<|using[ \t]+\w|(?:public|private|protected)[ \t]*:"
    rb"|(?:enum[ \t]+)?class[ \t]+\w|#[ \t]*include[ \t]*<(?:vector|string|memory|map|utility|type_traits|cstd\w+)>)",
    re.MULTILINE,
)


def _by(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    table: dict[str, str] = {}
    for key, name in pairs:
        assert key not in table, f"{key} belongs to {table[key]} and {name}"
        table[key] = name
    return table


_BY_NAME = {row.name: row for row in LANGUAGES}
_BY_LSP_ID = _by((key, row.name) for row in LANGUAGES for key in row.lsp_ids)
_BY_EXTENSION = _by((key, row.name) for row in LANGUAGES for key in row.extensions)
_BY_FILE_NAME = _by((key, row.name) for row in LANGUAGES for key in row.file_names)
_BY_INTERPRETER = _by((key, row.name) for row in LANGUAGES for key in row.interpreters)
