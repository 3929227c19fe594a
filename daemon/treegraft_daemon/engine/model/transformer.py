"""The law of a transformer: a network, a tokenizer and a format, with an arena for each document.

Draws are made where the rows are (`device_draws`, `draws` on a CPU), and what can be copied from open files (`copied`) is
mixed into the rows there. Healing is exact as far as it looks: a token that covers a part of the owed bytes counts by the mass of the
ways to go on to the rest, which are tried in one batch beside the rows.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import reduce
from time import perf_counter
from typing import cast

import numpy as np
import torch
from torch import Tensor

from treegraft_daemon.engine.model.copied import Copied, Copies
from treegraft_daemon.engine.model.device_draws import draws_from_rows, tempered
from treegraft_daemon.engine.model.draws import draws_in_order, log_sum_exp
from treegraft_daemon.engine.model.healing import MOST_FOLLOWED, NEGLIGIBLE, NOT_FOLLOWED
from treegraft_daemon.engine.model.hub_tokenizer import HubTokenizer
from treegraft_daemon.engine.model.kv_arena import Arena, Arenas, Span, joined, n_common
from treegraft_daemon.engine.model.law import Calibration, Cancelled, Context, Draws, Sampling, Step, Turn
from treegraft_daemon.engine.model.network import Network
from treegraft_daemon.engine.model.prompt import Format, Room, build
from treegraft_daemon.errors import OutOfMemory
from treegraft_grammars.vocabulary import Vocabulary

log = logging.getLogger(__name__)

# Positions that a prompt leaves for what will be written.
RESERVED = 256
# A longer prompt says little more.
MOST_TOKENS = {"mps": 4096, "cuda": 8192}
# On a CPU, the largest of these that is read within so many seconds, or the smallest: nobody waits longer.
CPU_TOKENS, READ_S, PROBED = (1536, 768, 384), 3.0, 48
# Prompts are not made shorter than this when memory runs out.
LEAST_TOKENS = 128
NO_MEMORY = (torch.OutOfMemoryError, MemoryError)
# Requests that step together, and rows that cost hardly more than one. A step brings all weights from memory, whatever the
# number of rows; but a CPU is soon busy with the rows themselves: four cost 1.4 times as much as one, eight 2.7 times.
TOGETHER_ON_A_DEVICE, TOGETHER_ON_A_CPU = (8, 64), (4, 4)


class TransformerLaw:
    """See `law.Law`. Each request has the arena of its document; `copies` are mixed into the laws of all rows."""

    def __init__(
        self,
        name: str,
        network: Network,
        tokenizer: HubTokenizer,
        form: Format,
        end_tokens: frozenset[int],
        copies: Copies | None = None,
    ) -> None:
        self.name = name
        self.vocabulary = tokenizer.vocabulary
        self.end_tokens = end_tokens
        self.calibration = Calibration()
        self.n_together, self.free_rows = TOGETHER_ON_A_CPU if network.device.type == "cpu" else TOGETHER_ON_A_DEVICE
        if not network.joins:
            self.n_together = 1
        self.n_read = 0  # tokens that the last prefill had to read, not found in the arena
        self._network = network
        self._tokenizer = tokenizer
        self._form = form
        self._room = room_for(network, form)
        self._arenas = Arenas()
        self._copies = copies

    async def prefill(self, context: Context, sampling: Sampling, cancelled: Callable[[], bool]) -> TransformerRows:
        """See `law.Law`. Where memory runs out other documents are forgotten, then prompts become shorter.

        Raises OutOfMemory where that does not help.
        """
        while True:
            try:
                return await self._prefill(context, sampling, cancelled)
            except NO_MEMORY:
                pass
            self._make_room()  # when the error holds no tensors any more

    async def _prefill(self, context: Context, sampling: Sampling, cancelled: Callable[[], bool]) -> TransformerRows:
        """What the arena holds of the same beginning is not read again."""
        prompt = build(context, self._form, self._tokenizer, self._room)
        arena = self._arenas.of(context.document)
        try:
            # The last token is always read: its logits are what is asked for.
            arena.keep(min(n_common(arena.ids, prompt.ids), len(prompt.ids) - 1))
            self.n_read = len(prompt.ids) - len(arena.ids)
            while True:
                if cancelled():
                    raise Cancelled
                logits = self._read(arena, prompt.ids)
                if len(arena.ids) == len(prompt.ids):
                    break
                await Turn()
            place = self._copies.begin(context, prompt.owed, cancelled) if self._copies else None
            return TransformerRows(self._network, self.vocabulary, arena, place, logits, prompt.owed, sampling)
        except BaseException:
            arena.in_use = False
            raise

    def _make_room(self) -> None:
        device = self._network.device
        if self._arenas.forget() > 1:  # more than that of the request itself
            log.warning("out of memory on %s: other documents are forgotten", device)
        elif self._room.n_tokens >= 2 * LEAST_TOKENS:
            self._room = Room.of(self._room.n_tokens // 2, self._form.order)
            log.warning("out of memory on %s: prompts hold %d tokens from now on", device, self._room.n_tokens)
        else:
            raise OutOfMemory(f"{self.name} leaves no memory on {device} for a prompt of {self._room.n_tokens} tokens")
        if device.type == "cuda":
            torch.cuda.empty_cache()

    def _read(self, arena: Arena, ids: Sequence[int]) -> Tensor:
        """Read the next chunk of `ids`; the logits [1, vocabulary] after it."""
        n_before = len(arena.ids)
        chunk = ids[n_before : n_before + self._network.chunk]
        try:
            return self._network.next_logits(_tensor([chunk], self._network), arena.read(chunk))
        except BaseException:
            arena.keep(n_before)  # what was not read must not be taken for read by the next request
            raise

    def step(self, steps: Sequence[Step]) -> list[list[Draws]]:
        """See `law.Law`. Where the model's context is full, an end is all that can follow."""
        of = [cast(TransformerRows, step.rows) for step in steps]
        spans = [rows.append(step.tokens) for rows, step in zip(of, steps, strict=True)]
        going = [(step, span) for step, span in zip(steps, spans, strict=True) if span]
        try:
            parts = iter(self._logits(going)) if going else iter(())
        except NO_MEMORY:
            self._arenas.forget()
            raise OutOfMemory(f"no memory on {self._network.device} to go on with {self.name}") from None
        end = _the_end(min(self.end_tokens, default=0))
        return [
            rows.drawn(next(parts), step.owed) if span else [end] * len(step.tokens)
            for rows, step, span in zip(of, steps, spans, strict=True)
        ]

    def _logits(self, steps: Sequence[tuple[Step, Span]]) -> Sequence[Tensor]:
        """[rows, vocabulary] after each of these steps, taken in one pass."""
        ids = _tensor([[token] for step, _ in steps for token in step.tokens], self._network)
        logits = self._network.next_logits(ids, joined([span for _, span in steps]))
        return logits.split([span.n_rows for _, span in steps])


