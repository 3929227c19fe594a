"""The table of languages for people: `python tests/bench/languages.py [--measure] [--languages ...]`.

Writes docs/languages.md from the registry, the pins of pyproject.toml and docs/languages.json, which holds what was
measured. `--measure` measures anew: fidelity over real files with overlays off, then the overlays before the languages'
own parsers (what `fidelity.py` and `judges.py` print at length), about five minutes on two cores.
"""

from __future__ import annotations

import argparse
import json
import sys
import tomllib
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))  # the helpers of the tests, when run as a script
sys.path.insert(0, str(Path(__file__).parent))

from treegraft_grammars import languages
from treegraft_grammars.constraint import grammar_for
from treegraft_grammars.overlays import overlay_for
from treegraft_grammars.table import LANGUAGES, Language

ROOT = Path(__file__).parent.parent.parent
PAGE, RESULTS = ROOT / "docs" / "languages.md", ROOT / "docs" / "languages.json"

HEAD = """\
# Languages

Written by `python tests/bench/languages.py` from the table in `treegraft_grammars/table.py` and from what was measured
last (`docs/languages.json`; `--measure` measures anew). Do not edit by hand.

Rows marked "first" come with every install; the others with `pip install "treegraft[languages]"`. No grammar is fetched
at run time. A language whose grammar is not trusted is completed without constraint, and every answer says so.
Scripts and styles in HTML and fenced blocks in Markdown are read by the grammars of their own languages.

## Grammars
Real files, mutants of them (a token deleted, put in or replaced, a random character) and cuts before the simulator, with
overlays off, and before tree-sitter itself. "Differ" counts verdicts, places of the first error and refused tokens that
differ; "cuts refused" counts beginnings of files that the simulator would not let grow. "Refused" files are those that
tree-sitter's grammar itself refuses.
"""
GRAMMAR_COLUMNS = (
    "language", "install", "package", "ABI", "licence", "overlay", "files", "refused", "mutants", "differ", "cuts",
    "cuts refused", "known gaps",
)  # fmt: skip
OVERLAYS = """
## Before the languages' own parsers
Files that the language's parser takes, and mutants. "Overlay refuses" must be 0: texts that language and grammar take.
"Taken" are texts that the language refuses, in percent of all that it refuses, by the grammar alone and with its overlay.
"Grammar refuses" are texts that the grammar refuses, and the overlay does not mend: Python's takes line breaks in brackets
that the grammar's scanner takes for the end of a block.
"""
JUDGE_COLUMNS = (
    "language", "files", "grammar refuses", "overlay refuses", "valid mutants", "grammar refuses", "overlay refuses",
    "broken mutants", "taken by grammar", "with overlay",
)  # fmt: skip


# In Python a share of one in two thousand is to be told from none.
N_MUTANTS = {"python": 10_100}


def page(results: dict[str, Any]) -> str:
    """The whole page."""
    pins = _pins()
    rows = [_grammar_row(row, pins[row.package], results["grammars"][row.name]) for row in LANGUAGES]
    judged = [_judge_row(name, results["judges"][name]) for name in languages() if name in results["judges"]]
    lines = [HEAD, _table(GRAMMAR_COLUMNS, rows), OVERLAYS, _table(JUDGE_COLUMNS, judged), "", "## Not trusted"]
    lines += [f"- {row.name}: {row.untrusted}." for row in LANGUAGES if row.untrusted]
    return "\n".join(lines) + "\n"


def _table(columns: tuple[str, ...], rows: list[list[object]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def _pins() -> dict[str, str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    pins = [*project["dependencies"], *project["optional-dependencies"]["languages"]]
    return dict(pin.split("==") for pin in pins if "==" in pin)


def _grammar_row(row: Language, version: str, measured: dict[str, int]) -> list[object]:
    return [
        row.name, row.extra or "first", f"{row.package} {version}", measured["abi"], row.licence,
        "yes" if overlay_for(row.name) else "", measured["files"], measured["refused"], measured["mutants"],
        measured["differ"], measured["cuts"], measured["cuts_refused"], row.known_gaps.replace("|", "\\|"),
    ]  # fmt: skip


def _judge_row(name: str, it: dict[str, int]) -> list[object]:
    def share(n: int) -> str:
        return f"{100 * n / max(it['broken'], 1):.2f} %"

    return [
        name, it["files"], it["files_refused_loose"], it["files_refused_strict"] - it["files_refused_loose"], it["valid"],
        it["valid_refused_loose"], it["valid_refused_strict"] - it["valid_refused_loose"], it["broken"],
        share(it["taken_loose"]), share(it["taken_strict"]),
    ]  # fmt: skip


def measure(names: list[str], results: dict[str, Any]) -> None:
    """Fill in `results` for these languages."""
    import fidelity
    import judges

    import sources

    for name in names:
        tally = fidelity.compare(name, sources.files(name, 100, split="any"), 100, 300)
        differ = tally.verdicts_differ + tally.mutant_verdicts_differ + tally.places_differ + tally.tokens_differ
        results["grammars"][name] = {
            "abi": grammar_for(name)._simulator.abi, "files": tally.files, "refused": tally.broken,
            "mutants": tally.mutants, "differ": differ, "cuts": tally.cuts, "cuts_refused": tally.cuts_refused,
        }  # fmt: skip
        print(name, results["grammars"][name], flush=True)
        for repro in tally.repros:
            print(repro[:600])
        if name not in judges.JUDGES:
            continue
        try:
            judged = judges.compare(name, sources.files(name, 200, split="any"), N_MUTANTS.get(name, 2000))
        except judges.NoJudge as missing:
            print(f"{name}: not judged: {missing}")
            continue
        counts = vars(judged)
        results["judges"][name] = {key: value for key, value in counts.items() if isinstance(value, int)}
        print(name, results["judges"][name], flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description="Write docs/languages.md.")
    parser.add_argument("--measure", action="store_true")
    parser.add_argument("--languages", nargs="*", default=languages(), choices=languages())
    options = parser.parse_args()
    results: dict[str, Any] = {"grammars": {}, "judges": {}}
    if RESULTS.exists():
        results = json.loads(RESULTS.read_text())
    if options.measure:
        measure(options.languages, results)
        RESULTS.write_text(json.dumps(results, indent=1, sort_keys=True) + "\n")
    PAGE.write_text(page(results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
