"""One request from prompt to suggestions, told top to bottom.

Runs in the thread that owns the law. What it returns has been checked by a parse that knows nothing of the constraint,
or the answer says that the constraint was off. It never waits for anything but the model, and asks at each step
whether it should still go on.
"""

from __future__ import annotations

import logging
import math
import re
from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from time import monotonic, perf_counter

import numpy as np

from treegraft_daemon.engine.model.law import Calibration, Cancelled, Context, Draws, Law, Rows, Sampling, Step
from treegraft_daemon.engine.particles import Particle, World, beam, explore, first_of, posterior
from treegraft_daemon.engine.sampler import Choice, choose
from treegraft_daemon.engine.stopping import Free, Place, Reading, Stopping
from treegraft_daemon.telemetry import Counters, span
from treegraft_grammars import (
    EndlessParse,
    Judge,
    Region,
    UnknownLanguage,
    UnsupportedGrammar,
    distrust,
    grammar_for,
    is_host,
    region_at,
)
from treegraft_protocol.messages import Complete, Multiline, Suggestion, Suggestions, Timings

log = logging.getLogger(__name__)

# A law may put thousands of tokens before the first that fits; one step may not cost more than this.
MAX_CHECKS_PER_STEP = 512
MAX_CHECKS = 8192
# A line that the model takes for complete, with more than this probability, is left alone.
SURE_OF_NOTHING = math.log(0.5)
# With less than this share of the law left, or after so many checks, the token before was a mistake; so many may be taken back.
LOST = math.log(0.1)
MAX_BACK = 6
MANY_CHECKS = 16
# Another line is written while the chance that all of it is right is at least this, and while what the longer text saves,
# so far and with a line of usual length to come, is on average more than what the shorter one does.
SURE_OF_LINES = 0.1
USUAL_LINE = 24
# Kept for the step that is running when time is up, and for the final parse.
RESERVE_MS = 80.0
# To read more than this takes longer than anybody waits: seconds for the first key.
LARGEST_TEXT = 8 << 20
# The most probable text is looked for with so many rows, among those not less probable than the best by this factor.
BEAM = 6
HOPELESS = math.log(10)
# Several candidates are drawn from at least so many particles, which share the model's time.
N_PARTICLES = 8
# How many earlier whole places are shown to the judge when it withholds one.
MAX_JUDGED = 3


async def suggest(
    request: Complete,
    context: Context,
    law: Law,
    *,
    cancelled: Callable[[], bool] = lambda: False,
    counters: Counters | None = None,
    queue_ms: float = 0.0,
) -> Suggestions:
    """The candidates for `context`, best first. With none, or if the constraint was off, `reason` says why."""
    budget = Budget(request, cancelled)
    rng = np.random.default_rng(request.seed)
    with span() as parsing:
        region = _region(request, context)
        cursor, start, confidence, off = _at_cursor(request, region)
        multiline = _multiline(request)
        stopping = Stopping(
            cursor, start, region.prefix, region.suffix, multiline=multiline, indent=request.indent.encode()
        )
    writer = Writer(law, stopping, region)
    try:
        with span() as prefilling:
            spoken = replace(context, language=region.language)
            rows = await law.prefill(spoken, Sampling(request.temperature, rng), cancelled)
        place = Place(b"", cursor, rows.owed)
        with closing(rows), span() as decoding:
            if request.temperature > 0 and request.n > 1:
                world = world_of(writer, rows, budget)
                written = await explore(place, rows.fork(max(request.n, N_PARTICLES)), world, rng)
            elif request.temperature > 0 or stopping.fills_block:
                written = [await _write_one(place, rows.draws, writer, rows, budget)]
            else:
                written = await _most_probable(place, writer, rows, budget)
    except Cancelled:
        return Suggestions(
            id=request.id,
            items=(),
            constrained=not off,
            reason="cancelled",
            language=region.language,
            timings=Timings(n_steps=budget.n_steps),
        )
    with span() as judging:
        judges = (
            _judges(context, region) if request.constraint and not _is_large(context.prefix, context.suffix) else []
        )
        counters = counters or Counters()
        items, why = _ranked(written, stopping, region, judges, confidence, law.calibration, budget, counters)
    if writer.n_rejected:
        counters.add("tokens_rejected", writer.n_rejected)
    reasons = [off, "" if items else why]
    timings = Timings(
        queue_ms=queue_ms,
        parse_ms=parsing.ms,
        prefill_ms=prefilling.ms,
        decode_ms=decoding.ms,
        constraint_ms=writer.seconds * 1000,
        judge_ms=judging.ms,
        total_ms=budget.elapsed_ms(),
        n_steps=budget.n_steps,
    )
    reason = "; ".join(filter(None, reasons))
    return Suggestions(
        id=request.id,
        items=tuple(items),
        constrained=not off,
        reason=reason,
        language=region.language,
        timings=timings,
    )


