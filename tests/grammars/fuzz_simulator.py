"""Random text, random edits and random questions against the native simulator: `python tests/grammars/fuzz_simulator.py`.

With `--sanitize` the native module is first built with AddressSanitizer and UndefinedBehaviorSanitizer into
`build/sanitized` and run there; the first finding ends the run with its report. Otherwise the installed module is
used. What must hold besides: a step costs at most half a second, and what was refused once is refused again.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
SANITIZED = ROOT / "build" / "sanitized"
SLOWEST_S = 0.5


def fuzz(language: str, n_steps: int, seed: int) -> float:
    """A walk over states of one grammar; the slowest call in seconds."""
    from reading import mutate, texts
    from treegraft_grammars.constraint import grammar_for

    rng = random.Random(f"{seed} {language}")
    files = [text for _, text in texts(language, 40, seed=seed)] or [b"a b c\n"]
    grammar = grammar_for(language)
    states = [grammar.start()]
    slowest = 0.0
    for n in range(n_steps):
        text = rng.choice(files)
        kind = rng.randrange(100)
        began = time.thread_time()
        if kind < 80:
            state = rng.choice(states)
            piece = _piece(text, rng)
            after = state.step(piece)
            if after is not None and len(states) < 200:
                states.append(after)
            elif after is not None:
                states[rng.randrange(200)] = after
            elif rng.random() < 0.05:
                assert state.step(piece) is None, (language, seed, n)
        elif kind < 88:
            state = rng.choice(states)
            place = rng.randrange(len(text))
            state.reach(text[place : place + rng.randrange(400)], lenient=rng.random() < 0.8)
        elif kind < 92:
            state = rng.choice(states)
            rng.choice(
                (
                    state.complete,
                    state.expected,
                    state.depth,
                    state.unfinished,
                    state.stacks,
                    state.end_error,
                    lambda s=state: hash(s),
                )
            )()
        elif kind < 98:
            cut = text[: rng.randrange(min(len(text), 3000) + 1)]
            for _ in range(rng.randrange(3)):
                cut = mutate(cut, rng) if cut else cut
            states[rng.randrange(len(states))] = grammar.parse(cut).state
        else:
            states = [grammar.start()]
        slowest = max(slowest, time.thread_time() - began)
    return slowest


def _piece(text: bytes, rng: random.Random) -> bytes:
    kind = rng.randrange(10)
    if kind == 0:
        return rng.randbytes(rng.randrange(1, 12))
    if kind == 1:
        return bytes([rng.randrange(256)])
    if kind == 2:
        return rng.choice(
            (
                b"\0",
                b"\n",
                b"\r\n",
                b"\t",
                b"\xef\xbb\xbf",
                b"\xf0\x9f",
                b"\xc3",
                b"(" * 200,
                b"'''",
                b"{" * 50,
                b" " * 300,
            )
        )
    place = rng.randrange(len(text))
    return text[place : place + (rng.randrange(1, 2000) if kind == 3 else rng.randrange(1, 12))]


def sanitized(arguments: list[str]) -> int:
    """Build with sanitizers and run this script there."""
    flags = "-fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer -g -O1"
    environment = dict(os.environ, CFLAGS=flags, LDFLAGS="-fsanitize=address,undefined")
    build = [
        sys.executable,
        "setup.py",
        "-q",
        "build_ext",
        "--force",
        "--build-temp",
        str(SANITIZED / "temp"),
        "--build-lib",
        str(SANITIZED),
    ]
    subprocess.run(build, cwd=ROOT, env=environment, check=True)
    for path in (ROOT / "grammars" / "treegraft_grammars").rglob("*.py"):
        target = SANITIZED / path.relative_to(ROOT / "grammars")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    library = subprocess.run(
        ["gcc", "-print-file-name=libasan.so"], capture_output=True, text=True, check=True
    ).stdout.strip()
    environment = dict(
        os.environ,
        LD_PRELOAD=library,
        ASAN_OPTIONS="detect_leaks=0:allocator_may_return_null=1",  # the interpreter itself never frees all it has
        PYTHONPATH=os.pathsep.join((str(SANITIZED), str(ROOT / "daemon"), str(ROOT / "protocol"), str(ROOT / "tests"))),
        PYTHONMALLOC="malloc",
    )
    # -S and an own path: the editable install would come first and lead to the module without sanitizers.
    return subprocess.run([sys.executable, __file__, *arguments], env=environment, check=False).returncode


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--steps", type=int, default=200_000, help="calls over all languages")
    parser.add_argument("--languages", nargs="*", default=[])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--sanitize", action="store_true")
    options = parser.parse_args()
    if options.sanitize:
        return sanitized([word for word in sys.argv[1:] if word != "--sanitize"])
    if str(ROOT / "tests") not in sys.path:
        sys.path.insert(0, str(ROOT / "tests"))
    from treegraft_grammars import _simulator, languages

    names = options.languages or languages()
    print(f"{_simulator.__file__}: {options.steps} calls over {len(names)} languages, seed {options.seed}", flush=True)
    is_good = True
    for language in names:
        began = time.monotonic()
        slowest = fuzz(language, options.steps // len(names), options.seed)
        is_good &= slowest < SLOWEST_S
        print(f"{language:12} {time.monotonic() - began:6.0f} s, slowest call {1000 * slowest:.0f} ms", flush=True)
    return 0 if is_good else 1


if __name__ == "__main__":
    sys.exit(main())
