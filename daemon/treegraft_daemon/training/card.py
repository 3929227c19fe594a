"""The model card: what the embedded law was made from and how good it is, measured while it is written."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace

import numpy as np

from treegraft_daemon.engine.model.healing import given_bytes, heal
from treegraft_daemon.engine.model.mixture import MixtureLaw, State
from treegraft_daemon.training.corpus import SourceFile
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
    """Log-loss of the rest of each line given all that is typed, and greedy exact match, both without the constraint."""
    nats, n_tokens, n_bytes, exact = 0.0, 0, 0, 0
    for hole in drawn:
        loss, n = surprise(law, hole)
        nats, n_tokens, n_bytes = nats + loss, n_tokens + n, n_bytes + len(hole.middle) + 1
        exact += greedy(law, hole) == hole.middle.rstrip()
    return Result(n_tokens, nats / n_tokens, nats / n_bytes / float(np.log(2)), exact / len(drawn))


def surprise(law: MixtureLaw, hole: Hole) -> tuple[float, int]:
    """-log of the probability of the true rest of the line in its own tokens, given the bytes before; how many tokens."""
    state, owed = _healed(law, hole)
    typed = hole.context.prefix[hole.context.prefix.rfind(b"\n") + 1 :]
    line = law.tokenizer.read(typed + hole.middle + b"\n").tolist()
    # The line's own tokens from where the owed bytes begin; these are the start of a piece, so a token begins there.
    skipped, n_before = 0, 0
    while skipped < len(typed) - len(owed):
        skipped += len(law.vocabulary[line[n_before]])
        n_before += 1
    loss = float(np.log(given_bytes(state, owed, law.vocabulary)[2])) if owed else 0.0
    for token in line[n_before:]:
        loss -= float(np.log(state.law()[token]))
        state = state.step(token)
    n_typed = len(law.tokenizer.read(owed)) - 1 if owed else 0
    return loss, max(len(line) - n_before - max(n_typed, 0), 1)


def greedy(law: MixtureLaw, hole: Hole) -> bytes:
    """The most probable token again and again, up to the end of the line."""
    state, owed = _healed(law, hole)
    text, n_owed = b"", len(owed)
    for _ in range(LONGEST_LINE):
        if owed:
            ids, p, _ = given_bytes(state, owed, law.vocabulary)
            token = int(ids[p.argmax()])
        else:
            token = int(state.law().argmax())
        data = law.vocabulary[token]
        text, owed = text + data, owed[len(data) :]
        if not data or b"\n" in text[n_owed:]:
            break
        state = state.step(token)
    return text[n_owed:].split(b"\n")[0].rstrip()


def _healed(law: MixtureLaw, hole: Hole) -> tuple[State, bytes]:
    prefix, owed = heal(law.tokenizer.read(hole.context.prefix), hole.context.prefix, law.vocabulary)
    return law.begin(prefix, hole.context), owed


def write(law: MixtureLaw, parts: dict[str, list[SourceFile]], packages: list[Package]) -> str:
    """The whole card as Markdown."""
    lines = [
        "# The embedded law",
        "",
        "A copy model over the document and its open siblings, mixed with pruned n-grams and a small transformer by fitted",
        "weights; a network tilts its best candidates. See `engine/model/mixture.py`, `embedded_network.py` and `tilt.py`. It",
        "knows names and idioms, not meanings: the grammar keeps it correct, not the law.",
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
        if not drawn:  # no held-out package is written in it
            continue
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