def _multiline(request: Complete) -> Multiline:
    """Alternatives are of one line, if it is left to us: how far several of them go together nobody could compare."""
    return "never" if request.multiline == "auto" and request.n > 1 else request.multiline


def _region(request: Complete, context: Context) -> Region:
    """The text around the cursor that is of one language: the document, or a script or block within it."""
    region = None
    is_split = request.constraint and is_host(context.language) and not _is_large(context.prefix, context.suffix)
    if is_split and (judge := _judge(context.document, context.language)):
        with suppress(EndlessParse):
            tree = judge.tree(context.prefix + context.suffix)
            region = region_at(context.language, tree.root_node, context.prefix, context.suffix)
    return region or Region(context.language, context.prefix, context.suffix)


def _is_large(prefix: bytes, suffix: bytes) -> bool:
    return len(prefix) + len(suffix) > LARGEST_TEXT


def _at_cursor(request: Complete, region: Region) -> tuple[Reading, Reading, float, str]:
    """States at the cursor and of an empty text, trust in the first, and why the constraint is off ("" if it is on)."""
    if not request.constraint:
        return Free(), Free(), 0.0, "constraint off: not asked for"
    if _is_large(region.prefix, region.suffix):
        return Free(), Free(), 0.0, f"constraint off: the file is larger than {LARGEST_TEXT >> 20} MiB"
    try:
        if why := distrust(region.language):
            return Free(), Free(), 0.0, f"constraint off: {region.language} is not trusted: {why}"
        grammar = grammar_for(region.language)
    except UnknownLanguage:
        return Free(), Free(), 0.0, f"constraint off: no grammar for {region.language or 'this file'}"
    except UnsupportedGrammar as problem:
        return Free(), Free(), 0.0, f"constraint off: {problem}"
    parsed = grammar.parse(region.prefix)
    if parsed.confidence <= 0:
        return Free(), Free(), 0.0, "constraint off: the text before the cursor cannot be read"
    return parsed.state, grammar.start(), parsed.confidence, ""


async def _most_probable(start: Place, writer: Writer, rows: Rows, budget: Budget) -> list[Particle[Place]]:
    """As many of the most probable texts as are asked for. A single one may be nothing, and may go on for several lines."""
    n, goes_on, draws = budget.request.n, budget.request.multiline == "auto", rows.draws
    if n > 1:
        return await beam(start, draws, world_of(writer, rows, budget), width=n, n_wanted=n)
    first = first_of(draws)
    if first is not None and draws.logprobs[0] > SURE_OF_NOTHING and writer.wishes_end(first):
        end = writer.step(start)(first)
        if end is not None and end.whole and not end.text.strip():
            return [Particle(end, finished=True)]
    world = replace(world_of(writer, rows, budget, by_line=goes_on), max_checks=MANY_CHECKS, lost=math.exp(LOST))
    found = await beam(start, draws, world, width=BEAM, n_wanted=1, margin=HOPELESS)
    best = found[0]
    # Where a block was opened, how many lines of it are worth showing is another question; and a text that leads nowhere
    # may have begun with a token that fitted by its letter only.
    opens = goes_on and b"\n" in best.state.text
    if world.hopeless(best):
        return [best]
    if (opens or not best.finished) and not budget.is_last() and not budget.spent():
        again = replace(budget, n_steps=0)
        other = await _write_one(start, rows.fork(1)[0], writer, rows, again)
        budget.n_steps += again.n_steps
        is_longer = opens and other.state.text.startswith(best.state.text)
        if is_longer or not best.finished:
            return [other]
    return [replace(best, n_checks=writer.n_checks)]


