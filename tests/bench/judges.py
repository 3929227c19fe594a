"""How loose are the grammars? `python tests/bench/judges.py [--files N --mutants M --languages ...]`.

Real files and their mutants before the simulator with its overlay and before the language's own parser, where one is on
this machine: CPython, node, TypeScript's (from npm), gofmt, rustc, javac's, bash, PHP's, ruby, luac, and strict readers
of JSON, TOML, YAML and XML. Each judges in one batch. What it needs and does not find, it leaves out and says so.

One row per language. "Refused by us": texts that the language takes, of which some the grammar itself refuses (its gap)
and some the overlay (our fault: exit code 1). "Taken by us": texts that the language refuses, without and with the
overlay. `--show K` prints K texts of each kind.
"""

from __future__ import annotations

import argparse
import ast
import itertools
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
import warnings
import xml.parsers.expat
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))  # the helpers of the tests, when run as a script

import reading
import sources
from treegraft_grammars import Grammar, grammar_for

LARGEST = 16_000
TOOLS = sources.ROOT / ".cache" / "judges"
TYPESCRIPT = "typescript@5.9.3"

Verdicts = Callable[[list[bytes]], list[bool]]


class NoJudge(Exception):
    """The parser of a language is not on this machine."""


# Judges within this process.


def _each(parses: Callable[[bytes], object], refusals: tuple[type[Exception], ...]) -> Verdicts:
    def verdict(text: bytes) -> bool:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                parses(text)
            except refusals:
                return False
        return True

    return lambda texts: [verdict(text) for text in texts]


def _json(text: bytes) -> None:
    def refuse(_: str) -> None:
        raise ValueError

    json.loads(text.decode(), parse_constant=refuse)


def _yaml(text: bytes) -> None:
    import yaml

    # Aliases and tags that are unknown are no matter of syntax.
    for _ in yaml.parse(text.decode(), Loader=yaml.SafeLoader):
        pass


def _yaml_refusal() -> type[Exception]:
    try:
        import yaml
    except ImportError:
        return NoJudge
    refusal: type[Exception] = yaml.YAMLError
    return refusal


def _xml(text: bytes) -> None:
    parser = xml.parsers.expat.ParserCreate()
    parser.UseForeignDTD(True)  # entities may be declared elsewhere
    parser.Parse(text, True)


# Judges that are programs: the texts lie in a folder as 0, 1, ... with the language's suffix; the names printed are refused.


def _program(suffix: str, *command: str, needs: tuple[str, ...] = (), script: tuple[str, str] = ("", "")) -> Verdicts:
    def verdicts(texts: list[bytes]) -> list[bool]:
        for tool in (*needs, command[0]):
            if shutil.which(tool) is None:
                raise NoJudge(f"{tool} is not on this machine")
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder)
            (root / "texts").mkdir()
            for n, text in enumerate(texts):
                (root / "texts" / f"{n}{suffix}").write_bytes(text)
            name, body = script
            if name:
                (root / name).write_text(body)
            environment = {
                **os.environ,
                "RUSTC_BOOTSTRAP": "1",
                "TYPESCRIPT": str(_typescript() if "ts" in suffix else ""),
            }
            done = subprocess.run(
                list(command), cwd=root, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=1800
            )
        # Shells say how the last text was; a script of ours that does not come to its end has judged nothing.
        if name and done.returncode:
            raise RuntimeError(f"{command[0]} failed: {done.stdout[-2000:].decode(errors='replace')}")
        lines = done.stdout.decode(errors="replace").splitlines()
        names = {line.split(":")[0].strip().removeprefix("./").removeprefix("texts/") for line in lines}
        return [f"{n}{suffix}" not in names for n in range(len(texts))]

    return verdicts


def _typescript() -> Path:
    """The parser of the TypeScript compiler, fetched once by npm's own client."""
    home = TOOLS / "node_modules" / "typescript"
    if not home.exists():
        if shutil.which("npm") is None:
            raise NoJudge("npm is not on this machine")
        TOOLS.mkdir(parents=True, exist_ok=True)
        command = ["npm", "install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", str(TOOLS)]
        if subprocess.run([*command, TYPESCRIPT], stdout=subprocess.DEVNULL, check=False).returncode:
            raise NoJudge(f"npm cannot fetch {TYPESCRIPT}")
    return home


