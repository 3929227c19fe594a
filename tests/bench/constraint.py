"""What the constraint costs: `python tests/bench/constraint.py [--languages python go] [--tokenizer FILE]`.

Over real files, token by token with a real tokenizer: a check of the true next token (which is also the commit: `step`
returns the state after it), a check of tokens that are refused (random ones of the vocabulary, and tokens that come
next elsewhere in the same file, which are more like a model's), a keystroke in a large file, `meets`, reading a whole
file, and the worst single call on long tokens and deep nesting. Times are of the calling thread's processor, the call
from Python included, in microseconds as median / 99th percentile / mean unless said otherwise. The first column is a
call of an empty C function in the same run: subtract it to see the native part.
"""

from __future__ import annotations

import argparse
import gc
import random
import statistics
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from tokenizers import Tokenizer

sys.path.insert(0, str(Path(__file__).parent.parent))  # the helpers of the tests, when run as a script

import sources
from treegraft_daemon.engine.model.mixture import EMBEDDED
from treegraft_grammars import Grammar, grammar_for, languages
from treegraft_grammars.constraint import new_grammar

clock = time.thread_time_ns


def timed(call: Callable[..., object], *arguments: object) -> int:
    """Nanoseconds of one call, two looks at the clock included."""
    began = clock()
    call(*arguments)
    return clock() - began


