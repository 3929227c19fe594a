"""`make demo`: completes at a cursor in each example file and shows what an editor would show.

The rest of a line is taken out of a real file; treegraft fills it from what is left before and after the cursor.
"""

from __future__ import annotations

import asyncio
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.text import Text

from treegraft_daemon import engine_client
from treegraft_daemon.config import Settings
from treegraft_daemon.errors import TreegraftError
from treegraft_grammars import language_of
from treegraft_protocol.messages import Suggestion, Suggestions

FOLDER = Path(__file__).parent
SHOWN_LINES = 3


@dataclass(frozen=True, slots=True)
class Hole:
    """The cursor stands behind `before` (first occurrence after `below`); `cut` was there and is taken out."""

    file: str
    below: str
    before: str
    cut: str


HOLES = [
    Hole("ledger.py", "def largest", "key=lambda transaction: ", "transaction.day, default=None)"),
    Hole("ledger.py", "def balances", "for posting in ", "transaction.postings:"),
    Hole(
        "queue.ts",
        "for (;;)",
        "if (left < this.items.length",
        " && this.compare(this.items[left], this.items[smallest]) < 0)",
    ),
    Hole("Board.tsx", "<ul>", ".filter((card) => card.column ", "=== column)"),
    Hole("cache.go", "func (c *Cache) Sweep", "defer ", "c.mu.Unlock()"),
    Hole("matrix.rs", "fn transpose", "for column in 0..", "self.columns {"),
    Hole("Inventory.java", "public int count", "return counts.", "getOrDefault(name, 0);"),
    Hole("ring.c", "bool ring_pop", "self->head = (", "self->head + 1) % self->capacity;"),
    Hole("backup.sh", "count=0", 'log "removed ', '$old"'),
    Hole("service.json", '"limits"', '"per_minute": ', "120}"),
]


async def demo(console: Console) -> int:
    """Show every hole; 1 when one stays empty."""
    console.print("starting the engine with the embedded model ...", style="dim")
    started = time.perf_counter()
    client = await engine_client.connect(Settings.load()[0], start=True)
    console.print(f"engine ready after {time.perf_counter() - started:.1f} s\n", style="dim")
    empty = 0
    try:
        for hole in HOLES:
            path = FOLDER / hole.file
            text, offset = cut(path.read_text(encoding="utf-8"), hole)
            started = time.perf_counter()
            found = await client.complete(
                document=path.as_uri(), path=str(path), language=language_of(str(path)), text=text, offset=offset, n=1
            )
            elapsed_ms = 1000 * (time.perf_counter() - started)
            show(console, hole, text, offset, found, elapsed_ms)
            empty += not found.items
    finally:
        await client.close()
    console.print("every completion above parses; `treegraft stop` ends the engine", style="dim")
    return 1 if empty else 0


def cut(source: str, hole: Hole) -> tuple[bytes, int]:
    """The text without the hole, and the byte offset of the cursor."""
    start = source.index(hole.before + hole.cut, source.index(hole.below)) + len(hole.before)
    text = source[:start] + source[start + len(hole.cut) :]
    return text.encode(), len(source[:start].encode())


def show(console: Console, hole: Hole, text: bytes, offset: int, found: Suggestions, elapsed_ms: float) -> None:
    prefix, suffix = text[:offset].decode(), text[offset:].decode()
    head = "".join(prefix.splitlines(keepends=True)[-SHOWN_LINES:])
    tail = "".join(suffix.splitlines(keepends=True)[:SHOWN_LINES]).rstrip("\n")
    line, column = prefix.count("\n") + 1, len(prefix) - prefix.rfind("\n")
    console.print(f"[bold]{hole.file}:{line}:{column}[/bold]  {summary(found, elapsed_ms)}", highlight=False)
    ghost = found.items[0].text.decode("utf-8", "replace") if found.items else ""
    console.print(Text.assemble(head, (ghost, "dim cyan italic"), ("▏", "bold cyan"), tail), "\n")


def summary(found: Suggestions, elapsed_ms: float) -> str:
    if not found.items:
        return f"{elapsed_ms:.0f} ms  nothing: {found.reason}"
    best: Suggestion = found.items[0]
    checks = best.n_checks / max(best.n_tokens, 1)
    return (
        f"{elapsed_ms:.0f} ms, {best.n_tokens} tokens, {checks:.1f} checks per token, "
        f"log weight {best.log_weight:.2f}, log probability {best.log_probability:.2f}"
    )


if __name__ == "__main__":
    try:
        sys.exit(asyncio.run(demo(Console())))
    except TreegraftError as error:
        sys.exit(f"treegraft: {error}")
