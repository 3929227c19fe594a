"""treegraft beside other engines of grammar-constrained decoding: `python tests/bench/peers.py --python xgrammar=PATH ...`.

Real files, token by token, every token the one that really comes next. At each place every engine is asked the same: is
each of a few wrong tokens refused (tokens that treegraft's grammar refuses there: one that comes next elsewhere in the
file, one of the whole vocabulary, where such are found), and does the right one fit? Then it goes on with the right one.
What engines that check single tokens pay for a generated token is the sum of these calls; engines that make masks pay a
mask and the commit, and look the tokens up for nothing. A check that also commits (`step` of treegraft,
`try_consume_tokens` of llguidance, `accept_token` of XGrammar) is one call, not two. A wrong token that a looser grammar
takes is not counted against it: "refuses" says how many it refused, "as strict" whether nearly all.

Each engine runs in a process of its own, by its own interpreter (--python ENGINE=PATH, default: this one), and they take
turns file by file, so that a noisy machine is noisy for all. Times are of the calling thread's processor, the call from
Python included, garbage collection off. What is not installed is named as absent. This file is run by interpreters that
have no treegraft: it imports nothing outside the standard library until an engine or a workload is made.
"""

from __future__ import annotations

import argparse
import ast
import gc
import importlib.metadata
import itertools
import json
import os
import random
import select
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    from treegraft_grammars import ParseState

HERE = Path(__file__).parent
LANGUAGES = ("json", "python", "java")
# A file's first tokens are enough: no engine here grows dearer along a file, and long files would outweigh the others.
MOST_TOKENS = 1500
TRIES = 4
# A grammar that takes more than this share of what treegraft's refuses is not as strict.
LOOSE = 0.01
# Where SynCode keeps what it made; without these it is a folder where the command was started.
CACHES = ("SYNCODE_CACHE", "HF_CACHE")
clock = time.thread_time_ns


# What an engine is.


@dataclass
class Work:
    """What all engines get: a tokenizer, a grammar's name, and tokens."""

    language: str
    tokenizer: Path
    vocabulary: list[bytes]  # control tokens as their names
    control: list[int]
    files: list[tuple[list[int], list[list[int]]]]  # tokens; wrong ones of every place

    @property
    def lark(self) -> str:
        return (HERE / "lark" / f"{self.language}.lark").read_text()

    def save(self, path: Path) -> None:
        stored = {
            "language": self.language,
            "tokenizer": str(self.tokenizer),
            "vocabulary": [data.hex() for data in self.vocabulary],
            "control": self.control,
            "files": self.files,
        }
        path.write_text(json.dumps(stored))

    @classmethod
    def load(cls, path: Path) -> Work:
        stored = json.loads(path.read_text())
        vocabulary = [bytes.fromhex(data) for data in stored["vocabulary"]]
        return cls(stored["language"], Path(stored["tokenizer"]), vocabulary, stored["control"], stored["files"])


class Checker(Protocol):
    """An engine that is asked about one token at a time."""

    def begin(self) -> None:
        """A new text."""

    def step(self, token: int) -> object:
        """Something true when the token fits, which then is part of the text; else nothing has changed."""

    def undo(self) -> None:
        """Take back the last step."""


@runtime_checkable
class Masker(Protocol):
    """An engine that says at each place which tokens of the vocabulary fit."""

    def begin(self) -> None:
        """A new text."""

    def mask(self) -> None:
        """Look at the whole vocabulary."""

    def allowed(self, token: int) -> bool:
        """Whether the last mask has the token."""

    def commit(self, token: int) -> object:
        """Something true when the token is now part of the text."""


class Treegraft:
    def __init__(self, work: Work) -> None:
        from treegraft_grammars import grammar_for

        self.grammar = grammar_for(work.language)
        self.vocabulary = work.vocabulary

    def begin(self) -> None:
        self.state = self.elder = self.grammar.start()

    def step(self, token: int) -> object:
        after = self.state.step(self.vocabulary[token])
        if after is None:
            return None
        self.elder, self.state = self.state, after
        return after

    def undo(self) -> None:
        self.state = self.elder