class TransformerRows:
    """See `law.Rows`. Rows are those of the arena."""

    def __init__(
        self,
        network: Network,
        vocabulary: Vocabulary,
        arena: Arena,
        place: Copied | None,
        logits: Tensor,
        owed: bytes,
        sampling: Sampling,
    ) -> None:
        """logits: [1, vocabulary] behind the prefix in the arena. place: what can be copied there."""
        self.owed = owed
        self._network = network
        self._vocabulary = vocabulary
        self._arena = arena
        self._places = [[place]] if place else []  # of each row, after each of its tokens; empty without copies
        self._temperature, self._rng = sampling.temperature, sampling.rng
        self._generator = torch.Generator(network.device)
        self._generator.manual_seed(int(sampling.rng.integers(2**62)))
        arena.fork(1)
        self._first = self._healed(self._laws(logits)[0], 0, owed)
        self.draws = self._draws(self._first)

    def fork(self, n: int) -> list[Draws]:
        """See `law.Rows`."""
        self._arena.fork(n)
        self._places = [row[:1] for row in self._places[:1] for _ in range(n)]
        return [self._draws(self._first) for _ in range(n)]

    def select(self, rows: Sequence[int]) -> None:
        """See `law.Rows`."""
        self._arena.select(rows)
        if self._places:
            self._places = [list(self._places[row]) for row in rows]

    def rewind(self, n_tokens: int) -> None:
        """See `law.Rows`."""
        self._arena.rewind(n_tokens)
        if n_tokens:
            self._places = [row[:-n_tokens] for row in self._places]

    def close(self) -> None:
        """See `law.Rows`."""
        self._arena.in_use = False

    def append(self, tokens: Sequence[int]) -> Span | None:
        """One more token for each row: the span that is to be filled; None where the model's context is full."""
        full = self._arena.position >= self._network.context
        span = self._arena.append()
        for row, token in zip(self._places, tokens, strict=bool(self._places)):
            row.append(row[-1].step(token))
        return None if full else span

    def drawn(self, logits: Tensor, owed: Sequence[bytes]) -> list[Draws]:
        """The draws of each row with these logits [rows, vocabulary], which owes these bytes."""
        laws = self._laws(logits)
        if not any(owed):
            return self._draws_of(laws)
        return [self._draws(self._healed(laws[row], row, rest)) for row, rest in enumerate(owed)]

    def _draws(self, row: _Row) -> Draws:
        return self._draws_of(row.logprobs[None], row.ids)[0]

    def _draws_of(self, laws: Tensor, ids: Tensor | None = None) -> list[Draws]:
        """The draws of each row of `laws` [rows, n]: tokens 0 to n, or those named by `ids` [n]."""
        if laws.device.type != "cpu":
            return draws_from_rows(laws, self._temperature, self._generator, ids)
        rng = self._rng if self._temperature else None
        if ids is None:
            return [draws_in_order(row, rng) for row in laws.numpy()]
        names = ids.numpy().astype(np.int32)
        return [draws_in_order(row, rng, names, log_sum_exp(row)) for row in laws.numpy()]

    def _laws(self, logits: Tensor, places: Sequence[Copied] | None = None) -> Tensor:
        """Log-probabilities [rows, vocabulary] at the temperature, with what can be copied at each row's place."""
        if places is None:
            places = [row[-1] for row in self._places]
        if not places:
            return tempered(logits, self._temperature)
        laws = tempered(logits, 1.0)
        for law, place, top in zip(laws, places, laws.max(-1).values.exp().tolist(), strict=True):
            left, ids, masses = place.said(top)
            if len(ids):
                law += math.log(left)
                at = torch.from_numpy(ids).to(law.device)
                added = torch.from_numpy(np.log(masses)).to(law.device, law.dtype)
                law[at] = torch.logaddexp(law[at], added)
        return laws if self._temperature in (0, 1) else tempered(laws, self._temperature)

    def _healed(self, law: Tensor, row: int, owed: bytes) -> _Row:
        """The law [vocabulary] of a row given that its text goes on with `owed`."""
        if not owed:
            return _Row(law)
        root = _Way((), owed, 1.0)
        ids = self._look(root, law)
        level, n_left = [root], MOST_FOLLOWED
        while level := _worth_following(level, NEGLIGIBLE * root.longer)[:n_left]:
            n_left -= len(level)
            paths = _tensor([way.path for way in level], self._network)
            span = self._arena.try_out(row, len(level), paths.shape[1])
            places = [reduce(Copied.step, way.path, of[-1]) for of in self._places[row : row + 1] for way in level]
            for way, after in zip(level, self._laws(self._network.next_logits(paths, span), places), strict=True):
                self._look(way, after)
                way.known = True
        logprobs = law[ids]
        if root.shorter:
            # The shorter tokens are the last of `ids`; each counts by what can follow it.
            follows = [max(root.ways[token].mass(), NOT_FOLLOWED) for token in root.shorter]
            logprobs[-len(follows) :] += torch.tensor(follows, device=law.device).log()
        return _Row(logprobs - logprobs.logsumexp(-1), ids)

    def _look(self, way: _Way, law: Tensor) -> Tensor:
        """Fill in what the law says about going on with `way.rest`; the tokens that agree, shorter ones last."""
        agreeing = self._vocabulary.agreeing(way.rest)
        n_shorter = 0
        while n_shorter < len(agreeing) and len(self._vocabulary[agreeing[-1 - n_shorter]]) < len(way.rest):
            n_shorter += 1
        ids = torch.from_numpy(agreeing.astype(np.int64)).to(law.device)
        p = law[ids].exp()
        n_longer = len(ids) - n_shorter
        way.longer, *shorter = torch.cat([p[:n_longer].sum()[None], p[n_longer:]]).tolist()
        way.shorter = dict(zip(agreeing[n_longer:].tolist(), shorter, strict=True))
        way.ways = {
            token: _Way((*way.path, token), way.rest[len(self._vocabulary[token]) :], way.reached * p)
            for token, p in way.shorter.items()
        }
        return ids


