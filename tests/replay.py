"""Typing played to a language server, as an editor would: each change is sent, the elder request cancelled, a new one
made; what comes back is held against the text, and taken when it is what would have been typed."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

from lsp_client import Conversation, asking, changing, opening
from typist import Stroke, Typist, position

QUIET = frozenset({"over", "jump"})  # the text does not change, so no editor asks


@dataclass
class Tally:
    """What came of it. Latencies in milliseconds, of requests that were answered before the next key."""

    kinds: Counter[str] = field(default_factory=Counter)
    n_characters: int = 0
    n_saved: int = 0
    n_requests: int = 0
    n_shown: int = 0
    n_breaking: int = 0
    latencies_ms: list[float] = field(default_factory=list)
    late_ms: list[float] = field(default_factory=list)  # of requests that the next key came before

    @property
    def n_strokes(self) -> int:
        return sum(self.kinds.values())


async def replay(
    talk: Conversation,
    uri: str,
    language: str,
    typist: Typist,
    tally: Tally,
    *,
    speed: float,
    breaks: Callable[[str, str, str], bool],
    most_strokes: int | None = None,
) -> None:
    """Type until the file is there. `breaks` says of (before, inserted, after) whether it adds a syntax error.

    Raises AssertionError when the server's text is not the editor's, or a request is not answered exactly once.
    """
    client = talk.client
    held, version = typist.text, 1
    tally.n_characters += len(typist.left)
    client.send(opening(held, uri, language, version))
    pending: tuple[int, float] | None = None
    ids: list[int] = []
    strokes = typist.strokes()
    shown = judged = ""
    is_breaking = False
    while most_strokes is None or version < most_strokes:
        stroke = typist.accept(shown) if len(shown) > 1 else None
        if stroke is None:
            stroke = next(strokes, None)
        else:
            tally.n_saved += len(stroke.text) - 1
        if stroke is None:
            break
        tally.kinds[stroke.kind] += 1
        shown = ""
        if stroke.kind in QUIET:
            await asyncio.sleep(stroke.gap_s / speed)
            continue
        version += 1
        change = {"range": _range(held, stroke), "text": stroke.text}
        held = typist.text
        messages: list[dict[str, Any]] = [changing(version, change, uri=uri)]
        if pending is not None and pending[0] not in client.replies:
            messages.append({"jsonrpc": "2.0", "method": "$/cancelRequest", "params": {"id": pending[0]}})
        where = position(held, typist.cursor)
        request = client.call_message("textDocument/inlineCompletion", asking(where["line"], where["character"], uri))
        client.send(*messages, request)
        pending = (request["id"], perf_counter())
        ids.append(request["id"])
        tally.n_requests += 1
        shown = await _shown_meanwhile(client, pending, stroke.gap_s / speed, tally)
        document = talk.server.documents.get(uri)
        async with asyncio.timeout(20):
            while document is None or document.version != version:
                await asyncio.sleep(0.001)
                document = talk.server.documents.get(uri)
        assert document.text == held.encode(), f"the server holds another text after {stroke}"
        if shown:
            tally.n_shown += 1
            # What is typed along leads to the same document: it is held against the one that it was suggested for.
            accepted = held[: typist.cursor] + shown + held[typist.cursor :]
            if accepted != judged:
                judged, is_breaking = accepted, breaks(held[: typist.cursor], shown, held[typist.cursor :])
            tally.n_breaking += is_breaking
    await asyncio.gather(*(client.reply(id) for id in ids))
    assert all(len(client.replies[id]) == 1 for id in ids)
    client.notify("textDocument/didClose", {"textDocument": {"uri": uri}})


async def _shown_meanwhile(client: Any, pending: tuple[int, float], gap_s: float, tally: Tally) -> str:
    """The suggestion that is on the screen when the next key comes; "" if there is none."""
    id, asked_at = pending
    end = asked_at + gap_s
    try:
        async with asyncio.timeout(max(0.0, end - perf_counter())):
            reply = await client.reply(id)
    except TimeoutError:
        tally.late_ms.append(gap_s * 1000)
        return ""
    tally.latencies_ms.append((perf_counter() - asked_at) * 1000)
    await asyncio.sleep(max(0.0, end - perf_counter()))
    items = reply.get("result", {}).get("items", [])
    return str(items[0]["insertText"]) if items else ""


def _range(text: str, stroke: Stroke) -> dict[str, Any]:
    return {"start": position(text, stroke.start), "end": position(text, stroke.end)}


def cut(text: str, rng: random.Random, n_lines: int) -> tuple[str, str, str]:
    """A file as what stands before, a few whole lines to be typed, and what stands behind, from their last line break on."""
    lines = text.splitlines(keepends=True)
    start = rng.randrange(max(1, len(lines) - n_lines))
    middle = lines[start : start + n_lines]
    rest = "".join(middle)
    typed = rest.removesuffix("\n")
    return "".join(lines[:start]), typed, rest[len(typed) :] + "".join(lines[start + n_lines :])
