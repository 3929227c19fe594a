"""Five ways to make a model's code fit its grammar, on the rest of lines of held-out packages.

`python tests/bench/comparison.py [--holes 110] [--write]`, for each law and language:

- unconstrained: one sample of the law.
- sample and verify: samples until one parses in its place, ten at most.
- token masking: before each token every token of the vocabulary is checked, and one of those that fit is drawn.
- rejection: tokens are drawn without replacement until one fits (adaptive rejection sampling), no weights.
- AWRS-SMC: five particles of adaptive weighted rejection sampling, resampled when few carry the weight; the text of
  most weight.

All sample at temperature 1 and stop by the same rules: where the suffix may follow and the law ends the line. Valid: the
file parses with the text in its place. Exact: the text is what the author wrote, but for blanks at the end. Similarity:
1 - edit distance / length of the longer. Times are of this machine; the ways take turns, hole by hole. Intervals are 95 %
bootstrap over holes. `--write` puts the table and the plots into docs/ (plots want matplotlib). The packages come from
the training cache (`python -m treegraft_daemon.training --fetch-only` fills it), SmolLM2 from `tests/real_model.py`; it
may have read them when it was trained.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))  # the helpers of the tests, when run as a script

import numpy as np

import real_model
from treegraft_daemon.engine.completion import Budget, Writer, world_of
from treegraft_daemon.engine.model.law import Law, Sampling, alone
from treegraft_daemon.engine.model.loading import load
from treegraft_daemon.engine.model.mixture import GLOBAL_SLOTS, MixtureLaw, Weights, load_embedded
from treegraft_daemon.engine.particles import Particle, World, explore, posterior
from treegraft_daemon.engine.stopping import Free, Place, Stopping
from treegraft_daemon.training import corpus
from treegraft_daemon.training.holes import Hole, holes
from treegraft_grammars import Judge, Region, grammar_for
from treegraft_protocol.messages import Complete

DOCS = Path(__file__).parent.parent.parent / "docs"
LANGUAGES = ("python", "javascript", "typescript", "go", "json")
MAX_TOKENS = 64
N_VERIFIED, N_PARTICLES = 10, 5
MARK = "<!-- Written by the command: do not edit below. -->\n"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one way made of one hole. seconds: all of it; constraint_s: of that, in checks or in parses to verify."""

    valid: bool
    exact: bool
    similarity: float
    n_tokens: int
    n_checks: int
    seconds: float
    constraint_s: float


@dataclass(slots=True)
class Attempt:
    """One hole before one law, as all ways need it."""

    law: Law
    hole: Hole
    judge: Judge
    rng: np.random.Generator

    def explore(
        self, n: int, constrained: bool, change: Callable[[World[Place], Writer], World[Place]] | None = None
    ) -> tuple[list[Particle[Place]], Writer]:
        """`n` particles, and who counted their checks."""
        context = self.hole.context
        grammar = grammar_for(context.language)
        cursor, start = (grammar.parse(context.prefix).state, grammar.start()) if constrained else (Free(), Free())
        stopping = Stopping(cursor, start, context.prefix, context.suffix, multiline="never")
        request = Complete(
            id=0, document=context.document, version=0, offset=len(context.prefix), language=context.language,
            max_tokens=MAX_TOKENS, temperature=1.0, deadline_ms=600_000,
        )  # fmt: skip
        writer = Writer(self.law, stopping, Region(context.language, context.prefix, context.suffix))
        rows = alone(self.law, self.law.prefill(context, Sampling(1.0, self.rng), lambda: False))
        budget = Budget(request, lambda: False)
        # No bound on checks or time: what the ways cost is what is measured.
        world = replace(
            world_of(writer, rows, budget),
            spent=lambda: budget.n_steps >= MAX_TOKENS,
            max_checks=len(self.law.vocabulary.tokens),
        )
        if change is not None:
            world = change(world, writer)
        written = explore(Place(b"", cursor, rows.owed), rows.fork(n), world, self.rng)
        return alone(self.law, written), writer

    def parses(self, text: bytes) -> bool:
        context = self.hole.context
        return not self.judge.tree(context.prefix + text + context.suffix).root_node.has_error

    def outcome(
        self, particle: Particle[Place], n_tokens: int, n_checks: int, began: float, constraint_s: float
    ) -> Outcome:
        seconds = perf_counter() - began
        text, truth = particle.state.text, self.hole.middle.rstrip()
        written = text.split(b"\n")[0].rstrip()
        return Outcome(
            valid=self.parses(text),
            exact=self.hole.is_exact(text),
            similarity=1 - distance(written, truth) / max(len(written), len(truth), 1),
            n_tokens=n_tokens,
            n_checks=n_checks,
            seconds=seconds,
            constraint_s=constraint_s,
        )