def spread(nanoseconds: list[int]) -> str:
    if not nanoseconds:
        return "-"
    ordered = sorted(nanoseconds)
    p50, p99 = ordered[len(ordered) // 2], ordered[min(len(ordered) * 99 // 100, len(ordered) - 1)]
    return f"{p50 / 1000:.1f} / {p99 / 1000:.0f} / {statistics.fmean(ordered) / 1000:.1f}"


class Cutter:
    """Text to the bytes of its tokens, with any tokenizer of the byte-level kind."""

    def __init__(self, path: Path) -> None:
        self._tokenizer = Tokenizer.from_file(str(path))
        self.vocabulary = [self._bytes(idx) for idx in range(self._tokenizer.get_vocab_size())]

    def _bytes(self, idx: int) -> bytes:
        return self._tokenizer.decode([idx], skip_special_tokens=False).encode()

    def cut(self, text: str) -> list[bytes]:
        offsets = self._tokenizer.encode(text, add_special_tokens=False).offsets
        pieces, at = [], 0
        for _, end in offsets:
            if end > at:
                pieces.append(text[at:end].encode())
                at = end
        return pieces


def check_costs(grammar: Grammar, texts: Iterable[str], cutter: Cutter, rng: random.Random) -> dict[str, list[int]]:
    """Accepted checks along every file; refused ones at every seventh token."""
    found: dict[str, list[int]] = {"accepted": [], "refused, random": [], "refused, likely": [], "false": []}
    for text in texts:
        tokens = cutter.cut(text)
        state = grammar.start()
        for place, token in enumerate(tokens):
            if place % 7 == 0:
                for name, candidates in (
                    ("refused, random", rng.choices(cutter.vocabulary, k=3)),
                    ("refused, likely", rng.choices(tokens, k=3)),
                ):
                    for candidate in candidates:
                        step = state.step
                        began = clock()
                        after = step(candidate)
                        spent = clock() - began
                        if after is None:
                            found[name].append(spent)
            step = state.step
            began = clock()
            after = step(token)
            spent = clock() - began
            if after is None:
                found["false"].append(place)
                break
            found["accepted"].append(spent)
            state = after
    return found


def long_file(language: str, texts: list[bytes], rng: random.Random, is_broken: bool) -> bytes:
    """10,000 lines of files that parse; broken: a bracket too many behind each of them, at the start of a line."""
    text = b""
    while text.count(b"\n") < 10_000:
        clean = [one for one in texts if is_broken or grammar_for(language).check(text + one).first_error is None]
        text += rng.choice(clean or texts) + (b"\n)\n" if is_broken else b"")
    return text


def keystrokes(language: str, text: bytes) -> tuple[list[int], list[int]]:
    """State at the cursor, far down in the text, after each key; `meets` of what follows."""
    grammar = new_grammar(language)
    cursor = text.rfind(b"\n", 0, len(text) * 3 // 4) + 1
    grammar.parse(text[:cursor])
    keys, meetings = [], []
    typed = text[cursor:][:300]
    for n in range(1, len(typed)):
        prefix, suffix = text[:cursor] + typed[:n], text[cursor + n :]
        began = clock()
        state = grammar.parse(prefix).state
        keys.append(clock() - began)
        began = clock()
        state.meets(suffix)
        meetings.append(clock() - began)
    return keys, meetings


LONG = {
    "python": {
        "comment": b"x = 1  # " + b"word " * 20_000,
        "string": b"x = '''" + b"word " * 20_000,
        "brackets": b"x = " + b"[" * 10_000,
        "f-string": b"x = f'''" + b"word {a} " * 12_000,
        "line": b"x = " + b"a + " * 25_000,
    },
    "javascript": {
        "comment": b"x = 1 /* " + b"word " * 20_000,
        "template": b"x = `" + b"word " * 20_000,
        "brackets": b"x = " + b"[" * 10_000,
        "string": b"x = '" + b"word " * 20_000,
    },
    "bash": {
        "heredoc": b"cat <<END\n" + b"word word word\n" * 6_000,
        "string": b'x="' + b"word " * 20_000,
        "comment": b"x=1 # " + b"word " * 20_000,
    },
    "go": {"comment": b"package a\n/* " + b"word " * 20_000, "raw string": b"package a\nvar x = `" + b"word " * 20_000},
    "json": {"string": b'["' + b"word " * 20_000, "brackets": b"[" * 10_000},
    "c": {"comment": b"int x; /* " + b"word " * 20_000},
    "rust": {"comment": b"/* " + b"word " * 20_000},
}
NEXT = (
    b"a",
    b" word",
    b"\n",
    b"*",
    b")",
    b'"',
    b"'",
    b"`",
    b"#",
    b"}",
    b"\n\n",
    b"0",
    b"\\",
    b"$",
    b"END\n",
    b" = ",
    b"<",
)


def worst_calls(language: str) -> list[tuple[str, float, float, bytes]]:
    """(text, slowest check in ms, slowest meets in ms, of which token) at the end of texts that are hard to continue."""
    rows = []
    for name, text in LONG.get(language, {}).items():
        state = grammar_for(language).parse(text).state
        slowest, which = 0, b""
        for token in NEXT:
            spent = min(timed(state.step, token) for _ in range(3))
            if spent > slowest:
                slowest, which = spent, token
        meeting = min(timed(state.meets, b"\n") for _ in range(3))
        rows.append((name, slowest / 1e6, meeting / 1e6, which))
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--languages", nargs="*", default=languages(), choices=languages())
    parser.add_argument("--files", type=int, default=20)
    parser.add_argument("--tokenizer", type=Path, default=EMBEDDED / "tokenizer.json")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    cutter = Cutter(options.tokenizer)
    gc.disable()
    nothing = [timed(int) for _ in range(20_000)]
    print(f"vocabulary of {len(cutter.vocabulary)}; an empty call: {spread(nothing)}\n")
    print(
        "| language | files | tokens | set-up ms | read MB/s | accepted | refused, random | refused, likely | refused wrongly |"
    )
    print("|---|---|---|---|---|---|---|---|---|", flush=True)
    for language in options.languages:
        rng = random.Random(options.seed)
        grammar = grammar_for(language)
        texts = []
        for path in sources.files(language, options.files * 2, split="any", seed=options.seed):
            text = path.read_bytes()
            if grammar.check(text).first_error is None and len(texts) < options.files:
                texts.append(text.decode())
        set_up = timed(new_grammar, language)
        data = [text.encode() for text in texts]
        reading = sum(timed(grammar.start().step, one) for one in data)
        found = check_costs(grammar, texts, cutter, rng)
        speed = sum(map(len, data)) / max(reading, 1) * 1000
        print(
            f"| {language} | {len(texts)} | {len(found['accepted'])} | {set_up / 1e6:.1f} | {speed:.1f} "
            f"| {spread(found['accepted'])} | {spread(found['refused, random'])} | {spread(found['refused, likely'])} "
            f"| {len(found['false'])} |",
            flush=True,
        )
    print("\n| 10,000 lines of | bytes | keystroke to state | meets |\n|---|---|---|---|", flush=True)
    for language in options.languages:
        if language in ("python", "javascript", "go", "java", "cpp"):
            data = [path.read_bytes() for path in sources.files(language, 40, split="any", seed=options.seed)]
            clean = [one for one in data if grammar_for(language).check(one).first_error is None]
            for kind in ("", ", errors above"):
                text = long_file(language, clean, random.Random(options.seed), is_broken=bool(kind))
                keys, meetings = keystrokes(language, text)
                print(f"| {language}{kind} | {len(text)} | {spread(keys)} | {spread(meetings)} |", flush=True)
    print(
        "\n| text of 100 KB, or 10,000 brackets | slowest check ms | of | slowest meets ms |\n|---|---|---|---|",
        flush=True,
    )
    for language in options.languages:
        for name, ms, meeting, which in worst_calls(language):
            print(f"| {language}, {name} | {ms:.2f} | `{which!r}` | {meeting:.2f} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