async def _write_one(start: Place, draws: Draws, writer: Writer, rows: Rows, budget: Budget) -> Particle[Place]:
    """A single candidate: the first draw that fits, token after token. Its weight is an upper bound.

    A token may fit by its letter only: the `=` of `f(x) =` can still become `==`, which the model does not have in mind.
    It shows one token later, when nearly all of the law is refused; then that token is taken back.
    """
    particle = Particle(start)
    taken: list[tuple[Particle[Place], Draws, int]] = []
    refused: int | None = None
    n_back = 0
    longest = particle
    lines = Lines(writer.calibration) if budget.request.multiline == "auto" else None
    while not budget.spent():
        place = particle.state
        may_go_back = bool(taken) and n_back < MAX_BACK
        choice = _next(place, draws, writer, refused, MANY_CHECKS if may_go_back else MAX_CHECKS_PER_STEP)
        budget.n_checks = writer.n_checks
        ends = choice is None or choice.n_checks > 1
        if ends and (end := writer.closed(place, first_of(draws))) is not None:
            # The model takes the line for finished, and only closing marks are missing.
            particle = replace(particle, state=end, finished=True)
            break
        lost = choice is None or (refused is None and choice.log_upper - draws.log_total < LOST)
        if lost and may_go_back:
            longest = max(longest, particle, key=lambda particle: len(particle.state.text))
            rows.rewind(1)
            particle, draws, refused = taken.pop()
            n_back += 1
            continue
        if choice is None:
            break
        taken.append((particle, draws, choice.token))
        particle, refused = particle.after(choice, choice.state.whole), None
        if lines is not None:
            lines.see(particle)
        if particle.finished or (lines is not None and lines.are_better(particle)):
            break
        if _is_improbable(particle, budget.request, writer.calibration):
            break
        budget.n_steps += 1
        [draws] = await Step(rows, [choice.token], [choice.state.owed])
    if lines is not None and lines.best is not None:
        particle = lines.best
    if not particle.finished:
        particle = max(particle, longest, key=lambda particle: len(particle.state.text))
        particle = replace(particle, stuck=not budget.spent())
    return replace(particle, n_checks=writer.n_checks)


class Lines:
    """How many lines to show: as many as save most keys on average, by the chance that they are what is wanted."""

    def __init__(self, calibration: Calibration) -> None:
        self._calibration = calibration
        self._most = 0.0
        self.best: Particle[Place] | None = None

    def see(self, particle: Particle[Place]) -> None:
        """A particle one token on: it may have come to the end of a line where it could have been left."""
        end = particle.state if particle.state.whole else particle.state.pause
        if end is None or not end.text.strip():
            return
        saves = self._chance(particle) * len(end.text.strip())
        is_sure = self.best is None or self._chance(particle) >= SURE_OF_LINES
        if saves > self._most and is_sure:
            self._most = saves
            self.best = replace(particle, state=end, finished=True)

    def are_better(self, particle: Particle[Place]) -> bool:
        """Whether the best seen so far is not likely to be outdone by going on from here."""
        if self.best is None:
            return False
        chance = self._chance(particle)
        return chance < SURE_OF_LINES or chance * (len(particle.state.text) + USUAL_LINE) < self._most

    def _chance(self, particle: Particle[Place]) -> float:
        return self._calibration.probability(particle.log_probability, particle.n_tokens)


def _next(place: Place, draws: Draws, writer: Writer, refused: int | None, max_checks: int) -> Choice[Place] | None:
    choice = choose(draws, writer.step(place, refused=refused), max_checks=max_checks)
    says_nothing = choice is not None and choice.state.whole and not choice.state.text.strip()
    if choice is None or not says_nothing or choice.log_probability > SURE_OF_NOTHING:
        return choice
    # The model would leave it at that, but it is not sure: what else it would write is worth showing.
    return choose(draws, writer.step(place, may_say_nothing=False, refused=refused), max_checks=max_checks)


def world_of(writer: Writer, rows: Rows, budget: Budget, by_line: bool = False) -> World[Place]:
    """What particles of one request move in. by_line: the end of a line is an end where more lines may follow, too."""

    def step(place: Place) -> Callable[[int], Place | None]:
        check = writer.step(place, may_say_nothing=False)
        return (lambda token: _line_of(check(token))) if by_line else check

    async def advance(parents: Sequence[int], tokens: Sequence[int], places: Sequence[Place]) -> list[Draws]:
        budget.n_steps += 1
        budget.n_checks = writer.n_checks
        rows.select(parents)
        return await Step(rows, tokens, [place.owed for place in places])

    return World(
        step=step,
        is_whole=lambda place: place.whole,
        advance=advance,
        spent=lambda: bool(budget.spent()),
        max_checks=MAX_CHECKS_PER_STEP,
        hopeless=lambda particle: _is_improbable(particle, budget.request, writer.calibration),
        closed=writer.closed,
        is_last=budget.is_last,
    )