class LLGuidanceMatcher:
    def __init__(self, work: Work) -> None:
        import llguidance

        self.new = llguidance.LLMatcher
        self.tokenizer = llguidance.LLTokenizer(str(work.tokenizer))
        # Large grammars run into the default limits; comments may stand before the first token.
        self.limits = llguidance.LLParserLimits(
            max_items_in_row=1_000_000,
            initial_lexer_fuel=1_000_000_000,
            step_lexer_fuel=1_000_000_000,
            step_max_items=100_000_000,
            max_lexer_states=5_000_000,
        )
        self.grammar = self.new.grammar_from_lark('%llguidance { "allow_initial_skip": true }\n' + work.lark)

    def begin(self) -> None:
        self.matcher = self.new(self.tokenizer, self.grammar, limits=self.limits)
        if self.matcher.is_error():
            raise RuntimeError(self.matcher.get_error())


class LLGuidanceChecks(LLGuidanceMatcher):
    def step(self, token: int) -> object:
        return self.matcher.try_consume_tokens([token])

    def undo(self) -> None:
        self.matcher.rollback(1)


class LLGuidanceMasks(LLGuidanceMatcher):
    def __init__(self, work: Work) -> None:
        import numpy as np

        super().__init__(work)
        self.bits = np.zeros((self.tokenizer.vocab_size + 31) // 32, dtype=np.int32)
        self.place, self.size = self.bits.ctypes.data, self.bits.nbytes

    def mask(self) -> None:
        self.matcher.unsafe_compute_mask_ptr(self.place, self.size)

    def allowed(self, token: int) -> bool:
        if self.matcher.is_error():
            raise RuntimeError(self.matcher.get_error())
        return bool(int(self.bits[token >> 5]) >> (token & 31) & 1)

    def commit(self, token: int) -> object:
        return self.matcher.consume_token(token)


class GLRMask:
    def __init__(self, work: Work) -> None:
        import glrmask
        import numpy as np

        control = set(work.control)
        tokens = {token: data for token, data in enumerate(work.vocabulary) if data and token not in control}
        grammar = glrmask.Grammar.from_lark(work.lark)
        self.constraint = grammar.compile(glrmask.Vocab.from_id_to_bytes(tokens))
        length = self.constraint.mask_len
        self.bits = np.zeros(length() if callable(length) else length, dtype=np.int32)

    def begin(self) -> None:
        self.state = self.constraint.start()

    def mask(self) -> None:
        self.state.fill_mask(self.bits)

    def allowed(self, token: int) -> bool:
        return bool(int(self.bits[token >> 5]) >> (token & 31) & 1)

    def commit(self, token: int) -> object:
        return self.state.commit_token(token)


class XGrammarMatcher:
    def __init__(self, work: Work) -> None:
        import xgrammar

        self.new = xgrammar.GrammarMatcher
        tokenizer = xgrammar.TokenizerInfo(work.vocabulary, xgrammar.VocabType.RAW, stop_token_ids=work.control[:1])
        compiler = xgrammar.GrammarCompiler(tokenizer, max_threads=1)
        # Its own JSON grammar: the same language in Lark makes its masks a thousand times dearer.
        if work.language == "json":
            self.compiled = compiler.compile_builtin_json_grammar()
        else:
            self.compiled = compiler.compile_lark(work.lark)
        self.bits = xgrammar.allocate_token_bitmask(1, len(work.vocabulary))

    def begin(self) -> None:
        self.matcher = self.new(self.compiled)


class XGrammarChecks(XGrammarMatcher):
    def step(self, token: int) -> object:
        return self.matcher.accept_token(token)

    def undo(self) -> None:
        self.matcher.rollback(1)


class XGrammarMasks(XGrammarMatcher):
    def mask(self) -> None:
        self.matcher.fill_next_token_bitmask(self.bits)

    def allowed(self, token: int) -> bool:
        return bool(int(self.bits[0, token >> 5]) >> (token & 31) & 1)

    def commit(self, token: int) -> object:
        return self.matcher.accept_token(token)


class SynCode:
    """Its own grammars, Python's with layout. A commit is a longer list of ids: the work is all in the mask."""

    def __init__(self, work: Work) -> None:
        import torch
        from syncode.grammar_mask.logits_processor import SyncodeLogitsProcessor
        from syncode.parsers.grammars import Grammar
        from transformers import PreTrainedTokenizerFast

        torch.set_num_threads(1)
        self.torch = torch
        end = work.vocabulary[work.control[0]].decode()
        tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(work.tokenizer), eos_token=end)
        python = work.language == "python"
        self.processor = SyncodeLogitsProcessor(
            Grammar(work.language), tokenizer, use_cache=False, mode="grammar_mask", indent=python
        )
        self.scores = torch.zeros(1, len(work.vocabulary))

    def begin(self) -> None:
        self.processor.reset()
        self.ids = self.torch.zeros((1, 0), dtype=self.torch.long)

    def mask(self) -> None:
        self.masked = self.processor(self.ids, self.scores.clone())

    def allowed(self, token: int) -> bool:
        # When its parser fails it goes on without a constraint.
        return not self.processor.grammar_engine.parse_failed and bool(self.masked[0, token] == 0)

    def commit(self, token: int) -> object:
        self.ids = self.torch.cat([self.ids, self.torch.tensor([[token]])], 1)
        return True


