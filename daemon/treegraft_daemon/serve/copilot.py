"""What clients of Copilot's language server say beyond LSP, and what they are answered: the same suggestions.

There is nobody to sign in to, and there are no next-edit suggestions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from lsprotocol import types

from treegraft_daemon.serve import jsonrpc
from treegraft_daemon.serve.jsonrpc import Failure, Reply
from treegraft_daemon.serve.suggestions import Offer

if TYPE_CHECKING:
    from treegraft_daemon.serve.server import Server


class Copilot:
    """The dialect as one client's server speaks it: what `requests` and `notices` name, with its handlers."""

    def __init__(self, server: Server) -> None:
        self._server = server
        signed_in = {"status": "OK", "user": "local"}
        self.requests: dict[str, Callable[[Any, Reply], None]] = {
            "signIn": lambda params, reply: reply.result({"status": "AlreadySignedIn", "user": "local"}),
            "signInConfirm": lambda params, reply: reply.result(signed_in),
            "signOut": lambda params, reply: reply.result({"status": "NotSignedIn"}),
            "checkStatus": lambda params, reply: reply.result(signed_in),
            "getVersion": lambda params, reply: reply.result({"version": server.version}),
            "setEditorInfo": lambda params, reply: reply.result("OK"),
            "textDocument/copilotPanelCompletion": self._panel_completion,
            # As that dialect was before inline completions were in the protocol; some clients still speak it.
            "getCompletions": lambda params, reply: self._completions(params, reply, invoked=False),
            "getCompletionsCycling": lambda params, reply: self._completions(params, reply, invoked=True),
            "notifyShown": self._shown,
            "notifyAccepted": self._accepted,
            "notifyRejected": lambda params, reply: reply.result("OK"),
            # An empty answer is how that dialect says that there are none.
            "textDocument/copilotInlineEdit": lambda params, reply: reply.result({"edits": []}),
        }
        self.notices: dict[str, Callable[[Any], None]] = {
            "textDocument/didShowCompletion": lambda params: server.counters.add("suggestions_shown"),
            "textDocument/didPartiallyAcceptCompletion": lambda params: server.counters.add(
                "suggestions_partly_accepted"
            ),
            "textDocument/didShowInlineEdit": lambda params: None,
            "textDocument/didFocus": self._did_focus,
        }

    def _panel_completion(self, params: Any, reply: Reply) -> None:
        """All candidates: an inline completion by hand."""
        self._server.inline_completion(self._wanted(params, reply, invoked=True), reply)

    def _completions(self, params: Any, reply: Reply, invoked: bool) -> None:
        """Texts that replace the line up to the cursor."""
        server = self._server
        doc = params.get("doc") if isinstance(params, dict) else None
        if not isinstance(doc, dict):
            raise Failure(jsonrpc.INVALID_PARAMS, "doc is missing")
        asked = {"textDocument": {"uri": doc.get("uri")}, "position": doc.get("position")}
        wanted = self._wanted(asked, reply, invoked)
        uri, position = wanted.text_document.uri, wanted.position
        here = types.Range(types.Position(position.line, 0), position)

        def render(offers: list[Offer]) -> dict[str, Any]:
            typed = self._line_before(uri, position)
            return {
                "completions": [
                    {
                        "uuid": server.ledger.offer(uri, offer.text),
                        "text": typed + offer.inserted,
                        "displayText": offer.inserted,
                        "range": here,
                        "position": position,
                        "docVersion": doc.get("version"),
                    }
                    for offer in offers
                ]
            }

        indent = indent_of({"formattingOptions": doc})
        server.suggest(uri, position, reply, render, "inline", invoked, indent=indent)

    def _wanted(self, params: Any, reply: Reply, invoked: bool) -> types.InlineCompletionParams:
        kind = types.InlineCompletionTriggerKind.Invoked if invoked else types.InlineCompletionTriggerKind.Automatic
        asked = {**(params if isinstance(params, dict) else {}), "context": {"triggerKind": kind.value}}
        wanted = self._server.protocol.structured(types.TEXT_DOCUMENT_INLINE_COMPLETION, asked, id=reply.id)
        assert isinstance(wanted, types.InlineCompletionParams), "that method's"
        return wanted

    def _line_before(self, uri: str, position: types.Position) -> str:
        """The line of the position, up to it."""
        document, encoding = self._server.documents.get(uri), self._server.encoding
        if document is None:
            return ""
        start, end = (document.offset_at(position.line, at, encoding) for at in (0, position.character))
        return document.text[start:end].decode("utf-8", "replace")

    def _shown(self, params: Any, reply: Reply) -> None:
        self._server.counters.add("suggestions_shown")
        reply.result("OK")

    def _accepted(self, params: Any, reply: Reply) -> None:
        self._server.accepted(str(params.get("uuid")) if isinstance(params, dict) else "")
        reply.result("OK")

    def _did_focus(self, params: Any) -> None:
        document = params.get("textDocument") if isinstance(params, dict) else None
        uri = document.get("uri") if isinstance(document, dict) else None
        if isinstance(uri, str):
            self._server.documents.use(uri)


def indent_of(params: Any) -> str:
    """One level of indentation, as the dialect's `formattingOptions` say it; "" when they do not."""
    options = params.get("formattingOptions") if isinstance(params, dict) else None
    size = options.get("tabSize") if isinstance(options, dict) else None
    spaces = options.get("insertSpaces") if isinstance(options, dict) else None
    if not isinstance(size, int) or not isinstance(spaces, bool) or not 0 < size <= 16:
        return ""
    return " " * size if spaces else "\t"