def unconstrained(attempt: Attempt) -> Outcome:
    began = perf_counter()
    [particle], _ = attempt.explore(1, constrained=False)
    return attempt.outcome(particle, particle.n_tokens, 0, began, 0.0)


def verified(attempt: Attempt) -> Outcome:
    began, n_tokens, judged, n_tried, fits = perf_counter(), 0, 0.0, 0, False
    while n_tried < N_VERIFIED and not fits:
        n_tried += 1
        [particle], _ = attempt.explore(1, constrained=False)
        n_tokens += particle.n_tokens
        started = perf_counter()
        fits = attempt.parses(particle.state.text)
        judged += perf_counter() - started
    return attempt.outcome(particle, n_tokens, n_tried, began, judged)


def masking(attempt: Attempt) -> Outcome:
    n_tokens = len(attempt.law.vocabulary.tokens)

    def change(world: World[Place], writer: Writer) -> World[Place]:
        def step(place: Place) -> Callable[[int], Place | None]:
            check = world.step(place)
            mask = [check(token) for token in range(n_tokens)]
            return mask.__getitem__

        return replace(world, step=step)

    began = perf_counter()
    [particle], writer = attempt.explore(1, True, change)
    return attempt.outcome(particle, particle.n_tokens, writer.n_checks, began, writer.seconds)


def rejection(attempt: Attempt) -> Outcome:
    began = perf_counter()
    [particle], writer = attempt.explore(1, constrained=True, change=unweighted)
    return attempt.outcome(particle, particle.n_tokens, writer.n_checks, began, writer.seconds)


def unweighted(world: World[Place], writer: Writer) -> World[Place]:
    """Checks after the first accepted token, which only weigh it, are left out by answering them "no" unasked."""

    def step(place: Place) -> Callable[[int], Place | None]:
        check, done = world.step(place), False

        def first(token: int) -> Place | None:
            nonlocal done
            found = None if done else check(token)
            done = done or found is not None
            return found

        return first

    return replace(world, step=step)


def smc(attempt: Attempt) -> Outcome:
    began = perf_counter()
    particles, writer = attempt.explore(N_PARTICLES, constrained=True)
    written = [particle for particle in particles if particle.finished] or particles
    shares = posterior((particle.state.text, particle.log_weight) for particle in written)
    best = next(iter(shares), written[0].state.text)
    particle = next(particle for particle in written if particle.state.text == best)
    n_tokens = sum(particle.n_tokens for particle in particles)
    return attempt.outcome(particle, n_tokens, writer.n_checks, began, writer.seconds)


WAYS: dict[str, Callable[[Attempt], Outcome]] = {
    "unconstrained": unconstrained,
    f"sample and verify (n = {N_VERIFIED})": verified,
    "token masking": masking,
    "rejection, unweighted": rejection,
    f"AWRS-SMC (n = {N_PARTICLES})": smc,
}


def distance(a: bytes, b: bytes) -> int:
    """Levenshtein's: insertions, deletions and substitutions of bytes."""
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        left, diagonal = i, row[0]
        row[0] = i
        for j, y in enumerate(b, 1):
            left = min(row[j] + 1, left + 1, diagonal + (x != y))
            diagonal, row[j] = row[j], left
    return row[-1]


def ngrams_alone() -> Law:
    """The n-grams of the embedded law: they read nothing but the last few tokens."""
    embedded = load_embedded()
    tables = {kind: np.zeros_like(table) for kind, table in embedded.weights.tables.items()}
    for kind, table in tables.items():
        table[GLOBAL_SLOTS] = embedded.weights.tables[kind][GLOBAL_SLOTS]
    return MixtureLaw(embedded.tokenizer, embedded.tables, Weights(tables))


LAWS: dict[str, Callable[[], Law]] = {
    "embedded": load_embedded,
    "SmolLM2-135M": lambda: load(str(real_model.FOLDER)),
    "n-grams alone": ngrams_alone,
}


def measure(law: Law, language: str, drawn: list[Hole], names: list[str], seed: int) -> Iterator[dict[str, Outcome]]:
    """Every way once over each hole whose file parses."""
    judge = Judge(language)
    for idx, hole in enumerate(drawn):
        attempt = Attempt(law, hole, judge, np.random.default_rng([seed, idx]))
        if attempt.parses(hole.middle) and grammar_for(language).parse(hole.context.prefix).first_error is None:
            # The first to read a document pays for what the law keeps of it: that is none of the ways.
            alone(law, law.prefill(hole.context, Sampling(1.0, attempt.rng), lambda: False))
            yield {name: WAYS[name](attempt) for name in names}


COLUMNS = {
    "valid %": lambda it: 100 * it.valid,
    "exact line %": lambda it: 100 * it.exact,
    "edit similarity %": lambda it: 100 * it.similarity,
    "checks / token": lambda it: (it.n_checks, it.n_tokens),
    "ms / completion": lambda it: 1000 * it.seconds,
    "ms of constraint / token": lambda it: (1000 * it.constraint_s, it.n_tokens),
}