NODE = """
const fs = require("fs"), vm = require("vm");
const quiet = process.emitWarning; process.emitWarning = () => {};
for (const name of fs.readdirSync("texts")) {
  const text = fs.readFileSync("texts/" + name, "utf8");
  let fits = false;
  try { vm.compileFunction(text.replace(/^#!.*/, ""), ["exports", "require", "module"]); fits = true; } catch (e) {}
  if (!fits) try { new vm.SourceTextModule(text); fits = true; } catch (e) {}
  if (!fits) console.log(name);
}
"""
TYPES = """
const fs = require("fs"), ts = require(process.env.TYPESCRIPT);
for (const name of fs.readdirSync("texts")) {
  const source = ts.createSourceFile(name, fs.readFileSync("texts/" + name, "utf8"), ts.ScriptTarget.Latest, false);
  if (source.parseDiagnostics.length) console.log(name);
}
"""
JAVA = """
import com.sun.source.util.JavacTask;
import java.io.File;
import java.util.*;
import javax.tools.*;
class Judge {
    public static void main(String[] args) throws Exception {
        JavaCompiler compiler = ToolProvider.getSystemJavaCompiler();
        StandardJavaFileManager files = compiler.getStandardFileManager(null, null, null);
        for (File file : new File("texts").listFiles()) {
            DiagnosticCollector<JavaFileObject> found = new DiagnosticCollector<>();
            JavacTask task = (JavacTask) compiler.getTask(null, files, found, List.of("-proc:none"), null,
                files.getJavaFileObjects(file));
            try { task.parse(); }
            catch (RuntimeException crash) { System.out.println(file.getName()); continue; } // javac itself does, on some
            for (Diagnostic<?> one : found.getDiagnostics())
                if (one.getKind() == Diagnostic.Kind.ERROR) { System.out.println(file.getName()); break; }
        }
    }
}
"""
PHP = """<?php
foreach (scandir("texts") as $name) {
  if ($name[0] === ".") continue;
  try { token_get_all(file_get_contents("texts/$name"), TOKEN_PARSE); } catch (Error $e) { echo "$name\\n"; }
}
"""
RUBY = """
$VERBOSE = nil
Dir.children("texts").each do |name|
  begin
    RubyVM::AbstractSyntaxTree.parse(File.read("texts/#{name}", encoding: "utf-8"))
  rescue SyntaxError, ArgumentError
    puts name
  end
end
"""
SHELL = 'for f in texts/*; do {} "$f" >/dev/null 2>&1 || echo "$f"; done'

JUDGES: dict[str, Verdicts] = {
    "python": _each(ast.parse, (SyntaxError, ValueError, RecursionError, MemoryError)),
    "javascript": _program(
        ".js", "node", "--experimental-vm-modules", "--no-warnings", "judge.cjs", script=("judge.cjs", NODE)
    ),
    "typescript": _program(".ts", "node", "judge.cjs", script=("judge.cjs", TYPES)),
    "tsx": _program(".tsx", "node", "judge.cjs", script=("judge.cjs", TYPES)),
    "json": _each(_json, (ValueError, RecursionError)),
    "go": _program(".go", "bash", "-c", "gofmt -e texts 2>&1 >/dev/null", needs=("gofmt",)),
    "rust": _program(
        ".rs", "bash", "-c", SHELL.format("rustc --edition 2021 -Z parse-crate-root-only"), needs=("rustc",)
    ),
    "java": _program(".java", "java", "Judge.java", script=("Judge.java", JAVA)),
    "bash": _program(".sh", "bash", "-c", SHELL.format("bash -n")),
    "ruby": _program(".rb", "ruby", "judge.rb", script=("judge.rb", RUBY)),
    "php": _program(".php", "php", "judge.php", script=("judge.php", PHP)),
    "lua": _program(".lua", "bash", "-c", SHELL.format("luac5.4 -p"), needs=("luac5.4",)),
    "toml": _each(lambda text: tomllib.loads(text.decode()), (ValueError, RecursionError)),
    "yaml": _each(_yaml, (ValueError, RecursionError, _yaml_refusal())),
    "xml": _each(_xml, (xml.parsers.expat.ExpatError, LookupError)),
}


@dataclass
class Tally:
    """One row. loose: the grammar without overlay; strict: with it."""

    files: int = 0
    files_refused_loose: int = 0
    files_refused_strict: int = 0
    mutants: int = 0
    valid: int = 0
    valid_refused_loose: int = 0
    valid_refused_strict: int = 0
    broken: int = 0
    taken_loose: int = 0
    taken_strict: int = 0
    shown: dict[str, list[str]] = field(default_factory=dict)

    def note(self, kind: str, text: bytes, place: int) -> None:
        """Keep an example."""
        self.shown.setdefault(kind, []).append(repr(text[max(0, place - 70) : place + 40]))


