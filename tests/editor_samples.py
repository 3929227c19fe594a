"""Files to type in, and what an editor that closes pairs makes of the keys: the same for every editor."""

from __future__ import annotations

from dataclasses import dataclass

# The model has seen how such a thing goes on: by copying, whatever the tables say.
PYTHON = """\
def total(values):
    result = 0
    for value in values:
        result += value
    return result


def mean(values):
"""
KEYS = "    ret"
REST = "urn result"


@dataclass(frozen=True, slots=True)
class Pair:
    """`keys` are typed at the end of `before`; the editor puts `closing` behind the cursor by itself."""

    name: str
    file: str
    language: str
    before: str
    keys: str
    closing: str
    after: str


def _pair(name: str, file: str, language: str, text: str, keys: str, closing: str) -> Pair:
    before, after = text.split("|")
    return Pair(name, file, language, before, keys, closing, after)


PAIRS = [
    _pair(
        "python-round", "load.py", "python",
        'def load(path):\n    return open(path, encoding="utf-8")\n\n\ndef lines(path):\n    return |\n', "open(", ")",
    ),
    _pair(
        "python-quotes", "check.py", "python",
        'def check(value):\n    if value < 0:\n        raise ValueError("the value is negative")\n\n\n'
        "def again(value):\n    if value < 0:\n        raise ValueError(|)\n", '"', '"',
    ),
    _pair(
        "javascript-round", "load.js", "javascript",
        "function load(path) {\n  return readFileSync(path, options);\n}\n\n"
        "function lines(path) {\n  return |\n}\n", "readFileSync(", ")",
    ),
    _pair(
        "javascript-quotes", "require.js", "javascript",
        "const one = require('node:fs/promises');\nconst two = require('node:fs/promises');\nconst three = require(|);\n",
        "'", "'",
    ),
    _pair(
        "go-round", "load.go", "go",
        "package main\n\nfunc load(path string) string {\n\treturn readAll(path, limit)\n}\n\n"
        "func lines(path string) string {\n\treturn |\n}\n", "readAll(", ")",
    ),
    _pair(
        "go-quotes", "main.go", "go",
        'package main\n\nfunc main() {\n\tprintln("it is not there")\n\tprintln(|)\n}\n', '"', '"',
    ),
    _pair(
        "c-square", "sum.c", "c",
        "int sum(int *values, int place) {\n    int first = values[place + 1];\n    int second = |;\n}\n",
        "values[", "]",
    ),
    _pair(
        "java-round", "Load.java", "java",
        "class Load {\n    String load(String path) {\n        return readAll(path, limit);\n    }\n\n"
        "    String lines(String path) {\n        return |;\n    }\n}\n", "readAll(", ")",
    ),
]  # fmt: skip
