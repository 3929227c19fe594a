"""Which texts can still become a program: the face of the simulator.

    grammar = grammar_for("python")
    state = grammar.parse(prefix).state
    state = state.step(b"foo(")                  # None when nothing that may follow could parse
    state.meets(suffix)                          # the document may be this text followed by exactly the suffix

Knows grammars, texts and states; no tokens of a model, no probabilities, no files. The overlay of a language tightens
its grammar where that accepts what the language does not; `grammar_for(language, overlay=False)` is tree-sitter itself.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from threading import Lock
from typing import NamedTuple

from . import _simulator
from ._simulator import ParseState, Simulator, UnsupportedAbi
from .edits import common_prefix
from .native import check_freshness, source_digest
from .overlays import Overlay, overlay_for
from .registry import UnsupportedGrammar, load, row_of

__all__ = ["Grammar", "ParseState", "Parsed", "grammar_for"]


FOLDER = Path(__file__).parent
check_freshness(_simulator.SOURCE_DIGEST, source_digest(FOLDER / "_simulator.pyx", FOLDER / "simulator"))


@dataclass(frozen=True, slots=True)
class Parsed:
    """A text that was read to its end, past errors too.

    first_error: where reading first stopped, as tree-sitter counts it (the end of the last token that fits), or None
    when some continuation of the text parses. error_token: where the token begins that does not fit.
    confidence: 1 for a text without errors; less the nearer to the end the last repair was; 0 when the state is of no
    use and the constraint should be switched off.
    """

    state: ParseState
    first_error: int | None
    confidence: float
    error_token: int | None = None


class Grammar:
    """A language's grammar, loaded once and shared. Methods may be called from any thread."""

    def __init__(
        self,
        language: str,
        capsule: object,
        overlay: Overlay | None = None,
        probes: tuple[str, ...] = (),
        horizon: int = 0,
        hides_tokens: bool = False,
        serialises_all: bool = False,
    ) -> None:
        """`capsule` is what the grammar package returns; `probes` and what follows: see the table of languages.

        Raises UnsupportedGrammar for an ABI that we cannot read.
        """
        self.language = language
        try:
            self._simulator = Simulator(capsule, horizon, hides_tokens, serialises_all)
        except UnsupportedAbi as error:
            raise UnsupportedGrammar(f"{language}: {error}") from None
        if overlay is not None:
            overlay.apply(self._simulator)
        self._simulator.prepare()
        for probe in probes:
            self._simulator.probe(probe.encode())

    def __repr__(self) -> str:
        return f"Grammar({self.language!r})"

    def start(self) -> ParseState:
        """The state before the first byte."""
        return self._simulator.start()

    def parse(self, text: bytes) -> Parsed:
        """The state at the end of `text`, which may be broken; never raises on bad text.

        A text that begins like one parsed before costs only what is new: states along it are kept, those behind a
        repair, too.
        """
        text = bytes(text)
        trail = _TRAILS.resume(self._simulator, text) or [_Mark(self.start(), _Repairs())]
        while True:
            state, repairs = trail[-1]
            end = state.offset + max(_STRIDE, 2 * len(state.pending))
            following = state.step(text[state.offset : end])
            mark = self._repaired(text, trail) if following is None else _Mark(following, repairs)
            if mark.repairs.are_hopeless or mark.state.offset >= len(text):
                break
            trail.append(mark)
        _TRAILS.keep(self._simulator, text, trail)
        return mark.parsed(len(text))

    def _repaired(self, text: bytes, trail: list[_Mark]) -> _Mark:
        """Behind the error that the next step from the trail's end meets."""
        # What is wrong may lie before the place where it shows: the repair is given some of the good text, too.
        first, before = len(trail) - 1, trail[-1].repairs
        while first and len(trail) - first <= _STRIDES_BEFORE and trail[first - 1].repairs is before:
            first -= 1
        start = trail[first].state
        data = text[start.offset :]
        state, error, token, last, seen, n, n_steps = start.repair(data, before.last, before.n, before.n_steps)
        if state is not None and n == before.n:
            return _Mark(state, before)
        if before.first_error is not None and before.error_token is not None:
            error, token = before.first_error, before.error_token
        # Hopeless: the state is a valid one, but not of this text.
        return _Mark(
            state or self.start(),
            _Repairs(error, token, last, max(seen, before.seen), n, n_steps, are_hopeless=state is None),
        )

    def check(self, text: bytes) -> Parsed:
        """Like `parse` of a whole document: an end that comes too early is an error too."""
        parsed = self.parse(text)
        if parsed.first_error is not None:
            return parsed
        end = parsed.state.end_error()
        return parsed if end is None else Parsed(parsed.state, end[0], parsed.confidence, end[1])

    def stats(self) -> dict[str, int]:
        """Counters since the grammar was loaded; `hanging_scanners` and `exhausted_budgets` are refusals by budget."""
        return self._simulator.stats()


