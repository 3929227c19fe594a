"""What one client is suggested: out of memory, by the engine, or ahead of the next request.

One request of a document is answered at a time, the newest; nothing here waits but in a task, and the text that a request
is about was frozen before. Knows no LSP: how an answer looks, whoever asks says (`Render`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from treegraft_daemon.config import Settings
from treegraft_daemon.errors import TreegraftError
from treegraft_daemon.saved_request import SavedRequest
from treegraft_daemon.serve import context
from treegraft_daemon.serve.asking import Found, Key, Questions, found_in
from treegraft_daemon.serve.documents import Documents, Snapshot
from treegraft_daemon.serve.exclusion import Exclusion
from treegraft_daemon.serve.jsonrpc import Reply
from treegraft_daemon.serve.ledger import Ledger, Trace
from treegraft_daemon.serve.link import Connect, Link
from treegraft_daemon.serve.positions import to_utf8
from treegraft_daemon.serve.status import Status
from treegraft_daemon.serve.suggestions import Memory, Offer, Place, Rhythm, pause_s, place_of

# Beyond the request's own deadline: the way there and back, or the start of the engine, before we answer with nothing.
PATIENCE_S = 1.0
START_PATIENCE_S = 8.0
PATIENCE_AHEAD_S = 0.5  # for the answer to a request that the next one was typed over
LOOK_AHEAD_AFTER_S = 0.15  # without a key: somebody reads
TELL_AFTER_S = 5.0

Render = Callable[[list[Offer]], Any]


@dataclass(frozen=True, slots=True)
class Selected:
    """The item that is selected in the editor's popup: it would replace the bytes from `start` to `end`."""

    start: int
    end: int
    text: bytes


@dataclass(frozen=True, slots=True)
class Request:
    """Where suggestions are wanted; `snapshot` is None for a document that is not open.

    channel: requests of one document supersede each other within it. invoked: asked for by hand. indent: see `SavedRequest`.
    """

    uri: str
    snapshot: Snapshot | None
    offset: int
    channel: str
    invoked: bool = False
    selected: Selected | None = None
    indent: str = ""

    @property
    def key(self) -> Key:
        return self.uri, self.channel


@dataclass(frozen=True, slots=True)
class Wish:
    """One request that the memory could not fulfil."""

    request: Request
    place: Place
    snapshot: Snapshot  # with the popup's selected item, where there is one
    pause_s: float
    render: Render
    trace: Trace


