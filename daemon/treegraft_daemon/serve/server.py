"""What LSP asks and how it is answered: ours in, ours out, nothing escapes.

`Server` is what one client can ask for; there is one per connection. `run` is the process. How messages come and go is
`serve/conversation.py`, what Copilot's clients say beyond LSP `serve/copilot.py`; no other file knows LSP. What is
suggested, `serve/suggester.py` finds out; nothing here waits for it.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
import threading
from collections.abc import Callable, Coroutine, Mapping
from contextlib import aclosing
from dataclasses import asdict
from pathlib import Path
from typing import Any

from lsprotocol import types
from pygls.capabilities import ServerCapabilitiesBuilder
from pygls.exceptions import JsonRpcException
from pygls.lsp.server import LanguageServer

from treegraft_daemon import __version__
from treegraft_daemon.config import Settings, runtime_dir, snake_case
from treegraft_daemon.errors import BadInput, ModelNotFound, TreegraftError
from treegraft_daemon.serve import downloads, jsonrpc
from treegraft_daemon.serve.conversation import Conversation, strict_converter
from treegraft_daemon.serve.copilot import Copilot, indent_of
from treegraft_daemon.serve.documents import Document, Documents, path_of
from treegraft_daemon.serve.jsonrpc import Failure, Frames, Reply
from treegraft_daemon.serve.ledger import Ledger
from treegraft_daemon.serve.link import Connect, Link
from treegraft_daemon.serve.positions import Encoding, n_units, to_utf8
from treegraft_daemon.serve.status import Status
from treegraft_daemon.serve.suggester import Render, Request, Selected, Suggester
from treegraft_daemon.serve.suggestions import Offer
from treegraft_daemon.serve.transports import (
    PipeWire,
    Transport,
    Wire,
    connect_out,
    guard_stdio,
    is_alive,
    listen,
    process_ended,
)
from treegraft_daemon.telemetry import Counters, set_up_logging

__all__ = ["Server", "Transport", "run"]

logger = logging.getLogger(__name__)

SECTION = "treegraft"
ACCEPT, TOGGLE, WHY = "treegraft.accept", "treegraft.toggle", "treegraft.why"
STATS, RESTART, SWITCH = "treegraft.stats", "treegraft.restartEngine", "treegraft.switchModel"
SAVE, PULL = "treegraft.saveRequest", "treegraft.pullModel"
COMMANDS = (ACCEPT, TOGGLE, WHY, STATS, RESTART, SWITCH, SAVE, PULL)
STATUS = "treegraft/status"

EXIT_GRACE_S = 5.0
RETAINED_AFTER_S = 30.0
LOADING_LOOK_S = 0.25

# Settings of the editors' side that arrive in our section.
EDITORS_OWN = frozenset({"trace", "path", "interpreter", "importStrategy", "editorInfo", "editorPluginInfo"})

_WORD_BEFORE = re.compile(r"\w+\Z")


def run(settings: Settings, transport: Transport, pinned: frozenset[str] = frozenset()) -> int:
    """Serve over `transport` until the client, a signal or a lost parent ends it; the exit code.

    pinned: names of settings that the command line gave, which no editor setting overrides. Raises TreegraftError when
    the transport cannot be had.
    """
    set_up_logging(settings.log_level, settings.log_file)
    logging.getLogger("pygls").setLevel(logging.WARNING)  # below it, pygls logs every message, and so source code
    if transport.kind == "stdio":
        wire_in, wire_out = guard_stdio()
        return asyncio.run(_serve_one(settings, pinned, transport, lambda: _stdio(wire_in, wire_out)))
    if transport.kind in ("socket", "pipe"):
        return asyncio.run(_serve_one(settings, pinned, transport, lambda: connect_out(transport)))
    return asyncio.run(_serve_many(settings, pinned, transport))


async def _stdio(wire_in: int, wire_out: int) -> Wire:
    return PipeWire(wire_in, wire_out)


async def _serve_one(
    settings: Settings, pinned: frozenset[str], transport: Transport, reach: Callable[[], Coroutine[Any, Any, Wire]]
) -> int:
    """One client, whose process we do not outlive."""
    server = Server(settings, pinned=pinned, watches_client=True)
    wire = await reach()
    if transport.client_process_id is not None:
        server.watch(transport.client_process_id)
    return await server.converse(wire, when_ended=_exit_soon)


async def _serve_many(settings: Settings, pinned: frozenset[str], transport: Transport) -> int:
    """Any number of clients, each with a server object of its own; ends with a signal."""

    async def meet(wire: Wire) -> int:
        return await Server(settings, pinned=pinned).converse(wire)

    serving = asyncio.ensure_future(listen(transport, meet))
    waiting: set[asyncio.Future[None]] = {serving}
    if transport.client_process_id is not None:
        waiting.add(asyncio.ensure_future(process_ended(transport.client_process_id)))
    await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    if serving.done():
        serving.result()
        return 0
    _exit_soon(1)
    serving.cancel()
    return 1


def _exit_soon(code: int) -> None:
    """Whatever still runs when the conversation is over, be it a thread in a system call, the process ends."""
    timer = threading.Timer(EXIT_GRACE_S, os._exit, [code])
    timer.daemon = True
    timer.start()


class Server(LanguageServer):
    """One client: its documents, its settings, what it is shown and told."""

    protocol: Conversation

    def __init__(
        self,
        settings: Settings,
        *,
        connect: Connect | None = None,
        pinned: frozenset[str] = frozenset(),
        watches_client: bool = False,
    ) -> None:
        super().__init__("treegraft", __version__, protocol_cls=Conversation, converter_factory=strict_converter)
        self.settings = settings
        self.documents = Documents()
        self.counters = Counters()
        self.encoding: Encoding = "utf-16"
        self.status = Status(self._tell)
        self.ledger = Ledger(self.counters)
        self.suggester = Suggester(settings, self.documents, self.ledger, self.status, connect)
        self._base_settings = settings
        self._section: Mapping[str, Any] = {}
        self._commanded: dict[str, Any] = {}  # settings that a command changed
        self._options: dict[str, Any] = {}
        self._pinned = pinned
        self._told: set[str] = set()
        self._roots: list[str] = []
        self._watches_client = watches_client
        self._watched: set[int] = set()
        self._completes_popup = False
        self._registers = False  # the client takes inline completion on, and off, while it runs
        self._registered: bool | None = None  # None until it may be told
        self._speaks_status = True
        self._runs_commands = False
        self._shows_progress = False
        self._cancels: dict[str, Callable[[], None]] = {}  # token -> what the client's cancelling of a progress does
        self._tasks: set[asyncio.Task[Any]] = set()
        self._ended: asyncio.Future[int] | None = None
        self._exit_code: int | None = None
        copilot = Copilot(self)
        self.requests: dict[str, Callable[[Any, Reply], None]] = {
            types.INITIALIZE: self._initialize,
            types.SHUTDOWN: self._shut_down,
            types.TEXT_DOCUMENT_INLINE_COMPLETION: self.inline_completion,
            types.TEXT_DOCUMENT_COMPLETION: self._completion,
            types.WORKSPACE_EXECUTE_COMMAND: self._execute_command,
            STATUS: lambda params, reply: reply.later(self._report()),
            "treegraft/why": lambda params, reply: reply.later(self._why()),
            "treegraft/stats": lambda params, reply: reply.later(self._stats()),
            **copilot.requests,
        }
        self.notices: dict[str, Callable[[Any], None]] = {
            types.INITIALIZED: self._initialized,
            types.TEXT_DOCUMENT_DID_OPEN: self._did_open,
            types.TEXT_DOCUMENT_DID_CHANGE: self._did_change,
            types.TEXT_DOCUMENT_DID_CLOSE: self._did_close,
            types.WORKSPACE_DID_CHANGE_CONFIGURATION: self._did_change_configuration,
            types.WINDOW_WORK_DONE_PROGRESS_CANCEL: self._cancel_progress,
            **copilot.notices,
        }

    @property
    def _link(self) -> Link:
        return self.suggester.link

    # --- the conversation ---

    async def converse(self, wire: Wire, when_ended: Callable[[int], None] = lambda code: None) -> int:
        """Serve this client until it leaves or dies; 0 after shutdown and exit, else 1."""
        self.protocol.wire = wire
        self._ended = asyncio.get_running_loop().create_future()
        if self._exit_code is not None:
            self._ended.set_result(self._exit_code)
        reading = asyncio.ensure_future(self._read(wire))
        try:
            waiting: set[asyncio.Future[Any]] = {reading, self._ended}
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self.finish(0 if self.protocol.stage == "down" else 1)  # unless exit said so before: the client hung up
            code = self._exit_code or 0
            when_ended(code)
            reading.cancel()
            await self._let_go(wire)
        return code

    async def _read(self, wire: Wire) -> None:
        frames = Frames()
        while data := await wire.read():
            for body in frames.feed(data):
                self.protocol.receive(body)
                # One message at a time: what this one started takes its look at the world before the next is handled.
                await asyncio.sleep(0)
                if self._exit_code is not None:
                    return

    async def _let_go(self, wire: Wire) -> None:
        for reply in list(self.protocol.running.values()):
            reply.cancel()
        for task in self._tasks:
            task.cancel()
        await self.suggester.close()
        await wire.close()
        self.protocol.wire = None

    def finish(self, code: int) -> None:
        """End the conversation; the first code given counts."""
        if self._exit_code is None:
            self._exit_code = code
            if self._ended is not None and not self._ended.done():
                self._ended.set_result(code)

    def watch(self, pid: int) -> None:
        """End with code 1 when process `pid` does."""
        if pid not in self._watched:
            self._watched.add(pid)
            self._in_background(self._end_with(pid))

    async def _end_with(self, pid: int) -> None:
        await process_ended(pid)
        logger.warning("process %d, which we serve, has ended", pid)
        self.finish(1)

    def _in_background(self, work: Coroutine[Any, Any, Any]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended_in_background)

    def _ended_in_background(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (problem := task.exception()) is not None:
            logger.error("work in the background failed: %s", type(problem).__name__, exc_info=problem)

    def report_server_error(self, error: Exception, source: Any) -> None:
        """To the log only: telling the client what failed while talking to it has no end."""
        logger.error("%s: %s", getattr(source, "__name__", source), type(error).__name__)

    # --- life ---

    def _initialize(self, params: types.InitializeParams, reply: Reply) -> None:
        client = params.capabilities
        encoding = ServerCapabilitiesBuilder.choose_position_encoding(client)
        self.encoding = {"utf-8": "utf-8", "utf-32": "utf-32"}.get(str(getattr(encoding, "value", encoding)), "utf-16")  # type: ignore[assignment]
        inline = client.text_document.inline_completion if client.text_document is not None else None
        self._completes_popup = inline is None
        self._registers = inline is not None and bool(inline.dynamic_registration)
        self._runs_commands = client.workspace is not None and client.workspace.execute_command is not None
        self._shows_progress = client.window is not None and bool(client.window.work_done_progress)
        # lsp-mode pops up a warning for every notification that it does not know.
        self._speaks_status = params.client_info is None or params.client_info.name != "emacs"
        self.protocol.client_capabilities = client
        self._roots = [path_of(folder.uri) for folder in params.workspace_folders or []]
        self._take_options(params.initialization_options)
        features = {
            types.TEXT_DOCUMENT_DID_OPEN,
            types.TEXT_DOCUMENT_DID_CHANGE,
            types.TEXT_DOCUMENT_DID_CLOSE,
        }
        if not self._registers:
            features.add(types.TEXT_DOCUMENT_INLINE_COMPLETION)
        if self._completes_popup:
            features.add(types.TEXT_DOCUMENT_COMPLETION)
        builder = ServerCapabilitiesBuilder(
            client,
            features,
            {
                types.TEXT_DOCUMENT_INLINE_COMPLETION: types.InlineCompletionOptions(),
                types.TEXT_DOCUMENT_COMPLETION: types.CompletionOptions(trigger_characters=[".", "("]),
            },
            list(COMMANDS),
            types.TextDocumentSyncKind.Incremental,
            None,
            encoding,
        )
        capabilities = builder.build()  # type: ignore[no-untyped-call]
        self.protocol.stage = "running"
        reply.result(types.InitializeResult(capabilities, types.ServerInfo(self.name, self.version)))
        pid = params.process_id
        # A process that cannot be seen lives in another container; that it is not there means nothing.
        if self._watches_client and isinstance(pid, int) and is_alive(pid):
            self.watch(pid)

    def _initialized(self, params: Any) -> None:
        self._in_background(self._ask_for_changes())
        self._in_background(self._settle())

    async def _settle(self) -> None:
        """After the greeting: ask for the settings, load what the first request needs, start the engine."""
        await self._pull_settings()
        if self._registers:
            self._registered = False
            await self._register()
        if self.settings.enabled:
            await self._reach_engine()

    async def _register(self) -> None:
        """Inline completion is there while it is switched on: a client that can be told asks nothing in vain."""
        if self._registered is None or self._registered == self.settings.enabled:
            return
        self._registered = self.settings.enabled
        method, name = types.TEXT_DOCUMENT_INLINE_COMPLETION, "treegraft-inline-completion"
        if self._registered:
            wanted = types.RegistrationParams([types.Registration(id=name, method=method, register_options={})])
            await self._request_quietly(types.CLIENT_REGISTER_CAPABILITY, wanted)
        else:
            unwanted = types.UnregistrationParams([types.Unregistration(id=name, method=method)])
            await self._request_quietly(types.CLIENT_UNREGISTER_CAPABILITY, unwanted)

    async def _ask_for_changes(self) -> None:
        """Some clients tell of changed settings only whom they know to be interested."""
        workspace = self.protocol.client_capabilities.workspace
        changes = workspace.did_change_configuration if workspace is not None else None
        if changes is None or not changes.dynamic_registration:
            return
        method = types.WORKSPACE_DID_CHANGE_CONFIGURATION
        wanted = types.Registration(id="treegraft-settings", method=method, register_options={"section": SECTION})
        await self._request_quietly(types.CLIENT_REGISTER_CAPABILITY, types.RegistrationParams([wanted]))

    async def _reach_engine(self) -> None:
        try:
            await self._link.engine()
            await self._watch_loading()
        except TreegraftError as problem:
            self.status.trouble(problem)

    async def _watch_loading(self) -> None:
        """While the model is being loaded, say so; and that it is ready, or what is wrong with it."""
        started = asyncio.get_running_loop().time()
        token: str | None = None
        while (report := await self._link.status()) is not None and report.state == "loading":
            waited_s = asyncio.get_running_loop().time() - started
            told, percentage = f"loading the model {report.model}", round(report.loaded * 100)
            self.status.tell("Normal", told + (f", {percentage} %" if percentage else ""), busy=True)
            if token is None:
                token = await self._begin_progress(f"treegraft-{report.pid}-{report.uptime_s:.3f}", told)
            else:
                share = {"percentage": percentage} if percentage else {}
                self._progress(token, "report", message=f"{told}, {waited_s:.0f} s", **share)
            await asyncio.sleep(LOADING_LOOK_S)
        if token is not None:
            self._end_progress(token, "" if report is None else report.state)
        if report is not None and report.state.startswith("failed"):
            self.status.tell("Error", report.state)
        elif self.status.busy:
            self.status.tell("Normal", "")

    async def _begin_progress(self, token: str, message: str, cancel: Callable[[], None] | None = None) -> str:
        """A progress that the client shows, if it can, and ends by `cancel`, if there is one; its token."""
        if self._shows_progress:
            created = types.WorkDoneProgressCreateParams(token)
            await self._request_quietly(types.WINDOW_WORK_DONE_PROGRESS_CREATE, created)
        may_cancel = {}
        if cancel is not None:
            self._cancels[token] = cancel
            may_cancel = {"cancellable": True}
        self._progress(token, "begin", title="treegraft", message=message, **may_cancel)
        return token

    def _progress(self, token: str, kind: str, **what: str | int) -> None:
        if self._shows_progress:
            self.protocol.notify(types.PROGRESS, types.ProgressParams(token, {"kind": kind, **what}))

    def _end_progress(self, token: str, message: str) -> None:
        self._cancels.pop(token, None)
        self._progress(token, "end", message=message)

    def _cancel_progress(self, params: types.WorkDoneProgressCancelParams) -> None:
        cancel = self._cancels.get(str(params.token))
        if cancel is not None:
            cancel()

    def _shut_down(self, params: Any, reply: Reply) -> None:
        for other in list(self.protocol.running.values()):
            if other is not reply:
                other.cancel()
        self.protocol.stage = "down"
        reply.result(None)

    # --- documents ---

    def _did_open(self, params: types.DidOpenTextDocumentParams) -> None:
        item = params.text_document
        language_id = item.language_id
        name = language_id.value if isinstance(language_id, types.LanguageKind) else language_id
        self.documents.open(item.uri, name, item.version, item.text)
        self.suggester.opened(item.uri)

    def _did_change(self, params: types.DidChangeTextDocumentParams) -> None:
        document = self.documents.use(params.text_document.uri)
        if document is None:
            raise Failure(jsonrpc.INVALID_PARAMS, "the document is not open")
        for change in params.content_changes:
            if isinstance(change, types.TextDocumentContentChangePartial):
                start, end = change.range.start, change.range.end
                document.replace_range(
                    (start.line, start.character), (end.line, end.character), change.text, self.encoding
                )
            else:
                document.replace_all(change.text)
        document.set_version(params.text_document.version)

    def _did_close(self, params: types.DidCloseTextDocumentParams) -> None:
        uri = params.text_document.uri
        self.documents.close(uri)
        self.suggester.closed(uri)

    # --- suggestions ---

    def inline_completion(self, params: types.InlineCompletionParams, reply: Reply) -> None:
        """Reply with the list that LSP has for it; `formattingOptions` of the request count if there are any."""
        uri, position, selected = params.text_document.uri, params.position, params.context.selected_completion_info
        invoked = params.context.trigger_kind == types.InlineCompletionTriggerKind.Invoked
        if selected is None:
            here = types.Range(position, position)  # the client's own position: it knows best where it is

            def render(offers: list[Offer]) -> types.InlineCompletionList:
                return self._inline_list(uri, offers, "", here)
        else:
            chosen = selected

            def render(offers: list[Offer]) -> types.InlineCompletionList:
                return self._inline_list(uri, offers, chosen.text, chosen.range)

        indent = indent_of(reply.params)
        self.suggest(uri, position, reply, render, "inline", invoked, selected, indent)

    def _completion(self, params: types.CompletionParams, reply: Reply) -> None:
        document = self.documents.get(params.text_document.uri)
        if document is None or not self._completes_popup:
            reply.result(types.CompletionList(is_incomplete=False, items=[]))
            return
        word, start = self._word_before(document, params.position)
        here = types.Range(start, params.position)

        def render(offers: list[Offer]) -> types.CompletionList:
            items = [_popup_item(word, offer, here, self._accept_command(document.uri, offer)) for offer in offers[:1]]
            return types.CompletionList(True, items)

        self.suggest(document.uri, params.position, reply, render, "popup")

    def suggest(
        self,
        uri: str,
        position: types.Position,
        reply: Reply,
        render: Render,
        channel: str,
        invoked: bool = False,
        selected: types.SelectedCompletionInfo | None = None,
        indent: str = "",
    ) -> None:
        """Reply with what is suggested at a position, as `render` shapes it; see `suggester.Request`."""
        document = self.documents.use(uri)
        if document is None:
            self.suggester.suggest(Request(uri, None, 0, channel, invoked), reply, render)
            return

        def offset_of(place: types.Position) -> int:
            return document.offset_at(place.line, place.character, self.encoding)

        item = None
        if selected is not None:
            item = Selected(offset_of(selected.range.start), offset_of(selected.range.end), to_utf8(selected.text))
        request = Request(uri, document.snapshot(), offset_of(position), channel, invoked, item, indent)
        self.suggester.suggest(request, reply, render)

    def _inline_list(self, uri: str, offers: list[Offer], before: str, here: types.Range) -> types.InlineCompletionList:
        return types.InlineCompletionList(
            [
                types.InlineCompletionItem(
                    before + offer.inserted, range=here, command=self._accept_command(uri, offer)
                )
                for offer in offers
            ]
        )

    def _accept_command(self, uri: str, offer: Offer) -> types.Command | None:
        if not self._runs_commands:
            return None
        return types.Command(title="Accepted", command=ACCEPT, arguments=[self.ledger.offer(uri, offer.text)])

    def _word_before(self, document: Document, position: types.Position) -> tuple[str, types.Position]:
        """The word that ends at the position, and where it begins."""
        offset = document.offset_at(position.line, position.character, self.encoding)
        start = max(document.text.rfind(b"\n", 0, offset), document.text.rfind(b"\r", 0, offset), offset - 512) + 1
        found = _WORD_BEFORE.search(document.text[start:offset].decode("utf-8", "ignore"))
        word = found[0] if found else ""
        character = position.character - n_units(word.encode("utf-8"), self.encoding)
        return (word, types.Position(position.line, character)) if character >= 0 else ("", position)

    def _execute_command(self, params: types.ExecuteCommandParams, reply: Reply) -> None:
        argument = params.arguments[0] if params.arguments else None
        if params.command == ACCEPT:
            self.accepted(str(argument))
            reply.result(None)
        elif params.command == TOGGLE:
            self._command_settings({"enabled": not self.settings.enabled})
            self.status.tell("Normal" if self.settings.enabled else "Inactive", self._switched_off())
            reply.result({"enabled": self.settings.enabled})
        elif params.command == SWITCH:
            if not isinstance(argument, str) or not argument:
                raise Failure(jsonrpc.INVALID_PARAMS, f"{SWITCH} wants the name of a model")
            self._command_settings({"model": argument})
            self._in_background(self._reach_engine())
            reply.result({"model": self.settings.model})
        elif params.command == PULL:
            if not isinstance(argument, str) or not argument:
                raise Failure(jsonrpc.INVALID_PARAMS, f"{PULL} wants the name of a model on the hub")
            reply.later(self._pull_model(argument, reply))
        elif params.command == RESTART:
            reply.later(self._restart_engine())
        elif params.command == WHY:
            reply.later(self._why(shows=True))
        elif params.command == SAVE:
            reply.result({"path": self._save_request(argument)})
        elif params.command == STATS:
            reply.later(self._stats())
        else:
            raise Failure(jsonrpc.INVALID_PARAMS, f"no such command: {params.command[:80]}")

    async def _pull_model(self, model: str, reply: Reply) -> dict[str, Any]:
        """Download a model, with progress that the client may cancel; where it is then."""
        token = await self._begin_progress(f"treegraft-pull-{reply.id}", f"downloading {model}", reply.cancel)
        end, told = "cancelled", {}
        try:
            async with aclosing(downloads.pull(model)) as progress:
                async for told in progress:
                    if "percent" in told:
                        done, total = told["bytes"] / 1e6, told["ofBytes"] / 1e6
                        self._progress(
                            token, "report", message=f"{done:.0f} of {total:.0f} MB", percentage=told["percent"]
                        )
            end = "done"
        except ModelNotFound as problem:
            end = "failed"
            raise Failure(jsonrpc.REQUEST_FAILED, str(problem)) from None
        finally:
            self._end_progress(token, end)
        return {"model": model, "path": told["path"]}

    def _save_request(self, path: Any) -> str:
        """Write the last question to the engine to a file, for `treegraft replay`; its path."""
        question = self.suggester.last_question
        if question is None:
            raise Failure(jsonrpc.REQUEST_FAILED, "the engine was not asked yet")
        chosen = Path(path) if isinstance(path, str) and path else runtime_dir() / f"request-{os.getpid()}.json"
        try:
            question.save(chosen)
        except BadInput as problem:
            raise Failure(jsonrpc.REQUEST_FAILED, str(problem)) from None
        return str(chosen)

    def accepted(self, name: str) -> None:
        """A suggestion was accepted, by the name that it went out under; in a while its document tells whether it stays."""
        offered = self.ledger.accepted(name)
        if offered is None:
            return

        def look_again() -> None:
            document = self.documents.get(offered.uri)
            if document is not None:  # of a closed one nothing is known
                self.ledger.retained(offered, document.text)

        asyncio.get_running_loop().call_later(RETAINED_AFTER_S, look_again)

    async def _restart_engine(self) -> dict[str, Any]:
        if self.settings.engine_address:
            raise Failure(
                jsonrpc.REQUEST_FAILED, "the engine is not one of this machine: it is restarted where it runs"
            )
        await self._link.stop_engine()
        self.suggester.forget()
        await self._reach_engine()
        return {"running": self._link.connected}

    # --- settings and status ---

    def _take_options(self, options: Any) -> None:
        """initializationOptions: our section, or our settings themselves."""
        if isinstance(options, dict):
            section = options.get(SECTION, options)
            self._options = section if isinstance(section, dict) else {}
        self._configure({})

    def _did_change_configuration(self, params: types.DidChangeConfigurationParams) -> None:
        if self._pulls_settings():
            self._in_background(self._pull_settings())
        elif isinstance(params.settings, dict):
            section = params.settings.get(SECTION)
            self._configure(section if isinstance(section, dict) else {})

    def _pulls_settings(self) -> bool:
        workspace = self.protocol.client_capabilities.workspace
        return workspace is not None and bool(workspace.configuration)

    async def _pull_settings(self) -> None:
        if not self._pulls_settings():
            return
        params = types.ConfigurationParams([types.ConfigurationItem(section=SECTION)])
        found = await self._request_quietly(types.WORKSPACE_CONFIGURATION, params)
        if isinstance(found, list) and found and isinstance(found[0], dict):
            self._configure(found[0])

    async def _request_quietly(self, method: str, params: Any) -> Any:
        """The client's result; None when it refuses."""
        try:
            return await self.protocol.send_request_async(method, params)
        except JsonRpcException as problem:
            logger.warning("the client refuses %s: %s", method, problem)
            return None

    def _configure(self, section: Mapping[str, Any]) -> None:
        """Settings anew: the process's own, overlaid by the initialization options, by `section`, and by commands."""
        settings, problems = self._base_settings, []
        self._section = section
        for values in (self._options, section, self._commanded):
            wanted = {
                key: value
                for key, value in values.items()
                if value is not None and key not in EDITORS_OWN and snake_case(key) not in self._pinned
            }
            settings, complaints = settings.overlay(wanted)
            problems += complaints
        for problem in problems:
            if problem not in self._told:
                self._told.add(problem)
                self.window_log_message(types.LogMessageParams(types.MessageType.Warning, f"treegraft: {problem}"))
        elder, self.settings = self.settings, settings
        if elder.enabled != settings.enabled:
            self._in_background(self._register())
        given_up = self.suggester.configure(settings, self._roots, self._switched_off())
        if given_up is not None:
            self._in_background(given_up.close())

    def _command_settings(self, values: dict[str, Any]) -> None:
        """A command changes settings until the client ends, over what the editor's settings say."""
        self._commanded |= values
        self._configure(self._section)

    def _switched_off(self) -> str:
        """By what suggestions are off; "" while they are on."""
        if self.settings.enabled:
            return ""
        return "switched off by a command" if "enabled" in self._commanded else "switched off by a setting"

    def _tell(self, status: Status) -> None:
        if self._speaks_status and self.protocol.stage == "running":
            told = {"kind": status.kind, "message": status.message, "busy": status.busy}
            self.protocol.notify("didChangeStatus", told)

    async def _report(self) -> dict[str, Any]:
        """What treegraft/status answers. Starts no engine, loads no model."""
        engine = await self._link.status()
        status = self.status
        return {
            "kind": status.kind,
            "message": status.message,
            "busy": status.busy,
            "lastReason": status.reason,
            "enabled": self.settings.enabled,
            "version": self.version,
            "model": self.settings.model,
            "positionEncoding": self.encoding,
            "documents": len(self.documents),
            "counters": self.counters.snapshot(),
            "engine": None if engine is None else _engine_report(engine),
        }

    async def _why(self, shows: bool = False) -> dict[str, Any]:
        """What became of the last request, in one sentence, and its story; nothing of any text is in it."""
        trace = self.ledger.last
        sentence = "nothing was asked for yet" if trace is None else trace.sentence()
        engine = await self._link.status()
        if engine is not None and engine.state != "ready":
            share = f" {engine.loaded * 100:.0f} %" if engine.state == "loading" and engine.loaded else ""
            sentence += f"; the engine: {engine.state}{share}"
        if shows:
            self.window_show_message(types.ShowMessageParams(types.MessageType.Info, f"treegraft: {sentence}"))
        return {"why": sentence, "request": None if trace is None else asdict(trace)}

    async def _stats(self) -> dict[str, Any]:
        """Counters and latencies of this client, and of the engine it shares with others."""
        engine = await self._link.status()
        return {
            "counters": self.counters.snapshot(),
            "latenciesMs": self.ledger.latencies.snapshot(),
            "engine": None if engine is None else {"counters": engine.counters, "latenciesMs": engine.latencies_ms},
        }


def _popup_item(word: str, offer: Offer, here: types.Range, command: types.Command | None) -> types.CompletionItem:
    whole = word + offer.inserted
    first_line = whole.strip().split("\n", 1)[0]
    return types.CompletionItem(
        label=first_line if len(first_line) <= 60 else f"{first_line[:59]}…",
        kind=types.CompletionItemKind.Text,
        detail="treegraft",
        documentation=whole,
        sort_text="0000",
        filter_text=word or first_line,
        insert_text_format=types.InsertTextFormat.PlainText,
        text_edit=types.TextEdit(here, whole),
        command=command,
    )


def _engine_report(report: Any) -> dict[str, Any]:
    from treegraft_protocol.messages import as_dict

    return {key: value for key, value in as_dict(report).items() if key not in ("id", "type")}