@dataclass(frozen=True, slots=True)
class _Repairs:
    """What was repaired before a state: the first error as in `Parsed`, the last place, how many, by text that ends where."""

    first_error: int | None = None
    error_token: int | None = None
    last: int = 0
    seen: int = 0
    n: int = 0
    n_steps: int = 0
    are_hopeless: bool = False


class _Mark(NamedTuple):
    """A place along a text."""

    state: ParseState
    repairs: _Repairs

    def depends_on(self) -> int:
        """Bytes of the text that it would be another without."""
        return max(self.state.offset, self.repairs.seen)

    def parsed(self, length: int) -> Parsed:
        """Of a text of that length which ends here."""
        it = self.repairs
        clean = length - it.last
        confidence = 0.0 if it.are_hopeless else clean / (clean + 40) * 0.99 ** (it.n - 1) if it.n else 1.0
        return Parsed(self.state, it.first_error, confidence, it.error_token)


# Bytes between kept states: a keystroke re-reads at most this much, about 30 us.
_STRIDE = 512
_STRIDES_BEFORE = 2
_MAX_TEXTS = 12
_MAX_KEPT_BYTES = 4 << 20
# What stacks of a fresh parse take. Most that a repair tries comes to nothing.
_BYTES_PER_BYTE = 64
_BYTES_PER_REPAIR = 64 << 10
_MAX_EDITS_BYTES = 512 << 10  # some 100 completions: then one key pays for the whole file, a few ms


class _Trails:
    """Marks along the texts parsed last, so that the next version of a document resumes where it first differs.

    All grammars share them: a process in which many languages are written needs no more memory than with one.
    """

    def __init__(self) -> None:
        self._kept: list[tuple[Simulator, bytes, list[_Mark]]] = []  # latest first
        self._lock = Lock()

    def resume(self, simulator: Simulator, text: bytes) -> list[_Mark] | None:
        """The longest kept trail that lies wholly in what `text` shares with its text, or None."""
        best: list[_Mark] = []
        with self._lock:
            for owner, known, trail in self._kept:
                if owner is not simulator:
                    continue
                n_marks = bisect_right(trail, common_prefix(known, text), key=_Mark.depends_on)
                if n_marks > len(best):
                    best = trail[:n_marks]
                    if len(text) - best[-1].state.offset <= 2 * _STRIDE:
                        break  # no other text can save more than a few microseconds
        # Stacks of all versions share one arena; when edits have filled it, a fresh parse starts a new one. Nor does a text
        # that has only its start in common with another fill that one's.
        if len(best) < 2:
            return None
        state, repairs = best[-1]
        usual = _BYTES_PER_BYTE * len(text) + _BYTES_PER_REPAIR * repairs.n
        return None if state.arena_bytes() > usual + _MAX_EDITS_BYTES else best

    def keep(self, simulator: Simulator, text: bytes, trail: list[_Mark]) -> None:
        """Remember `trail`, instead of an earlier version of the same text."""
        if len(trail) == 1 or len(text) > _MAX_KEPT_BYTES:
            return
        with self._lock:
            second = trail[1].state
            others = [
                (owner, known, its)
                for owner, known, its in self._kept
                if owner is not simulator or all(second != mark.state for mark in its[:2])
            ]
            self._kept = [(simulator, text, trail), *others][:_MAX_TEXTS]


_TRAILS = _Trails()


@cache
def grammar_for(language: str, overlay: bool = True) -> Grammar:
    """The grammar of `language`, loaded once per process; raises UnknownLanguage or UnsupportedGrammar."""
    return new_grammar(language, overlay)


def new_grammar(language: str, overlay: bool = True) -> Grammar:
    """One that was asked nothing yet; raises like `grammar_for`."""
    row = row_of(language)
    try:
        overlay_rules = overlay_for(language) if overlay else None
        scanner = row.horizon, row.hides_tokens, row.serialises_all
        return Grammar(language, load(language), overlay_rules, row.probes, *scanner)
    except LookupError as problem:
        raise UnsupportedGrammar(f"{row.package} has another version than this one knows: {problem}") from problem