@dataclass(frozen=True)
class Peer:
    """A row of the table."""

    engine: Callable[[Work], Checker | Masker]
    package: str
    version: str  # which was tried
    grammar: dict[str, str]


_LARK = {"json": "lark/json", "python": "lark/python, no layout", "java": "lark/java"}
PEERS = {
    "treegraft": Peer(Treegraft, "treegraft", "", dict.fromkeys(LANGUAGES, "tree-sitter, overlay")),
    "llguidance": Peer(LLGuidanceChecks, "llguidance", "1.9.1", _LARK),
    "llguidance-masks": Peer(LLGuidanceMasks, "llguidance", "1.9.1", _LARK),
    "glrmask": Peer(GLRMask, "glrmask", "0.5.0", _LARK),
    "xgrammar": Peer(XGrammarChecks, "xgrammar", "0.2.8", _LARK | {"json": "built in"}),
    "xgrammar-masks": Peer(XGrammarMasks, "xgrammar", "0.2.8", _LARK | {"json": "built in"}),
    "syncode": Peer(SynCode, "syncode", "0.4.16", dict.fromkeys(LANGUAGES, "its own")),
}


# The engine's side: one process reads files on demand.


def read(engine: Checker | Masker, tokens: list[int], wrong: list[list[int]], budget_s: float) -> dict[str, Any]:
    """Nanoseconds of every call along one file, which is left at the first wrong refusal or when `budget_s` is spent."""
    found: dict[str, Any] = {"mask": [], "right": [], "wrong": [], "whole": [], "taken": 0, "end": "read"}
    masks, until = isinstance(engine, Masker), clock() + budget_s * 1e9
    engine.begin()
    for token, others in zip(tokens, wrong, strict=True):
        if clock() > until:
            found["end"] = "out of time"
            break
        fits = _masked(engine, token, others, found) if masks else _checked(engine, token, others, found)
        if not fits:
            found["end"] = "refused"
            break
    return found


def _checked(engine: Checker, token: int, others: list[int], found: dict[str, Any]) -> bool:
    whole, step = 0, engine.step
    for other in others:
        began = clock()
        taken = step(other)
        spent = clock() - began
        if taken:
            found["taken"] += 1
            engine.undo()
        else:
            found["wrong"].append(spent)
            whole += spent
    began = clock()
    taken = step(token)
    spent = clock() - began
    if taken:
        found["right"].append(spent)
        found["whole"].append(whole + spent)
    return bool(taken)


def _masked(engine: Masker, token: int, others: list[int], found: dict[str, Any]) -> bool:
    began = clock()
    engine.mask()
    masked = clock() - began
    if not engine.allowed(token):
        return False
    found["taken"] += sum(map(engine.allowed, others))
    began = clock()
    taken = engine.commit(token)
    spent = clock() - began
    if taken:
        found["mask"].append(masked)
        found["right"].append(spent)
        found["whole"].append(masked + spent)
    return bool(taken)


def serve(name: str, path: Path, budget_s: float) -> int:
    """Set up, then read the files whose numbers come in; one line of JSON each."""
    wire = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what packages print is no answer
    work, peer = Work.load(path), PEERS[name]
    for package in {peer.package: 0, "numpy": 0} | ({"torch": 0} if peer.package == "syncode" else {}):
        __import__({"treegraft": "treegraft_grammars.constraint"}.get(package, package))
    before, began = _resident(), time.process_time()
    engine = peer.engine(work)
    engine.begin()
    if isinstance(engine, Masker):
        engine.mask()
    set_up = time.process_time() - began
    gc.disable()
    print(json.dumps({"version": importlib.metadata.version(peer.package), "set_up": set_up}), file=wire, flush=True)
    for line in sys.stdin:
        found = read(engine, *work.files[int(line)], budget_s)
        print(json.dumps(found | {"resident": _resident() - before}), file=wire, flush=True)
        gc.collect()
    return 0


