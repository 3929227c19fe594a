"""JSON-RPC on pygls' protocol class with its traps removed.

Every request gets exactly one reply, with the right error code, and no message, however wrong, ends the server. Knows
the stages of a conversation and the shape of messages; what they mean, `serve/server.py` knows.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from enum import Enum
from typing import Any, Protocol

from cattrs import transform_error
from lsprotocol import types
from pygls.exceptions import JsonRpcException
from pygls.protocol import LanguageServerProtocol, default_converter

from treegraft_daemon.serve import jsonrpc
from treegraft_daemon.serve.jsonrpc import Answer, Call, Failure, Id, Notice, Refused, Reply
from treegraft_daemon.serve.transports import Wire
from treegraft_daemon.telemetry import Counters

logger = logging.getLogger(__name__)


class Host(Protocol):
    """Who answers: `Server` is one."""

    requests: dict[str, Callable[[Any, Reply], None]]
    notices: dict[str, Callable[[Any], None]]
    counters: Counters

    def finish(self, code: int) -> None:
        """The conversation is over."""
        ...


class Conversation(LanguageServerProtocol):
    """Messages in, handlers called, one reply per request; the stages of an LSP conversation."""

    def __init__(self, server: Any, converter: Any) -> None:
        super().__init__(server, converter)
        self.host: Host = server
        self.wire: Wire | None = None
        self.stage = "new"  # then "running", after shutdown "down"
        self.running: dict[Id, Reply] = {}

    # --- in ---

    def receive(self, body: bytes) -> None:
        """Handle one message; never raises."""
        message = jsonrpc.read_message(body)
        if isinstance(message, Call):
            self._call(message)
        elif isinstance(message, Notice):
            self._notice(message)
        elif isinstance(message, Answer):
            self._answered(message)
        else:
            self._refuse(message)

    def _call(self, call: Call) -> None:
        reply = Reply(call.id, self._send_data, self._forget, call.params)
        try:
            if call.method == types.INITIALIZE and self.stage != "new":
                raise Failure(jsonrpc.INVALID_REQUEST, "initialize was answered before")
            if call.method != types.INITIALIZE and self.stage == "new":
                raise Failure(jsonrpc.NOT_INITIALIZED, "the first request must be initialize")
            if self.stage == "down":
                raise Failure(jsonrpc.INVALID_REQUEST, "the server was shut down")
            handler = self.host.requests.get(call.method)
            if handler is None:
                raise Failure(jsonrpc.METHOD_NOT_FOUND, f"no such method: {call.method[:80]}")
            params = self.structured(call.method, call.params, id=call.id)
            self.running[call.id] = reply
            handler(params, reply)
        except Exception as problem:
            reply.fail(problem)

    def _notice(self, notice: Notice) -> None:
        try:
            if notice.method == types.EXIT:
                self.host.finish(0 if self.stage == "down" else 1)
            elif notice.method == types.CANCEL_REQUEST:
                self._cancel(notice.params)
            elif self.stage == "running" and (handler := self.host.notices.get(notice.method)) is not None:
                handler(self.structured(notice.method, notice.params))
        except Failure as problem:
            # Nothing of it was applied, and there is nobody to tell but the log.
            logger.warning("%s is ignored: %s", notice.method[:80], problem)
        except Exception as problem:
            logger.error("%s failed: %s", notice.method[:80], type(problem).__name__, exc_info=problem)

    def _cancel(self, params: Any) -> None:
        id = jsonrpc.id_of(params.get("id")) if isinstance(params, dict) else None
        reply = self.running.get(id) if id is not None else None
        if reply is not None:
            self.host.counters.add("requests_cancelled")
            reply.cancel()

    def _answered(self, answer: Answer) -> None:
        """The client answered a request of ours, which may have been given up meanwhile."""
        self._result_types.pop(answer.id, None)
        future = self._request_futures.pop(answer.id, None)
        if future is None or future.done():
            return
        if answer.error is None:
            future.set_result(answer.result)
        else:
            text = answer.error.get("message") if isinstance(answer.error, dict) else None
            future.set_exception(JsonRpcException(str(text)[:200]))

    def _refuse(self, refused: Refused) -> None:
        self._send_data({"jsonrpc": "2.0", "id": refused.id, "error": {"code": refused.code, "message": refused.text}})

    def structured(self, method: str, params: Any, **id: Id) -> Any:
        """Params as lsprotocol's type; as they came for methods it does not know. Raises Failure."""
        kind = self.get_message_type(method)
        if kind is None:
            return params
        message = {"jsonrpc": "2.0", "method": method, **id}
        if params is not None:
            message["params"] = _mended(method, params)
        try:
            return self._converter.structure(message, kind).params
        except Exception as problem:  # cattrs raises groups, and plain errors for some hooks
            where = transform_error(problem, path="$")[0] if isinstance(problem, ExceptionGroup) else "wrong shape"
            raise Failure(jsonrpc.INVALID_PARAMS, f"wrong params of {method}: {where[:200]}") from None

    # --- out ---

    def _send_data(self, data: Any) -> None:
        if self.wire is not None:
            self.wire.write(jsonrpc.frame(data, default=self._serialize_message))

    def _forget(self, reply: Reply) -> None:
        if self.running.get(reply.id) is reply:
            del self.running[reply.id]


def _mended(method: str, params: Any) -> Any:
    """Params without the faults that known clients have: a client that cannot start is of no use to anybody."""
    if method != types.INITIALIZE or not isinstance(params, dict):
        return params
    folders = params.get("workspaceFolders")
    wanted = {"processId", "clientInfo", "locale", "initializationOptions", "capabilities", "trace"}
    mended = {key: value for key, value in params.items() if key in wanted}
    if isinstance(folders, list):
        mended["workspaceFolders"] = [
            {"name": folder.get("uri", ""), **folder} if isinstance(folder, dict) else folder for folder in folders
        ]
    mended.setdefault("processId", None)
    if isinstance(params.get("capabilities"), dict):
        mended["capabilities"] = _used_capabilities(params["capabilities"])
    return mended


def _used_capabilities(given: dict[str, Any]) -> dict[str, Any]:
    """Only what we look at: values from a newer specification elsewhere must not make initialize fail."""
    used = {
        "general": ("positionEncodings",),
        "textDocument": ("inlineCompletion", "completion"),
        "workspace": ("configuration", "didChangeConfiguration", "executeCommand"),
        "window": ("workDoneProgress",),
    }
    return {
        group: {name: given[group][name] for name in names if name in given[group] and name != "completion"}
        for group, names in used.items()
        if isinstance(given.get(group), dict)
    }


def strict_converter() -> Any:
    """pygls' converter, without cattrs' habit of making texts of lists and numbers of texts: garbage is no edit."""
    converter = default_converter()  # type: ignore[no-untyped-call]
    for kind in (str, int, float, bool):
        converter.register_structure_hook(kind, _strictly)
    return converter


def _strictly(value: Any, kind: type) -> Any:
    if issubclass(kind, Enum):  # which are texts or numbers as well
        return kind(value)
    if type(value) is kind or (kind is float and type(value) is int):
        return value
    if kind is int and isinstance(value, float) and value.is_integer():  # some clients write every number so
        return int(value)
    raise TypeError(f"not a {kind.__name__}")
