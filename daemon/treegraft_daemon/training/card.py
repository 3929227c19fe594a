"""The model card: what the embedded law was made from and how good it is, measured while it is written."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace

import numpy as np

from treegraft_daemon.engine.model.mixture import MixtureLaw, heal
from treegraft_daemon.training.corpus import SourceFile
from treegraft_daemon.training.fitting import walk
from treegraft_daemon.training.holes import Hole, holes
from treegraft_daemon.training.sources import Package

HOLES = 200  # Per language.
LONGEST_LINE = 60  # Tokens that greedy decoding writes at most.


@dataclass(frozen=True, slots=True)
class Result:
    """Means over holes of one language."""

    n_tokens: int
    nats: float
    bits_per_byte: float
    exact: float


def judge(law: MixtureLaw, drawn: list[Hole]) -> Result:
    """Teacher-forced log-loss of the rest of each line, and greedy exact match, both without the constraint."""
    nats, n_tokens, n_bytes, exact = 0.0, 0, 0, 0
    for hole in drawn:
        state, truth = walk(law, hole)
        typed = hole.context.prefix[hole.context.prefix.rfind(b"\n") + 1 :]
        data = b"".join(law.vocabulary[token] for token in truth)
        owed = typed[len(typed) - (len(data) - len(hole.middle) - 1) :] if len(data) > len(hole.middle) + 1 else b""
        exact += greedy(law, hole) == hole.middle.rstrip()
        for token in truth:
            p = state.law()
            # The first token holds what is already typed, so its law is that of the tokens that agree with it.
            mass = p[law.vocabulary.agreeing(owed)].sum() if owed else 1.0
            nats -= float(np.log(p[token] / mass))
            owed = b""
            state = state.step(token)
        n_tokens += len(truth)
        n_bytes += len(hole.middle) + 1
    return Result(n_tokens, nats / n_tokens, nats / n_bytes / float(np.log(2)), exact / len(drawn))


def greedy(law: MixtureLaw, hole: Hole) -> bytes:
    """The most probable token again and again, up to the end of the line."""
    prefix, owed = heal(law.tokenizer.read(hole.context.prefix), hole.context.prefix, law.vocabulary)
    state, text, n_owed = law.begin(prefix, hole.context), b"", len(owed)
    for _ in range(LONGEST_LINE):
        p = state.law()
        token = int(p.argmax())
        if owed:
            agreeing = law.vocabulary.agreeing(owed)
            token = int(agreeing[p[agreeing].argmax()])
        data = law.vocabulary[token]
        text, owed = text + data, owed[len(data) :]
        if not data or b"\n" in text[n_owed:]:
            break
        state = state.step(token)
    return text[n_owed:].split(b"\n")[0].rstrip()


def write(law: MixtureLaw, parts: dict[str, list[SourceFile]], packages: list[Package]) -> str:
    """The whole card as Markdown."""
    lines = [
        "# The embedded law",
        "",
        "A copy model over the document and its open siblings, mixed with pruned n-grams by fitted weights; see",
        "`engine/model/mixture.py`. It knows names and idioms, not meanings: the grammar keeps it correct, not the law.",
        "Made and measured by `python -m treegraft_daemon.training`; nothing else is needed but the package registries.",
        "",
        "## Held-out packages",
        f"{HOLES} holes per language: random package, file, line and column; the rest of the line is to be found. nats and",
        "bits are of the true text, token by token; exact is plain greedy decoding without the constraint, blanks at the end",
        "of the line aside. With the document alone, and with five files of the same package open.",
        "",
        "| language | open | tokens | nats per token | bits per byte | exact |",
        "|---|---|---|---|---|---|",
    ]
    for language in sorted({file.language for file in parts["test"]}):
        drawn = list(holes(parts["test"], language, HOLES * (2 if language == "python" else 1), 7, 1.0))
        for name, ones in (
            ("document + 5", drawn),
            ("document", [replace(hole, context=replace(hole.context, siblings=())) for hole in drawn]),
        ):
            result = judge(law, ones)
            row = f"| {language} | {name} | {result.n_tokens} | {result.nats:.2f} | {result.bits_per_byte:.2f} | {result.exact:.1%} |"
            print(f"  {row}", flush=True)
            lines.append(row)
    lines += ["", "## Text", "| part | files | MB per language |", "|---|---|---|"]
    for part, files in parts.items():
        sizes = Counter[str]()
        for file in files:
            sizes[file.language] += len(file.text)
        told = ", ".join(f"{language} {size / 1e6:.1f}" for language, size in sizes.most_common())
        lines.append(f"| {part} | {len(files):,} | {told} |")
    lines += ["", "## Sources", "Only packages under permissive licences, read from their own declarations.", ""]
    lines += ["| registry | package | version | part | licence |", "|---|---|---|---|---|"]
    for package in sorted(packages, key=lambda package: (package.part, package.registry, package.name.lower())):
        licence = package.licence.replace("|", "/")
        lines.append(f"| {package.registry} | {package.name} | {package.version} | {package.part} | {licence} |")
    return "\n".join(lines) + "\n"