def _resident() -> float:
    """Megabytes."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


# The side of the table.


@dataclass
class Row:
    name: str
    process: subprocess.Popen[str]
    complaints: Path
    problem: str = ""
    version: str = ""
    set_up: float = 0
    resident: float = 0
    taken: int = 0
    asked: int = 0
    times: dict[str, list[int]] = field(default_factory=lambda: {"mask": [], "right": [], "wrong": [], "whole": []})
    ends: list[str] = field(default_factory=list)

    def answer(self, seconds: float) -> dict[str, Any] | None:
        """The next line of the engine; None, with `problem`, when none comes."""
        assert self.process.stdout
        if not select.select([self.process.stdout], [], [], seconds)[0]:
            self.problem = f"nothing within {seconds:.0f} s"
            self.process.kill()
            return None
        line = self.process.stdout.readline()
        if not line:
            last = (self.complaints.read_text().strip().splitlines() or [f"exit code {self.process.wait()}"])[-1]
            self.problem = f"ended: {last[:150]}"
            if last.startswith("ModuleNotFoundError"):
                peer = PEERS[self.name]
                self.problem = f"absent: pip install {peer.package}=={peer.version}"
            return None
        answer: dict[str, Any] = json.loads(line)
        return answer


def compare(work: Work, names: list[str], options: argparse.Namespace) -> list[Row]:
    """Every engine over every file, in turns."""
    interpreters = dict(item.split("=", 1) for item in options.python)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "work.json")
        work.save(path)
        for name in names:
            interpreter = interpreters.get(name, interpreters.get(PEERS[name].package, sys.executable))
            command = [interpreter, __file__, "--engine", name, "--work", str(path), "--seconds", str(options.seconds)]
            complaints, pipe = Path(folder, name), subprocess.PIPE
            with complaints.open("w") as file:
                process = subprocess.Popen(
                    command,
                    stdin=pipe,
                    stdout=pipe,
                    stderr=file,
                    text=True,
                    env=os.environ | dict.fromkeys(CACHES, folder + "/"),
                )
            rows.append(row := Row(name, process, complaints))
            if started := row.answer(options.set_up_limit):
                row.version, row.set_up = started["version"], started["set_up"]
            print(f"  {work.language}, {name}: {row.problem or f'set up in {row.set_up:.2f} s'}", file=sys.stderr)
        spent = dict.fromkeys(names, 0.0)
        for number, row in itertools.product(range(len(work.files)), rows):
            if not row.problem and spent[row.name] < options.seconds:
                began = time.monotonic()
                _turn(row, number, work, 3 * options.seconds)
                spent[row.name] += time.monotonic() - began
        for row in rows:
            row.process.kill()
            row.process.wait()
    return rows


def _turn(row: Row, number: int, work: Work, patience: float) -> None:
    assert row.process.stdin
    row.process.stdin.write(f"{number}\n")
    row.process.stdin.flush()
    found = row.answer(patience)
    if found is None:
        return
    for kind, times in row.times.items():
        times += found[kind]
    row.ends.append(found["end"])
    row.resident = found["resident"]
    row.taken += found["taken"]
    row.asked += sum(map(len, work.files[number][1][: len(found["right"])]))


def page(work: Work, rows: list[Row]) -> Iterator[str]:
    tokens = sum(len(file[0]) for file in work.files)
    yield f"### {work.language}: {len(work.files)} files, {tokens} tokens, vocabulary of {len(work.vocabulary)}\n"
    columns = (
        "engine | version | grammar | as strict | files read | tokens | set-up s | memory MB | mask | check and commit"
        " | refused check | refuses | per generated token"
    )
    yield f"| {columns} |"
    yield f"|{'---|' * (columns.count('|') + 1)}"
    for row in rows:
        peer = PEERS[row.name]
        strict = "-" if not row.asked else "yes" if row.taken <= LOOSE * row.asked else "no"
        head = f"| {row.name} | {row.version or '-'} | {peer.grammar[work.language]} | {strict} "
        if row.problem and not row.times["whole"]:
            yield f"{head}| {row.problem} |{' |' * (columns.count('|') - 4)}"
            continue
        stopped = row.ends.count("out of time")
        n_read = f"{row.ends.count('read')}/{len(row.ends) - stopped}"
        refuses = f"{100 * (1 - row.taken / row.asked):.0f} %" if row.asked else "-"
        spreads = " | ".join(spread(row.times[kind]) for kind in ("mask", "right", "wrong"))
        yield (
            f"{head}| {n_read} | {len(row.times['whole'])} | {row.set_up:.3f} | {row.resident:.0f} | {spreads} | {refuses} "
            f"| {spread(row.times['whole'])} |"
        )
    yield ""


def spread(nanoseconds: list[int]) -> str:
    if not nanoseconds:
        return "-"
    ordered = sorted(nanoseconds)
    p50, p99 = ordered[len(ordered) // 2], ordered[min(len(ordered) * 99 // 100, len(ordered) - 1)]
    return " / ".join(f"{value / 1000:.3g}" for value in (statistics.fmean(ordered), p50, p99))


def workload(language: str, tokenizer: Path, n_files: int, split: str, seed: int) -> Work:
    """Files that the language's own parser takes, or tree-sitter where none is at hand."""
    sys.path.insert(0, str(HERE.parent))  # the helpers of the tests

    import sources
    from treegraft_daemon.engine.model.hub_tokenizer import HubTokenizer
    from treegraft_grammars import grammar_for

    stored = json.loads(tokenizer.read_text())
    ids = [*stored["model"]["vocab"].values(), *(token["id"] for token in stored["added_tokens"])]
    reader = HubTokenizer(stored, {}, max(ids) + 1)
    names = {idx: name.encode() for name, idx in reader.control.items()}
    vocabulary = [names.get(idx, data) for idx, data in enumerate(reader.vocabulary.tokens)]
    usual = [idx for idx in range(len(vocabulary)) if vocabulary[idx] and idx not in names]
    rng, files = random.Random(seed), []
    for path in sources.files(language, 4 * n_files, split=split, seed=seed):
        text = path.read_text(errors="replace").rstrip()  # llguidance takes nothing after the end of a JSON value
        if not text or not _parses(language, text):
            continue
        tokens = list(reader.read(text.encode()))[:MOST_TOKENS]
        files.append((tokens, _wrong(grammar_for(language).start(), tokens, usual, vocabulary, rng)))
        if len(files) == n_files:
            break
    return Work(language, tokenizer, vocabulary, sorted(names), files)


