"""The default law: copying from what is open, mixed with n-grams and a small transformer by fitted weights. No torch.

Each source of evidence says which tokens it would put next (shares q) and how good its grounds are (a bucket). The law
is a fold over the sources from short contexts to long: p becomes (1 - w) p + w q with w fitted per source, bucket and
kind of request. It starts from a law without context in which every token is possible, so nothing has probability 0.
`tilt` then weighs the best candidates against each other.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
from numpy.typing import NDArray

from treegraft_daemon.engine.model._mixing import LAST, Mixture
from treegraft_daemon.engine.model.copying import EXTRA, N_LOCAL, ORDERS, Evidence, Kinds, Page, Reader, SiblingPages
from treegraft_daemon.engine.model.draws import draws_from_masses, draws_from_row
from treegraft_daemon.engine.model.embedded_network import Branch, Network
from treegraft_daemon.engine.model.healing import given_bytes, heal
from treegraft_daemon.engine.model.law import Calibration, Context, Draws, Sampling, Step
from treegraft_daemon.engine.model.linewise import END, LineTokenizer, Tokens
from treegraft_daemon.engine.model.ngram import N_BUCKETS, N_ORDERS, NgramTable
from treegraft_daemon.engine.model.tilt import NEVER, Below, Line, Place, Tilt, place_of
from treegraft_daemon.engine.model.window import SUFFIX_TOKENS, window
from treegraft_grammars.vocabulary import Vocabulary

if TYPE_CHECKING:
    from treegraft_daemon.engine.model._mixing import Found

EMBEDDED = Path(__file__).parent / "embedded"
# What is read at most; more costs time and hardly changes the law.
PREFIX_BYTES, SUFFIX_BYTES, SIBLING_BYTES, N_SIBLINGS = 200_000, 100_000, 80_000, 8
KEPT_SIBLINGS = 64
WINDOW_BYTES = 64 * SUFFIX_TOKENS  # of the suffix, for the network: more than its window takes
LINES_BELOW = 40  # in which one that is not blank is looked for


def _slots() -> list[str]:
    """The fold's order: sources with short contexts first, at equal length the document last."""
    order = ["unigram.sibling", "unigram.document", "unigram.nearby", "network"]
    extra = {1: ["skip1"], 2: ["skip0", "line"], 3: ["above", "below"]}
    for length in ORDERS:
        order += [f"global.{length}"] if length <= N_ORDERS else []
        order += [f"sibling.{length}", f"document.{length}"]
        order += [f"{page}.{name}" for name in extra.get(length, []) for page in ("sibling", "document")]
    return order


SLOTS = _slots()
NETWORK_SLOT = SLOTS.index("network")
NETWORK_LEVELS = 24  # of how sure the network is: its best token's share
_LOCAL_NAMES = [*map(str, ORDERS), *EXTRA]
SLOT_OF = {page: np.array([SLOTS.index(f"{page}.{name}") for name in _LOCAL_NAMES]) for page in ("sibling", "document")}
GLOBAL_SLOTS = np.array([SLOTS.index(f"global.{k}") for k in range(1, N_ORDERS + 1)])
assert len(_LOCAL_NAMES) == N_LOCAL


@dataclass(frozen=True, slots=True, eq=False)
class Weights:
    """w [slot, bucket] for each kind of request; "any" for kinds not fitted."""

    tables: dict[str, NDArray[np.float64]]

    def of(self, kind: str) -> NDArray[np.float64]:
        """The table of this kind (see `kind_of`)."""
        return self.tables.get(kind, self.tables["any"])

    @classmethod
    def load(cls, path: Path) -> Weights:
        """From the JSON that `training` wrote: logits of w as a sum of slot, slot and bucket, and slot and kind."""
        stored = json.loads(path.read_text())
        logits = np.array(stored["slots"])[:, None] + np.array(stored["buckets"])
        places = [SLOTS.index(name) for name in stored["slot_names"]]
        tables = {}
        for kind, offsets in stored["kinds"].items():
            tables[kind] = np.zeros((len(SLOTS), N_BUCKETS))  # a source that was not there then is not listened to
            tables[kind][places] = 1 / (1 + np.exp(-(logits + np.array(offsets)[:, None])))
        return cls(tables)


# Languages of one family share a table of n-grams; a table is read when its language is first asked for.
FAMILIES = {
    "python": ("python",),
    "javascript": ("javascript", "typescript", "tsx", "json"),
    "go": ("go",),
    "rust": ("rust",),
    "java": ("java",),
    "c": ("c", "cpp"),
}
FAMILY_OF = {language: family for family, languages in FAMILIES.items() for language in languages}


