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
    ) -> None:
        """`capsule` is what the grammar package returns; `probes` and `horizon`: see the table of languages.

        Raises UnsupportedGrammar for an ABI that we cannot read.
        """
        self.language = language
        try:
            self._simulator = Simulator(capsule, horizon)
        except UnsupportedAbi as error:
            raise UnsupportedGrammar(f"{language}: {error}") from None
        if overlay is not None:
            overlay.apply(self._simulator)
        self._simulator.prepare()
        for probe in probes:
            self._simulator.probe(probe.encode())
        self._trails = _Trails()

    def __repr__(self) -> str:
        return f"Grammar({self.language!r})"

    def start(self) -> ParseState:
        """The state before the first byte."""
        return self._simulator.start()

    def parse(self, text: bytes) -> Parsed:
        """The state at the end of `text`, which may be broken; never raises on bad text.

        A text that begins like one parsed before costs only what is new: states along it are kept.
        """
        text = bytes(text)
        trail = self._trails.resume(text) or [self.start()]
        state = trail[-1]
        while True:
            end = state.offset + max(_STRIDE, 2 * len(state.pending))
            following = state.step(text[state.offset : end])
            if following is None or end >= len(text):
                break
            state = following
            trail.append(state)
        self._trails.keep(text, trail)
        if following is not None:
            return Parsed(following, None, 1.0, None)
        # What is wrong may lie before the place where it shows: the repair is given some of the good text, too.
        start = trail[max(0, len(trail) - 1 - _STRIDES_BEFORE)]
        repaired, first_error, error_token, confidence = start.parse(text[start.offset :])
        return Parsed(repaired, first_error, confidence, error_token if first_error is not None else None)

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


# Bytes between kept states: a keystroke re-reads at most this much, about 30 us.
_STRIDE = 512
_STRIDES_BEFORE = 2
_MAX_TEXTS = 8
_MAX_KEPT_BYTES = 4 << 20
_MAX_EDITS_BYTES = 512 << 10  # some 100 completions: then one key pays for the whole file, a few ms


class _Trails:
    """States along the texts parsed last, so that the next version of a document resumes where it first differs."""

    def __init__(self) -> None:
        self._kept: list[tuple[bytes, list[ParseState]]] = []  # latest first
        self._lock = Lock()

    def resume(self, text: bytes) -> list[ParseState] | None:
        """The longest kept trail that lies wholly in what `text` shares with its text, or None."""
        best: list[ParseState] = []
        with self._lock:
            for known, trail in self._kept:
                n_states = bisect_right(trail, common_prefix(known, text), key=lambda state: state.offset)
                if n_states > len(best):
                    best = trail[:n_states]
                    if len(text) - best[-1].offset <= 2 * _STRIDE:
                        break  # no other text can save more than a few microseconds
        # Stacks of all versions share one arena; when edits have filled it, a fresh parse starts a new one. Nor does a text
        # that has only its start in common with another fill that one's.
        if len(best) < 2 or best[-1].arena_bytes() > _MAX_EDITS_BYTES + 64 * len(text):
            return None
        return best

    def keep(self, text: bytes, trail: list[ParseState]) -> None:
        """Remember `trail`, instead of an earlier version of the same text."""
        if len(trail) == 1 or len(text) > _MAX_KEPT_BYTES:
            return
        with self._lock:
            second = trail[1]
            others = [item for item in self._kept if second not in item[1][:2]]
            self._kept = [(text, trail), *others][:_MAX_TEXTS]


@cache
def grammar_for(language: str, overlay: bool = True) -> Grammar:
    """The grammar of `language`, loaded once per process; raises UnknownLanguage or UnsupportedGrammar."""
    row = row_of(language)
    try:
        overlay_rules = overlay_for(language) if overlay else None
        return Grammar(language, load(language), overlay_rules, row.probes, row.horizon)
    except LookupError as problem:
        raise UnsupportedGrammar(f"{row.package} has another version than this one knows: {problem}") from problem