def summary(outcomes: list[Outcome], rng: np.random.Generator) -> dict[str, tuple[float, float, float]]:
    """Mean, or ratio of sums, of each column over the holes, and the ends of its interval."""
    result = {}
    for column, of in COLUMNS.items():
        values = np.array([of(it) for it in outcomes], dtype=float)
        values = np.column_stack([values, np.ones(len(values))]) if values.ndim == 1 else values
        picks = rng.integers(len(values), size=(2000, len(values)))
        sums = values[picks].sum(axis=1)
        low, high = np.percentile(sums[:, 0] / np.maximum(sums[:, 1], 1), [2.5, 97.5])
        total = values.sum(axis=0)
        result[column] = (float(total[0] / max(total[1], 1)), float(low), float(high))
    return result


Summary = dict[str, tuple[float, float, float]]  # by column
Found = dict[str, dict[str, dict[str, Any]]]  # law, language or "all": {"holes": n, "ways": {way: Summary}}


def measured(options: argparse.Namespace) -> Found:
    files = corpus.read_part("test", options.cache)
    rng, found = np.random.default_rng(0), Found()
    for law_name in options.laws:
        law, together = LAWS[law_name](), []
        for language in options.languages:
            drawn = list(holes(files, language, options.holes, options.seed, 1.0))
            ours = list(measure(law, language, drawn, options.ways, options.seed))
            together += ours
            for name, them in ((language, ours), ("all", together)):
                ways = {way: summary([outcomes[way] for outcomes in them], rng) for way in options.ways}
                found.setdefault(law_name, {})[name] = {"holes": len(them), "ways": ways}
            print("\n".join(section(law_name, language, found[law_name][language])), flush=True)
        print("\n".join(section(law_name, "all", found[law_name]["all"])), flush=True)
    return found


def section(law: str, language: str, it: dict[str, Any]) -> Iterator[str]:
    yield f"\n### {law}, {language}: {it['holes']} holes\n"
    yield "| way | " + " | ".join(COLUMNS) + " |"
    yield "|---|" + "---|" * len(COLUMNS)
    for way, columns in it["ways"].items():
        cells = [f"{mean:.3g} ({low:.3g}-{high:.3g})" for mean, low, high in columns.values()]
        yield f"| {way} | " + " | ".join(cells) + " |"


def plot(found: Found, path: Path) -> None:
    """Of each law: how many are valid and exact, and what a completion takes, with intervals."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "treegraft"
    from matplotlib import pyplot, ticker

    columns = ("valid %", "exact line %", "ms / completion")
    figure, axes = pyplot.subplots(len(found), len(columns), figsize=(11, 2.6 * len(found)), squeeze=False)
    for line, (law, per) in zip(axes, found.items(), strict=True):
        ways = per["all"]["ways"]
        for axis, column in zip(line, columns, strict=True):
            for place, of in enumerate(ways.values()):
                mean, low, high = of[column]
                axis.errorbar(mean, -place, xerr=[[mean - low], [high - mean]], marker="o", color="C0", capsize=3)
            axis.set_yticks([-place for place in range(len(ways))], list(ways) if axis is line[0] else [])
            axis.set_xlabel(column)
            if column.startswith("ms"):
                axis.set_xscale("log")
                axis.xaxis.set_minor_formatter(ticker.NullFormatter())
        line[0].set_title(f"{law}, {per['all']['holes']} holes", loc="left", fontsize=10)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--holes", type=int, default=110, help="per language; where the file does not parse it is passed over"
    )
    parser.add_argument("--languages", nargs="*", default=LANGUAGES, choices=LANGUAGES)
    parser.add_argument("--laws", nargs="*", default=list(LAWS), choices=list(LAWS))
    parser.add_argument("--ways", nargs="*", default=list(WAYS), choices=list(WAYS))
    parser.add_argument("--seed", type=int, default=3)
    parser.add_argument("--cache", type=Path, default=Path(".cache/training"))
    parser.add_argument("--write", action="store_true", help="write results, page and plot of these laws into docs/")
    options = parser.parse_args()
    found = measured(options)
    if options.write:
        results = DOCS / "comparison.json"
        kept: Found = json.loads(results.read_text()) if results.exists() else {}
        kept |= found
        results.write_text(json.dumps(kept, indent=1) + "\n")
        write(kept)
    return 0


def write(found: Found) -> None:
    """The page below its mark, and the plot."""
    page = DOCS / "comparison.md"
    lines = []
    for law, per in found.items():
        for language in sorted(per, key=lambda name: name == "all"):  # all of them last
            lines += section(law, language, per[language])
    page.write_text(page.read_text().split(MARK)[0] + MARK + "\n".join(lines) + "\n")
    plot(found, DOCS / "comparison.svg")


if __name__ == "__main__":
    sys.exit(main())