def _is_improbable(particle: Particle[Place], request: Complete, calibration: Calibration) -> bool:
    """Whether this is less probable to be right than a single candidate may be, and more so with each token."""
    if request.n > 1 or not request.min_probability:
        return False
    return calibration.probability(particle.log_probability, particle.n_tokens) < request.min_probability


def _line_of(place: Place | None) -> Place | None:
    return place if place is None or place.pause is None else place.pause


class Writer:
    """Turns a token into the place after it: healed bytes first, then the rules of stopping over the grammar."""

    def __init__(self, law: Law, stopping: Stopping, region: Region) -> None:
        self._tokens = law.vocabulary.tokens
        self._end_tokens = law.end_tokens
        self.calibration = law.calibration
        self._stopping = stopping
        self._region = region
        self._verdicts: dict[tuple[Reading, bytes, int], Place | None] = {}
        self.n_checks = self.n_rejected = 0
        self.seconds = 0.0

    def step(
        self, place: Place, *, may_say_nothing: bool = True, refused: int | None = None
    ) -> Callable[[int], Place | None]:
        """The check of one next token at `place`; `refused` is one that was tried before."""

        def check(token: int) -> Place | None:
            if token == refused:
                return None
            self.n_checks += 1
            started = perf_counter()
            after = self._write(place, token)
            self.seconds += perf_counter() - started
            self.n_rejected += after is None
            if after is not None and after.whole and not may_say_nothing and not after.text.strip():
                return None
            return after

        return check

    def wishes_end(self, token: int) -> bool:
        """Whether this token says that the line is finished."""
        return token in self._end_tokens or self._stopping.wishes_end(self._tokens[token])

    def closed(self, place: Place, token: int | None) -> Place | None:
        """The place finished by closing marks, if `token` says that the line is finished and some will do."""
        return self._stopping.mend(place) if token is not None and self.wishes_end(token) else None

    def _write(self, place: Place, token: int) -> Place | None:
        if token in self._end_tokens:
            return None if place.owed else self._stopping.end(place)
        data = self._tokens[token]
        if not data:
            return None
        if place.owed:
            n_common = min(len(data), len(place.owed))
            if data[:n_common] != place.owed[:n_common]:
                return None
            data, owed = data[n_common:], place.owed[n_common:]
            place = Place(place.text, place.state, owed, before=place.before)
            if not data:
                return place
        # Particles that wrote the same share the verdict.
        key = (place.state, place.text, token)
        if key not in self._verdicts:
            after = self._stopping.write(place, data)
            self._verdicts[key] = None if after is not None and self._region.closed_by(after.text) else after
        return self._verdicts[key]


@dataclass
class Budget:
    """What a request may use: tokens, checks, time, and the patience of who asked."""

    request: Complete
    cancelled: Callable[[], bool]
    n_steps: int = 0
    n_checks: int = 0
    started: float = field(default_factory=monotonic)

    def elapsed_ms(self) -> float:
        return (monotonic() - self.started) * 1000

    def is_last(self) -> bool:
        """Whether the next token is the last one allowed."""
        return self.n_steps + 1 >= self.request.max_tokens

    def spent(self) -> str:
        """What has run out, "" if nothing has."""
        if self.cancelled():
            return "cancelled"
        if self.n_steps >= self.request.max_tokens:
            return "tokens"
        if self.elapsed_ms() > self.request.deadline_ms - min(RESERVE_MS, self.request.deadline_ms / 4):
            return "time"
        return "checks" if self.n_checks >= MAX_CHECKS else ""