@dataclass(slots=True, eq=False)
class _Row:
    """Log-probabilities on the device: of `ids`, or of all tokens."""

    logprobs: Tensor
    ids: Tensor | None = None


@dataclass(slots=True, eq=False)
class _Way:
    """A way to write a part of the owed bytes: its tokens, the bytes still owed, the probability of coming here.

    longer: mass of the tokens that cover the rest. shorter: probability of those that cover a part; each a way on.
    """

    path: tuple[int, ...]
    rest: bytes
    reached: float
    known: bool = False
    longer: float = 0.0
    shorter: dict[int, float] = field(default_factory=dict)
    ways: dict[int, _Way] = field(default_factory=dict)

    def mass(self) -> float:
        """The probability that the rest follows."""
        if not self.known:
            return NOT_FOLLOWED
        return self.longer + sum(p * self.ways[token].mass() for token, p in self.shorter.items())


def _tensor(ids: Sequence[Sequence[int]], network: Network) -> Tensor:
    return torch.tensor(ids, device=network.device)


def _worth_following(level: list[_Way], floor: float) -> list[_Way]:
    ways = [way for one in level for way in one.ways.values() if way.reached >= floor]
    return sorted(ways, key=lambda way: -way.reached)


def _the_end(token: int) -> Draws:
    return Draws(np.array([token], dtype=np.int32), np.zeros(1), 0.0, None)


def room_for(network: Network, form: Format) -> Room:
    """What a prompt may hold: the model's context without what is reserved, within what its device reads in time."""
    reserved = min(RESERVED, network.context // 4)
    most = MOST_TOKENS.get(network.device.type) or _readable(network)
    return Room.of(min(network.context - reserved, most), form.order)


def _readable(network: Network) -> int:
    """The largest of CPU_TOKENS that is read in time, told from the second of two short readings."""
    ids = torch.arange(PROBED) % network.vocab_size
    network.all_logits(ids, 1)
    start = perf_counter()
    network.all_logits(ids, 1)
    n_read = READ_S * PROBED / (perf_counter() - start)
    return next((n for n in CPU_TOKENS if n <= n_read), CPU_TOKENS[-1])
