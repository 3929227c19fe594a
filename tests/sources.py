"""Real source that nobody here wrote, for the tests and tables that need a lot of it.

`python tests/sources.py` fetches the packages that the embedded law never saw (part `test` of the training table) and some
shell scripts, each by its registry's own client, into `.cache/sources` of the repository (or $TREEGRAFT_SOURCES). Only
permissively licensed packages are kept, and nothing of what was fetched is run. Exit code 1 if too little came.
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from treegraft_daemon.training import sources as training
from treegraft_grammars import language_of, languages

ROOT = Path(__file__).parent.parent
FOLDER = Path(os.environ.get("TREEGRAFT_SOURCES") or ROOT / ".cache" / "sources")
# Programs written in bash, which have no extension; MIT all of them.
SCRIPTS = ("bats", "dehydrated", "git-extras", "neofetch", "rbenv", "ruby-build", "shunit2")
# Packages with files of the languages that no law was trained on: registry, name, their languages.
MORE = """
deb ruby-rack               ruby
deb ruby-sinatra            ruby
deb rake                    ruby
deb ruby-thor               ruby
deb ruby-i18n               ruby
deb ruby-rails-i18n         yaml
deb ruby-faker              yaml ruby
deb php-monolog             php
deb php-symfony-console     php
deb php-twig                php
deb lua-penlight            lua
deb lua-busted              lua
deb lua-luassert            lua
deb lua-socket              lua
deb liblwt-ocaml-dev        ocaml
deb libcmdliner-ocaml-dev   ocaml
deb libfmt-ocaml-dev        ocaml
deb libyojson-ocaml-dev     ocaml
deb golang-github-burntsushi-toml-dev toml
src elixir-lang             elixir make
src jq                      make
src redis                   make
src lua5.4                  make
src scala                   scala
src haskell-aeson           haskell
src haskell-conduit         haskell
src haskell-lens            haskell
npm react-native            kotlin groovy objective-c
npm expo-modules-core       kotlin swift groovy objective-c
npm @capacitor/ios          swift
npm react-native-windows    csharp powershell xml
npm bootstrap               scss css
npm bulma                   scss
npm animate.css             css
npm normalize.css           css
npm html5-boilerplate       html css
npm reveal.js               html scss css
pip ziglang                 zig
pip juliacall               julia
pip numpy                   fortran
"""
ENOUGH_FILES, ENOUGH_LANGUAGES = 100, 8
# Where files lie on any machine that can run the tests, of packages that the law may have read.
LOCAL = (
    Path(sysconfig.get_path("stdlib")), Path(sysconfig.get_path("purelib")), Path("/usr/lib/python3"),
    Path("/usr/lib/node_modules"), Path("/usr/share"), Path("/usr/include"), Path("/usr/lib/git-core"), Path("/etc"),
    Path("/usr/bin"),
)  # fmt: skip
LARGEST = 60_000


class NoSources(Exception):
    """The fetched sources are not there."""


def files(language: str, n: int, split: str = "test", seed: int = 0) -> list[Path]:
    """Up to `n` files of a language in an order fixed by `seed`.

    split "test": fetched packages only, which no law was trained on; raises NoSources if none were fetched.
    split "any": those first, then whatever this machine has.
    """
    found = list(_fetched().get(language, ()))
    random.Random(seed).shuffle(found)
    if split == "test":
        if not _fetched():
            raise NoSources(f"no sources in {FOLDER}; python tests/sources.py fetches them")
    elif len(found) < n:
        others = list(_local().get(language, ()))
        random.Random(seed).shuffle(others)
        found += others
    return found[:n]


@cache
def _fetched() -> dict[str, tuple[Path, ...]]:
    return _by_language(path for part in ("files", "scripts") for path in _walk(FOLDER / part))


@cache
def _local() -> dict[str, tuple[Path, ...]]:
    return _by_language(path for place in (ROOT / "examples", *LOCAL) for path in _walk(place))


def _walk(folder: Path) -> Iterator[Path]:
    for parent, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            path = Path(parent, name)
            if path.is_file() and 0 < path.stat().st_size <= LARGEST:
                yield path


def _by_language(paths: Iterator[Path]) -> dict[str, tuple[Path, ...]]:
    table: dict[str, list[Path]] = {}
    for path in paths:
        language = language_of(str(path))
        if (language is None and not path.suffix) or path.suffix == ".h":
            try:
                with path.open("rb") as opened:
                    language = language_of(str(path), opened.read(4096))
            except OSError:
                continue
        # Notes of the fetching itself lie beside the packages' folders.
        if language and not (language == "json" and path.parent.name == "files"):
            table.setdefault(language, []).append(path)
    return {language: tuple(table[language]) for language in languages() if language in table}


def fetch() -> dict[str, int]:
    """Fetch everything; the number of files of each language that are there now."""
    rows = [row for row in training.table() if row.part == "test"]
    print(
        f"fetching {len(rows) + len(_more())} packages and {len(SCRIPTS)} sets of scripts into {FOLDER} ...", flush=True
    )
    FOLDER.mkdir(parents=True, exist_ok=True)
    training.prepare_apt(FOLDER)
    training.fetch_all(rows, FOLDER)
    training.fetch_all(_more(), FOLDER, language_of=_written)
    for name in SCRIPTS:
        _fetch_scripts(name)
    _fetched.cache_clear()
    return {language: len(paths) for language, paths in _fetched().items()}


def _more() -> list[training.Package]:
    rows = [line.split() for line in MORE.splitlines() if line]
    return [training.Package(registry, name, "*", "more", "") for registry, name, *_ in rows]


_WANTED = {language for line in MORE.splitlines() for language in line.split()[2:]} | {
    "ocaml-interface", "html", "xml", "yaml", "toml", "sql", "make", "dockerfile", "markdown", "perl", "powershell",
}  # fmt: skip


def _written(path: str, text: bytes) -> str | None:
    """The language of a file of one of those packages; None for what is not wanted, generated, or no text."""
    language = language_of(path)
    if language not in _WANTED or not 0 < len(text) <= LARGEST or b"\0" in text or ".min." in path:
        return None
    if "/invalid/" in path:  # what a test suite calls wrong
        return None
    try:
        text.decode()
    except UnicodeDecodeError:
        return None
    return None if training.GENERATED.search(text[:2000]) else language


def _fetch_scripts(name: str) -> None:
    """The bash programs of one Debian package."""
    folder = FOLDER / "scripts" / name
    if folder.exists():
        return
    arriving = FOLDER / "arriving" / name
    shutil.rmtree(arriving, ignore_errors=True)
    arriving.mkdir(parents=True)
    try:
        quiet = subprocess.DEVNULL
        command = ["apt-get", "download", "-qq", name]
        subprocess.run(command, cwd=arriving, check=True, timeout=120, stdout=quiet, stderr=quiet)
        for archive in list(arriving.glob("*.deb")):
            subprocess.run(["dpkg-deb", "-x", str(archive), str(arriving / "x")], check=True, timeout=60)
    except (OSError, subprocess.SubprocessError) as problem:
        print(f"  left out: {name}: {type(problem).__name__}", flush=True)
        return
    scripts = _by_language(_walk(arriving / "x")).get("bash", ())
    folder.mkdir(parents=True)
    for path in scripts:
        target = folder / f"{path.stem}.sh"
        target.write_bytes(path.read_bytes())
    shutil.rmtree(arriving)


def main() -> int:
    started = time.monotonic()
    found = fetch()
    print("\n".join(f"  {language:12}{n:6} files" for language, n in found.items()))
    n_enough = sum(n >= ENOUGH_FILES for n in found.values())
    print(
        f"{sum(found.values())} files, {n_enough} languages with {ENOUGH_FILES} or more, {time.monotonic() - started:.0f} s"
    )
    if n_enough < ENOUGH_LANGUAGES:
        print(
            f"too little: {ENOUGH_LANGUAGES} languages are needed; are pip, npm and apt able to reach their registries?"
        )
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