def _ranked(
    written: list[Particle[Place]],
    stopping: Stopping,
    region: Region,
    judges: list[tuple[Judge, bytes, bytes]],
    confidence: float,
    calibration: Calibration,
    budget: Budget,
    counters: Counters,
) -> tuple[list[Suggestion], str]:
    """Distinct candidates that the judge lets pass, finished ones first, then by posterior; and why there are none.

    Texts that differ in blanks only are one candidate: their weights are summed, and the likeliest of them is shown.
    """
    spent = budget.spent() or ("tokens" if budget.is_last() else "")
    if spent == "cancelled":
        return [], "cancelled"
    why = f"nothing fits within the {spent} allowed" if spent else "nothing fits"
    kept: list[tuple[Particle[Place], bytes]] = []
    for particle in written:
        if _is_improbable(particle, budget.request, calibration):
            why = "improbable"
            continue
        places = ([particle.state] if particle.finished else []) + stopping.fallbacks(particle.state.before)
        if not particle.finished:
            places = stopping.fallbacks(particle.state)
        n_judged = 0
        for place in places:
            text = place.text
            if not text.strip():
                why = "the line is complete"
                break
            if stopping.repeats(text):
                why = "only what follows anyway"
                break
            if region.closed_before_suffix(text):
                continue
            if _is_error(judges, text):
                n_judged += 1
                counters.add("withheld_by_parse")
                log.warning("a completion that the constraint let pass was withheld (%s)", region.language)
                why = "withheld by the final parse"
                if n_judged >= MAX_JUDGED:
                    break
                continue
            kept.append((particle, text))
            break
    by_weight = budget.request.n > 1 and budget.request.temperature > 0
    shares = posterior((_look(text), particle.log_weight) for particle, text in kept)
    shown: dict[bytes, tuple[Particle[Place], bytes]] = {}
    for particle, text in kept:
        rival = shown.setdefault(_look(text), (particle, text))[0]
        if (particle.finished, particle.log_probability) > (rival.finished, rival.log_probability):
            shown[_look(text)] = (particle, text)

    def worth(look: bytes) -> tuple[bool, float]:
        particle = shown[look][0]
        return particle.finished, shares.get(look, -math.inf) if by_weight else particle.log_probability

    items = []
    for look in sorted(shown, key=worth, reverse=True)[: budget.request.n]:
        particle, text = shown[look]
        items.append(
            Suggestion(
                text=text,
                log_weight=shares.get(look, -math.inf) if by_weight else particle.log_weight,
                log_probability=particle.log_probability,
                stop_reason=_stop_reason(particle, spent),
                n_tokens=particle.n_tokens,
                n_checks=particle.n_checks,
                confidence=confidence,
                probability=calibration.probability(particle.log_probability, particle.n_tokens),
                masses=particle.masses,
            )
        )
    return items, why


def _stop_reason(particle: Particle[Place], spent: str) -> str:
    if particle.finished:
        return "whole"
    return spent or ("stuck" if particle.stuck else "whole")


def _look(text: bytes) -> bytes:
    """What texts that differ in blanks around marks, or in how many they are, have in common."""
    return re.sub(rb"[ \t]*([^\w \t])[ \t]*", rb"\1", re.sub(rb"[ \t]+", b" ", text)).strip()


# The judge keeps the tree of the last text of a document; a document may have one of its own and one of a script within.
_JUDGES: OrderedDict[tuple[str, str], Judge] = OrderedDict()
_MAX_JUDGES = 12


def _is_error(judges: list[tuple[Judge, bytes, bytes]], text: bytes) -> bool:
    """Whether a completion adds an error, or nothing can be said of the text with it."""
    try:
        return any(
            judge.adds_error(prefix, text, suffix) or judge.swallows(prefix, text, suffix)
            for judge, prefix, suffix in judges
        )
    except EndlessParse:
        log.warning("a text that tree-sitter does not get through; nothing is suggested for it")
        return True


def _judges(context: Context, region: Region) -> list[tuple[Judge, bytes, bytes]]:
    """The judges of the region and of the document, with the texts around the cursor; those of trusted grammars only."""
    texts = {region.language: (region.prefix, region.suffix), context.language: (context.prefix, context.suffix)}
    found = [(_judge(context.document, language), language) for language in texts]
    return [(judge, *texts[language]) for judge, language in found if judge and not distrust(language)]


def _judge(document: str, language: str) -> Judge | None:
    """The judge of the texts of one language in a document; None for a language without a grammar."""
    key = (document, language)
    if key not in _JUDGES:
        try:
            _JUDGES[key] = Judge(language)
        except (UnknownLanguage, UnsupportedGrammar):
            return None
        if len(_JUDGES) > _MAX_JUDGES:
            _JUDGES.popitem(last=False)
    _JUDGES.move_to_end(key)
    return _JUDGES[key]