def compare(language: str, paths: Iterable[Path], n_mutants: int, seed: int = 0) -> Tally:
    """Files that the judge takes, then mutants shared evenly among them."""
    tally, judge = Tally(), JUDGES[language]
    strict, loose = grammar_for(language), grammar_for(language, overlay=False)
    texts = [text for path in paths if 0 < len(text := path.read_bytes()) <= LARGEST]
    texts = [text for text, fits in zip(texts, judge(texts), strict=True) if fits]
    for text in texts:
        tally.files += 1
        _count_valid(tally, strict, loose, text, 0, is_file=True)
    rng = random.Random(f"{seed} {language}")
    pairs = [
        (text, reading.mutate(text, rng)) for _, text in zip(range(n_mutants), itertools.cycle(texts), strict=False)
    ]
    pairs = [(original, text) for original, text in pairs if _is_utf8(text)]  # as all documents are here
    verdicts = judge([text for _, text in pairs])
    for (original, text), fits in zip(pairs, verdicts, strict=True):
        changed = next((at for at, (a, b) in enumerate(zip(text, original, strict=False)) if a != b), 0)
        tally.mutants += 1
        if fits:
            tally.valid += 1
            _count_valid(tally, strict, loose, text, changed, is_file=False)
            continue
        tally.broken += 1
        if loose.check(text).first_error is None:
            tally.taken_loose += 1
        if strict.check(text).first_error is None:
            tally.taken_strict += 1
            tally.note("taken by us, not by the language", text, changed)
    return tally


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


def _count_valid(tally: Tally, strict: Grammar, loose: Grammar, text: bytes, changed: int, *, is_file: bool) -> None:
    refused = strict.check(text).first_error
    if refused is None:
        return
    if is_file:
        tally.files_refused_strict += 1
    else:
        tally.valid_refused_strict += 1
    if loose.check(text).first_error is None:
        tally.note("refused by the overlay, taken by the language", text, refused)
    else:
        tally.note("refused by the grammar, taken by the language", text, refused)
        if is_file:
            tally.files_refused_loose += 1
        else:
            tally.valid_refused_loose += 1


HEADER = (
    "| language | files | refused by grammar | by overlay | mutants | valid | refused by grammar | by overlay | broken "
    "| taken by grammar | with overlay | s |\n|" + "---|" * 12
)


def row(language: str, tally: Tally, seconds: float) -> str:
    """One line of the table, with percentages."""

    def share(n: int, of: int) -> str:
        return f"{n} ({100 * n / of:.2f} %)" if of else "0"

    files_overlay = tally.files_refused_strict - tally.files_refused_loose
    valid_overlay = tally.valid_refused_strict - tally.valid_refused_loose
    cells = [
        language, tally.files, tally.files_refused_loose, files_overlay, tally.mutants, tally.valid,
        share(tally.valid_refused_loose, tally.valid), share(valid_overlay, tally.valid), tally.broken,
        share(tally.taken_loose, tally.broken), share(tally.taken_strict, tally.broken), f"{seconds:.0f}",
    ]  # fmt: skip
    return "| " + " | ".join(map(str, cells)) + " |"


def main() -> int:
    parser = argparse.ArgumentParser(description="Compare the grammars with the languages' own parsers.")
    parser.add_argument("--files", type=int, default=100)
    parser.add_argument("--mutants", type=int, default=1500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--show", type=int, default=0)
    parser.add_argument("--languages", nargs="*", default=list(JUDGES), choices=list(JUDGES))
    options = parser.parse_args()
    print(HEADER, flush=True)
    n_wrong, shown = 0, {}
    for language in options.languages:
        began = time.monotonic()
        paths = sources.files(language, options.files, split="any", seed=options.seed)
        try:
            tally = compare(language, paths, options.mutants, options.seed)
        except NoJudge as missing:
            print(f"| {language} | left out: {missing} |" + " |" * 10, flush=True)
            continue
        print(row(language, tally, time.monotonic() - began), flush=True)
        n_wrong += tally.files_refused_strict - tally.files_refused_loose
        n_wrong += tally.valid_refused_strict - tally.valid_refused_loose
        shown[language] = tally.shown
    for language, kinds in shown.items():
        for kind, texts in kinds.items():
            for text in texts[: options.show]:
                print(f"{language}: {kind}: {text}")
    return 1 if n_wrong else 0


if __name__ == "__main__":
    sys.exit(main())