class Tables:
    """What was counted in training: a law without context per language, n-grams per family of languages."""

    def __init__(
        self, unigrams: dict[str, NDArray[np.float64]], ngrams: dict[str, NgramTable], folder: Path | None
    ) -> None:
        """`folder` holds the n-grams that are not given."""
        self._unigrams = unigrams
        self._ngrams = ngrams
        self._folder = folder

    def unigram(self, language: str) -> NDArray[np.float64]:
        """The law without context, of all languages together when this one was not seen in training."""
        return self._unigrams.get(language, self._unigrams["any"])

    def ngram(self, language: str) -> NgramTable:
        """The n-grams of this language's family; an empty table when it has none."""
        family = FAMILY_OF.get(language, "")
        if family not in self._ngrams:
            path = self._folder / f"{family}.npz" if self._folder else None
            self._ngrams[family] = NgramTable.load(path) if path and path.exists() else NgramTable.empty()
        return self._ngrams[family]

    def save(self, folder: Path) -> None:
        """Write all tables to `folder`."""
        stored = {language: np.log(law).astype(np.float32) for language, law in self._unigrams.items()}
        np.savez(folder / "unigrams.npz", allow_pickle=False, **stored)
        for family, table in self._ngrams.items():
            table.save(folder / f"{family}.npz")

    @classmethod
    def load(cls, folder: Path) -> Tables:
        """Read the unigrams now, the rest when asked for."""
        with np.load(folder / "unigrams.npz") as arrays:
            laws = {language: np.exp(arrays[language].astype(np.float64)) for language in arrays.files}
        return cls({language: law / law.sum() for language, law in laws.items()}, {}, folder)


def kind_of(language: str, has_siblings: bool) -> str:
    """Name of the kind of request that weights are fitted for."""
    return f"{language}+" if has_siblings else language


@dataclass(frozen=True, eq=False)
class Reading:
    """What a request's states share: the pages, the law without context, the weights."""

    pages: dict[str, Page]
    unigrams: list[tuple[int, int, NDArray[np.float64]]]  # (slot, bucket, shares of the whole vocabulary)
    base: NDArray[np.float64]
    weights: NDArray[np.float64]
    table: NgramTable
    tokens: Sequence[bytes]
    language: str
    below: Below
    tilt: Tilt | None
    network: Network | None

    @cached_property
    def distances(self) -> tuple[NDArray[np.uint16], NDArray[np.uint16]]:
        """See `tilt.place_of`."""
        page = self.pages["document"]
        assert page.cursor is not None, "the document holds the cursor"
        before, after = np.full(len(self.base), NEVER, np.uint16), np.full(len(self.base), NEVER, np.uint16)
        near = page.tokens[max(page.cursor - NEVER + 1, 0) : page.cursor]
        before[near] = np.arange(len(near), 0, -1)  # the latest of the same token comes last, and stays
        near = page.tokens[page.cursor : page.cursor + NEVER][::-1]
        after[near] = np.arange(len(near) - 1, -1, -1)
        return before, after


@dataclass(frozen=True, eq=False)
class State:
    """One place in the text: the last tokens, the line so far, and what stands there on every page. A value.

    Remembers its law and its next states, so that rows which wrote the same share the work.
    """

    reading: Reading
    last: tuple[int, ...]  # At most as many as the n-grams want.
    reader: Reader
    line: Line
    branch: Branch | None = None  # None without a network

    def step(self, token: int) -> State:
        """The state after one more token."""
        if token not in self._next:
            self._next[token] = self._after(token)
        return self._next[token]

    def law(self) -> NDArray[np.float64]:
        """The next token's probabilities, float64 [vocabulary]; they sum to 1. Not to be written to."""
        return self._law

    @cached_property
    def _next(self) -> dict[int, State]:
        return {}

    def _after(self, token: int) -> State:
        line = self.line.step(token, self.reading.tokens[token])
        branch = self.branch and self.branch.step(token)
        return State(self.reading, (*self.last, token)[-N_ORDERS:], self.reader.step(token), line, branch)

    def evidence(self) -> list[Evidence]:
        """All sources' evidence in slots of the fold, in no order."""
        found = [
            Evidence(SLOT_OF[name][one.slots], one.buckets, one.ids, one.shares) for name, one in self.reader.evidence()
        ]
        for order, buckets, ids, shares in self.reading.table.find(self.last):
            found.append(Evidence(GLOBAL_SLOTS[order : order + 1], buckets, ids, shares))
        return found

    def laws(self) -> list[tuple[int, int, NDArray[np.float64]]]:
        """(slot, bucket, shares) of the sources that speak of the whole vocabulary."""
        if self.branch is None:
            return self.reading.unigrams
        assert self.reading.network is not None, "branches come from a network"
        if self.branch.shares is None:
            self.reading.network.decode([self.branch])
        assert self.branch.shares is not None, "just decoded"
        level = min(int(self.branch.shares.max() * NETWORK_LEVELS), NETWORK_LEVELS - 1)
        return [*self.reading.unigrams, (NETWORK_SLOT, level, self.branch.shares)]

    @cached_property
    def _law(self) -> NDArray[np.float64]:
        mixture, tilt = self._mixture(), self.reading.tilt
        return mixture.p if tilt is None else mixture.tilted(tilt.network, self._place())

    def seen(self, tilt: Tilt) -> tuple[Found, NDArray[np.float64]]:
        """What this tilt's network sees here, and the law before any has its say."""
        mixture = self._mixture()
        return mixture.seen(tilt.network, self._place()), mixture.p

    def _mixture(self) -> Mixture:
        evidence = [(one.slots, one.buckets, one.ids, one.shares) for one in self.evidence()]
        whole = [(np.array([slot]), np.array([bucket]), None, law) for slot, bucket, law in self.laws()]
        return Mixture(self.reading.base, self.reading.weights, whole + evidence)

    def _place(self) -> Place:
        reading = self.reading
        last = ((END,) * LAST + self.last)[-LAST:]
        return place_of(self.line, reading.below, last, reading.distances, reading.language, "sibling" in reading.pages)