class Suggester:
    """One client's."""

    def __init__(
        self, settings: Settings, documents: Documents, ledger: Ledger, status: Status, connect: Connect | None = None
    ) -> None:
        self.settings = settings
        self.link = Link(settings, connect)
        self.last_question: SavedRequest | None = None
        self.switched_off = ""  # by what; "" while suggestions are on
        self._documents = documents
        self._counters = ledger.counters
        self._ledger = ledger
        self._status = status
        self._connect = connect
        self._exclusion = _exclusion_of(settings, ())
        self._memory = Memory()
        self._questions = Questions()
        self._elders: dict[Key, tuple[Reply, Render]] = {}
        self._rhythms: dict[str, Rhythm] = {}
        self._telling: asyncio.TimerHandle | None = None

    def configure(self, settings: Settings, roots: Sequence[str], switched_off: str) -> Link | None:
        """Go on with these settings; the link that was given up for another engine, to be closed."""
        elder, self.settings = self.settings, settings
        self.switched_off = switched_off
        self._exclusion = _exclusion_of(settings, roots)
        if _engine_of(elder) == _engine_of(settings):
            return None
        given_up, self.link = self.link, Link(settings, self._connect)
        return given_up

    def opened(self, uri: str) -> None:
        """A document has another text than it had."""
        self._memory.forget(uri)

    def closed(self, uri: str) -> None:
        """Nothing of this document is wanted any more."""
        self._memory.forget(uri)
        self._rhythms.pop(uri, None)
        for key in [key for key in self._elders if key[0] == uri]:
            self._supersede(key, None)
        self._questions.give_way((uri, "inline"), None)
        self.link.forget(to_utf8(uri).decode())

    def forget(self) -> None:
        """No answer of the engine counts any more."""
        self._memory = Memory()

    async def close(self) -> None:
        """The client has left."""
        self._questions.drop_all()
        self._tell_engine()
        await self.link.close()

    def suggest(self, request: Request, reply: Reply, render: Render) -> None:
        """Answer from memory, or have the engine asked; the elder request of the same document is over."""
        key, snapshot = request.key, request.snapshot
        now = asyncio.get_running_loop().time()
        trace = self._ledger.begin(snapshot.name if snapshot else request.uri, request.invoked, now)
        self._tell_engine_soon()
        why_not = "the document is not open" if snapshot is None else self._refusal(snapshot)
        if snapshot is None or why_not:
            self._supersede(key, None)
            self._status.tell("Inactive", why_not)
            self._nothing(trace, why_not, reply, render)
            return
        trace.language = snapshot.language or snapshot.language_id
        offset = request.offset
        if request.selected is not None:
            hides = self.settings.beside_popup == "hide"
            with_item = None if hides else _with_selected(snapshot, offset, request.selected)
            if with_item is None:
                self._supersede(key, None)
                why = "the editor's popup is open" if hides else "the popup's item changes what is typed"
                self._nothing(trace, why, reply, render)
                return
            snapshot, offset = with_item
        n = self.settings.n_candidates if request.invoked else 1
        place = place_of(snapshot, offset, n, self.settings)
        self._supersede(key, place)
        rhythm = self._rhythms.setdefault(request.uri, Rhythm())
        rhythm.key(now)
        known = self._memory.recall(place)
        if known is not None:
            self._counters.add("answered_from_memory")
            self._ledger.end(trace, "remembered", asyncio.get_running_loop().time(), len(known))
            reply.result(render(known))
            self._look_ahead(place, snapshot, known)
            return
        before = place.text[max(0, offset - 4) : offset]
        pause = pause_s(self.settings.debounce_ms, request.invoked, rhythm, before)
        self._elders[key] = reply, render
        reply.later(self._fulfil(Wish(request, place, snapshot, pause, render, trace)))

    def _nothing(self, trace: Trace, why: str, reply: Reply, render: Render) -> None:
        self._ledger.end(trace, "nothing", asyncio.get_running_loop().time(), reason=why)
        reply.result(render([]))

    def _refusal(self, snapshot: Snapshot) -> str:
        """Why nothing is suggested in this document; "" if something may be."""
        if self.switched_off:
            return self.switched_off
        if not {snapshot.language, snapshot.language_id}.isdisjoint(self.settings.disabled_languages):
            return f"switched off for {snapshot.language_id} by a setting"
        return self._exclusion.reason(snapshot.path) or snapshot.refusal

    def _supersede(self, key: Key, later: Place | None) -> None:
        """Answer the elder request of this document at once, with nothing.

        Its work is taken off the engine, unless its answer may do for `later`, too.
        """
        self._questions.give_way(key, later)
        elder = self._elders.pop(key, None)
        if elder is not None and not elder[0].sent:
            reply, render = elder
            self._counters.add("requests_superseded")
            reply.result(render([]))
            reply.cancel()

    async def _fulfil(self, wish: Wish) -> Any:
        """What the engine suggests, or nothing when it is late, fails, or the document went on meanwhile."""
        clock = asyncio.get_running_loop().time
        try:
            found = await self._found(wish)
        except asyncio.CancelledError:
            self._ledger.end(wish.trace, "cancelled", clock(), reason="it was cancelled, or a newer request came")
            raise
        if isinstance(found, list):  # the answer to an elder request did
            self._counters.add("answered_from_ahead")
            self._ledger.end(wish.trace, "shown", clock(), len(found))
            return wish.render(found)
        if found is None:  # it may still come, and is then remembered
            self._status.tell("Warning", "the engine does not answer in time")
            self._ledger.end(wish.trace, "late", clock(), reason="the engine does not answer in time")
            return wish.render([])
        document = self._documents.get(wish.place.uri)
        asked_of = wish.request.snapshot
        if document is None or asked_of is None or document.text != asked_of.text:
            self._counters.add("answers_outrun")
            self._ledger.end(wish.trace, "outrun", clock(), reason="the document went on meanwhile")
            return wish.render([])
        wish.trace.stages_ms = dict(found.stages_ms)
        if found.offers:
            self._ledger.end(wish.trace, "shown", clock(), len(found.offers))
        else:
            self._ledger.end(wish.trace, "nothing", clock(), reason=found.reason or "the model had nothing to say")
        self._look_ahead(wish.place, wish.snapshot, found.offers)
        return wish.render(found.offers)

    async def _found(self, wish: Wish) -> Found | list[Offer] | None:
        """What the engine found; the offers themselves when an elder request had them; None when it is late."""
        key, place = wish.request.key, wish.place
        elder = self._questions.leading_to(key, place)
        try:
            if wish.pause_s:
                await asyncio.sleep(wish.pause_s)
            if elder is not None:
                await asyncio.wait({elder.task}, timeout=PATIENCE_AHEAD_S)
                if (known := self._memory.recall(place)) is not None:
                    return known
        except asyncio.CancelledError:
            if elder is not None:
                elder.drop_soon()
            raise
        started = asyncio.get_running_loop().time()
        asking = self._questions.begin(key, place, self._asked_for(wish))
        patience_s = self.settings.deadline_ms / 1000 + (PATIENCE_S if self.link.connected else START_PATIENCE_S)
        try:
            done, _ = await asyncio.wait({asking.task}, timeout=patience_s)
        except asyncio.CancelledError:
            document = self._documents.get(place.uri)
            text = document.text if document is not None else b""
            n_typed = len(text) - len(place.text)
            later = replace(place, text=text, offset=place.offset + n_typed, n=1)
            if n_typed > 0 and place.leads_to(later):
                asking.drop_soon()
            else:
                asking.task.cancel()
            raise
        wish.trace.engine_ms = (asyncio.get_running_loop().time() - started) * 1000
        return asking.task.result() if done else None

    async def _asked_for(self, wish: Wish) -> Found:
        """The engine's answer to a request, and the state as it is to be told."""
        request = wish.request
        self._counters.add("model_asked")
        if not self.link.connected and not self.link.resting:
            self._status.tell("Normal", "starting the engine", busy=True)
        try:
            self.last_question = self._question(wish.place, wish.snapshot, request.indent, request.invoked)
            found = await self._ask(self.last_question, wish.place, wish.snapshot, request.invoked)
        except TreegraftError as problem:
            self._counters.add("model_failed")
            self._status.trouble(problem)
            return Found([], str(problem))
        self._status.reason = found.reason
        self._status.tell("Warning" if found.unchecked else "Normal", found.unchecked)
        return found

    def _question(self, place: Place, snapshot: Snapshot, indent: str, invoked: bool) -> SavedRequest:
        """What the engine is asked for a place."""
        settings = self.settings
        siblings = context.siblings(
            snapshot, self._documents.recent(), settings.context_siblings, self._exclusion.reason
        )
        return SavedRequest(
            document=to_utf8(snapshot.uri).decode(),
            path=snapshot.path,
            language=place.language,
            text=place.text,
            offset=place.offset,
            siblings=tuple(siblings),
            n=place.n,
            max_tokens=settings.max_tokens,
            temperature=settings.temperature,
            seed=self._counters.snapshot()["model_asked"] if settings.temperature else 0,
            multiline=settings.multiline,
            indent=indent,
            min_probability=0.0 if invoked else settings.min_probability,
            deadline_ms=settings.deadline_ms,
        )

    async def _ask(
        self, question: SavedRequest, place: Place, snapshot: Snapshot, invoked: bool, ahead: bool = False
    ) -> Found:
        """What the engine says of a place, remembered. Raises TreegraftError when it cannot answer."""
        answer = await self.link.complete(**question.question(), ahead=ahead)
        found = found_in(answer, place, snapshot, invoked, self.settings.min_probability, self._counters)
        if found.offers:
            self._memory.remember(place, found.offers)
        return found

    def _look_ahead(self, place: Place, snapshot: Snapshot, offers: list[Offer]) -> None:
        """While the first of `offers` is read, have ready what comes after it; any key ends that."""
        if not offers or not self.settings.look_ahead or place.text != snapshot.text:
            return
        after = place.after(offers[0])
        key = (place.uri, "inline")

        def look() -> None:
            if self.link.connected and not self._questions.running(key) and self._memory.recall(after) is None:
                self._counters.add("looked_ahead")
                self._questions.begin(key, after, self._ask_quietly(after, replace(snapshot, text=after.text)))

        self._questions.later(LOOK_AHEAD_AFTER_S, look)

    async def _ask_quietly(self, place: Place, snapshot: Snapshot) -> Found:
        """As `_ask`, for nobody: what goes wrong will be told when somebody asks."""
        try:
            return await self._ask(
                self._question(place, snapshot, "", invoked=False), place, snapshot, False, ahead=True
            )
        except TreegraftError as problem:
            return Found([], str(problem))

    def _tell_engine_soon(self) -> None:
        if self._telling is None:
            self._telling = asyncio.get_running_loop().call_later(TELL_AFTER_S, self._tell_engine)

    def _tell_engine(self) -> None:
        """Pass on what was counted here: `treegraft stats` asks the engine only."""
        if self._telling is not None:
            self._telling.cancel()
            self._telling = None
        if self.link.connected:
            self.link.tell(*self._ledger.untold())


def _with_selected(snapshot: Snapshot, offset: int, selected: Selected) -> tuple[Snapshot, int] | None:
    """The document as if the popup's item were accepted, and the cursor behind it: what we suggest extends it.

    None when the item changes what is typed, or what stands behind the cursor: nothing that we insert extends that.
    """
    start, item = selected.start, selected.text
    if not start <= offset == selected.end or not item.startswith(snapshot.text[start:offset]):
        return None
    text = snapshot.text[:start] + item + snapshot.text[offset:]
    return replace(snapshot, text=text), start + len(item)


def _exclusion_of(settings: Settings, roots: Sequence[str]) -> Exclusion:
    return Exclusion(settings.excluded_files, respects_gitignore=settings.respect_gitignore, roots=roots)


def _engine_of(settings: Settings) -> tuple[str, ...]:
    return settings.model, settings.engine_address, settings.token_file, settings.tls_ca