def _parses(language: str, text: str) -> bool:
    from treegraft_grammars import Judge

    try:
        if language == "json":
            json.loads(text)
        elif language == "python":
            ast.parse(text)
        else:
            return Judge(language).first_error(text.encode()) is None
    except (ValueError, SyntaxError):
        return False
    return True


def _wrong(
    state: ParseState, tokens: list[int], usual: list[int], vocabulary: list[bytes], rng: random.Random
) -> list[list[int]]:
    """At every place, tokens that do not fit there: of the file and of the vocabulary, where few tries find them."""
    places = []
    for token in tokens:
        found = []
        for choices in (tokens, usual):
            tried = rng.choices(choices, k=TRIES)
            found += [one for one in tried if state.step(vocabulary[one]) is None][:1]
        places.append(found)
        after = state.step(vocabulary[token])
        assert after is not None, (tokens, vocabulary[token])
        state = after
    return places


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--languages", nargs="*", default=LANGUAGES, choices=LANGUAGES)
    parser.add_argument("--engines", nargs="*", default=list(PEERS), choices=list(PEERS))
    parser.add_argument(
        "--python", nargs="*", default=[], metavar="ENGINE=PATH", help="interpreters, by engine or package"
    )
    parser.add_argument("--tokenizer", type=Path, help="a tokenizer.json; default: the embedded law's")
    parser.add_argument("--files", type=int, default=20)
    parser.add_argument("--split", choices=("test", "any"), default="test", help="as in tests/sources.py")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=60, help="for each engine and language, about")
    parser.add_argument("--set-up-limit", type=float, default=240, help="seconds until an engine must be ready")
    parser.add_argument("--engine", choices=list(PEERS), help=argparse.SUPPRESS)
    parser.add_argument("--work", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.engine:
        return serve(options.engine, options.work, options.seconds)
    if options.tokenizer is None:
        from treegraft_daemon.engine.model.mixture import EMBEDDED

        options.tokenizer = EMBEDDED / "tokenizer.json"
    print("Times: mean / median / 99th percentile in microseconds.\n")
    for language in options.languages:
        work = workload(language, options.tokenizer.resolve(), options.files, options.split, options.seed)
        print("\n".join(page(work, compare(work, options.engines, options))), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