class MixtureRows:
    """See `law.Rows`. A row is the states that it went through; states are values."""

    def __init__(self, state: State, owed: bytes, sampling: Sampling, vocabulary: Vocabulary) -> None:
        self.states = [[state]]
        self.owed = owed
        self._sampling = sampling
        self._vocabulary = vocabulary
        self.draws = self.drawn(state, owed)

    def fork(self, n: int) -> list[Draws]:
        """See `law.Rows`."""
        state = self.states[0][0]
        self.states = [[state] for _ in range(n)]
        return [self.drawn(state, self.owed) for _ in range(n)]

    def select(self, rows: Sequence[int]) -> None:
        """See `law.Rows`."""
        self.states = [list(self.states[row]) for row in rows]

    def rewind(self, n_tokens: int) -> None:
        """See `law.Rows`."""
        if n_tokens:
            self.states = [row[:-n_tokens] for row in self.states]

    def close(self) -> None:
        """See `law.Rows`."""

    def drawn(self, state: State, owed: bytes) -> Draws:
        """The draws of a row in this state."""
        if not owed:
            return draws_from_masses(state.law(), self._sampling)
        ids, p, _ = given_bytes(state, owed, self._vocabulary)
        row = np.full(len(self._vocabulary), -np.inf)
        row[ids] = np.log(p)
        return draws_from_row(row, self._sampling, ids)


class MixtureLaw:
    """The embedded law as the completion loop sees it; see `law.Law`."""

    name = "embedded"
    end_tokens = frozenset({END})
    n_together = free_rows = 1  # the weights are few, and most of a step is not theirs

    def __init__(
        self,
        tokenizer: LineTokenizer,
        tables: Tables,
        weights: Weights,
        tilt: Tilt | None = None,
        calibration: Calibration | None = None,
        network: Network | None = None,
    ) -> None:
        self.tokenizer = tokenizer
        self.network = network
        self.tilt = tilt
        self.vocabulary: Vocabulary = tokenizer.vocabulary
        self.tables = tables
        self.weights = weights
        self.calibration = calibration or Calibration()
        self._kinds = Kinds(
            np.array([not data.strip(b" \t") and idx != END for idx, data in enumerate(self.vocabulary.tokens)]),
            np.arange(len(self.vocabulary)) == tokenizer.line_break,
        )
        self._siblings: OrderedDict[bytes, Tokens] = OrderedDict()
        self._pages = SiblingPages(self._sibling, self._kinds)

    async def prefill(self, context: Context, sampling: Sampling, cancelled: Callable[[], bool]) -> MixtureRows:
        """See `law.Law`. The last word of the prefix is owed, and the draws are given its bytes (see `healing`)."""
        prefix, owed = heal(self.tokenizer.read(tail(context.prefix)), context.prefix, self.vocabulary)
        return MixtureRows(self.begin(prefix, context, cancelled), owed, sampling, self.vocabulary)

    def step(self, steps: Sequence[Step]) -> list[list[Draws]]:
        """See `law.Law`. Rows in equal states share one law."""
        of = [(cast(MixtureRows, step.rows), step) for step in steps]
        for rows, step in of:
            for row, token in zip(rows.states, step.tokens, strict=True):
                row.append(row[-1].step(token))
        if self.network is not None:  # for all rows at once: the weights are brought from memory once
            branches = [row[-1].branch for rows, _ in of for row in rows.states]
            self.network.decode([branch for branch in branches if branch is not None])
        return [
            [rows.drawn(row[-1], owed) for row, owed in zip(rows.states, step.owed, strict=True)] for rows, step in of
        ]

    def begin(self, prefix: Tokens, context: Context, cancelled: Callable[[], bool] = lambda: False) -> State:
        """The state after `prefix` (its tokens); the context says what else is open."""
        texts = tuple(file.text for file in context.siblings[:N_SIBLINGS])
        siblings = self._pages.of(texts, cancelled) if texts else None
        below = self.tokenizer.read(lines_below(context.suffix))
        pages = {"document": Page([prefix, below], self._kinds, has_cursor=True)}
        if siblings is not None:
            pages["sibling"] = siblings
        kind = kind_of(context.language, siblings is not None)
        reading = Reading(
            pages,
            _unigrams(pages),
            self.tables.unigram(context.language),
            self.weights.of(kind),
            self.tables.ngram(context.language),
            self.vocabulary.tokens,
            context.language,
            self._below(context.suffix),
            self.tilt,
            self.network,
        )
        whole = np.concatenate([np.array([END], dtype=prefix.dtype), prefix])
        breaks = np.flatnonzero(self._kinds.breaks[prefix])
        line = Line()
        for token in prefix[int(breaks[-1]) + 1 if len(breaks) else 0 :].tolist():
            line = line.step(token, self.vocabulary[token])
        branch = self._branch(prefix, context, cancelled)
        return State(
            reading, tuple(whole[-N_ORDERS:].tolist()), Reader.at_cursor(pages, prefix, self._kinds), line, branch
        )

    def _branch(self, prefix: Tokens, context: Context, cancelled: Callable[[], bool]) -> Branch | None:
        if self.network is None:
            return None
        near = context.suffix[:WINDOW_BYTES]
        suffix = self.tokenizer.read(near)
        ids = window(context.language, prefix, suffix, whole_suffix=len(near) == len(context.suffix))
        return Branch(self.network.read(ids, cancelled))

    def _below(self, suffix: bytes) -> Below:
        for line in suffix.split(b"\n", LINES_BELOW + 1)[1 : LINES_BELOW + 1]:
            if line.strip():
                tokens = self.tokenizer.read(line)
                first = tokens[~self._kinds.blank[tokens]]
                return Below(int(first[0]) if len(first) else END, len(line) - len(line.lstrip(b" \t")))
        return Below()

    def _sibling(self, text: bytes) -> Tokens:
        tokens = self._siblings.pop(text, None)
        if tokens is None:
            tokens = self.tokenizer.read(text[:SIBLING_BYTES])
            if len(self._siblings) >= KEPT_SIBLINGS:
                self._siblings.popitem(last=False)
        self._siblings[text] = tokens
        return tokens


def load_embedded(folder: Path = EMBEDDED) -> MixtureLaw:
    """The law that ships with treegraft."""
    tokenizer = LineTokenizer.load(folder / "tokenizer.json")
    return MixtureLaw(
        tokenizer,
        Tables.load(folder),
        Weights.load(folder / "weights.json"),
        Tilt.load(tokenizer.vocabulary.tokens, folder / "tilt.npz", len(SLOTS)),
        Calibration(**json.loads((folder / "calibration.json").read_text())),
        Network.load(folder),
    )


def tail(prefix: bytes) -> bytes:
    """The end of a long prefix, from a line's start. The start moves by whole blocks so that caches keep fitting."""
    if len(prefix) <= PREFIX_BYTES:
        return prefix
    start = (len(prefix) - PREFIX_BYTES) // 16384 * 16384
    return prefix[prefix.find(b"\n", start) + 1 :]


def lines_below(suffix: bytes) -> bytes:
    """The lines after the cursor's line, as far as they are read."""
    end_of_line = suffix.find(b"\n")
    return b"" if end_of_line < 0 else suffix[end_of_line + 1 : SUFFIX_BYTES]


def _unigrams(pages: dict[str, Page]) -> list[tuple[int, int, NDArray[np.float64]]]:
    found = []
    for name, page, shares in (
        ("sibling", pages.get("sibling"), None),
        ("document", pages["document"], None),
        ("nearby", pages["document"], "nearby"),
    ):
        if page is not None:
            law = page.nearby if shares else page.unigram
            if law is not None:
                size = min(int(np.log2(len(page.tokens))) // 2, 7)
                found.append((SLOTS.index(f"unigram.{name}"), size, law))
    return found


assert N_BUCKETS >= 72
