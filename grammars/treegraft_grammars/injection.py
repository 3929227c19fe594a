"""Languages inside of others: which one is written at a cursor, and what of the text is its own.

HTML holds JavaScript, JSON and CSS in its scripts and styles, Markdown any language in its fenced blocks. Where such a
*region* begins and ends is read from tree-sitter's tree of the whole document. Inside of one, the grammar of the inner
language is asked about the region's text only; all that the outer language forbids there is the mark that would end the
region too early: `</script`, `</style`, a line that is a closing fence.

Only fences that begin in the first column and stand in no list or quotation are regions: the lines of others carry
indentation or marks that are not the inner language's.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

from tree_sitter import Node

from .registry import language_of_word

# Above this length a line is no fence, and a mark of HTML is looked for at its end only.
_LONGEST_LINE = 1000


@dataclass(frozen=True, slots=True)
class Region:
    """The text around a cursor that is of one language.

    closer: matches what would end the region; None for a whole document, which nothing ends.
    """

    language: str
    prefix: bytes
    suffix: bytes
    closer: re.Pattern[bytes] | None = None

    def closed_by(self, text: bytes) -> bool:
        """Whether `text`, written at the cursor, ends the region too early, whatever follows."""
        if self.closer is None:
            return False
        line = self.prefix[_start_of_line(self.prefix) :]
        if len(line) > _LONGEST_LINE:
            line = b"x" + line[-_LONGEST_LINE:]
        return self.closer.search(line + text) is not None

    def closed_before_suffix(self, text: bytes) -> bool:
        """The same with the rest of the region behind `text`."""
        return self.closed_by(text + re.split(rb"[\r\n]", self.suffix, maxsplit=1)[0] + b"\n")


def is_host(language: str) -> bool:
    """Whether documents of this language can hold regions of others."""
    return language in _HOSTS


def region_at(language: str, root: Node, prefix: bytes, suffix: bytes) -> Region | None:
    """The region of another language at the cursor; None where the document's own language, or none we know, is written.

    `root` is tree-sitter's tree of `prefix + suffix`.
    """
    return _HOSTS[language](root, prefix, suffix)


def _in_html(root: Node, prefix: bytes, suffix: bytes) -> Region | None:
    text, cursor = prefix + suffix, len(prefix)
    for node in _around(root, cursor):
        tag = node.prev_sibling
        if node.type != "raw_text" or tag is None or tag.type != "start_tag":
            continue
        name = _text(tag, "tag_name", text)
        language = _HTML_TYPES.get((name, _type_of(tag, text)))
        if language is not None:
            start, end = tag.end_byte, node.end_byte
            return Region(language, text[start:cursor], text[cursor:end], re.compile(rb"(?i)</" + name))
    return None


def _type_of(tag: Node, text: bytes) -> bytes:
    """The value of the first attribute `type`, "" if there is none. JSON has many names."""
    for attribute in tag.children:
        if attribute.type == "attribute" and _text(attribute, "attribute_name", text) == b"type":
            value = _text(attribute, "attribute_value", text).strip()
            return b"application/json" if value.endswith(b"+json") else value
    return b""


def _text(node: Node, kind: str, text: bytes) -> bytes:
    """The first node of a kind in `node`, lower-cased; "" if there is none."""
    for child in _walk(node):
        if child.type == kind:
            return text[child.start_byte : child.end_byte].lower()
    return b""


_HTML_TYPES = {
    **dict.fromkeys(
        [(b"script", name) for name in (b"", b"module", b"text/javascript", b"application/javascript")], "javascript"
    ),
    **dict.fromkeys(
        [(b"script", name) for name in (b"application/json", b"importmap", b"speculationrules")], "json"
    ),
    **dict.fromkeys([(b"style", name) for name in (b"", b"text/css")], "css"),
}  # fmt: skip


def _in_markdown(root: Node, prefix: bytes, suffix: bytes) -> Region | None:
    text, cursor = prefix + suffix, len(prefix)
    # Lists and quotations are not entered.
    blocks = [
        node for node in _around(root, cursor, inside=("document", "section")) if node.type == "fenced_code_block"
    ]
    for block in blocks:
        fences = [child for child in block.children if child.type == "fenced_code_block_delimiter"]
        opening = text[fences[0].start_byte : fences[0].end_byte]
        if block.start_byte != _start_of_line(text[: block.start_byte]) or opening.strip(b"`~"):
            continue
        first_line = re.compile(rb"([^\r\n]*)(\r\n|\r|\n|\Z)").match(text, fences[0].end_byte)
        assert first_line is not None, "the pattern matches everywhere"
        start = first_line.end()
        is_closed = len(fences) > 1
        # What is written at the start of the closing line would stand before its fence, and so undo it.
        end = _start_of_line(text[: fences[1].start_byte]) - 1 if is_closed else len(text)
        if not first_line[2] or not start <= cursor <= end:
            continue
        word = re.match(rb"[\s{.]*([^\s{},;:]*)", first_line[1])
        language = language_of_word(word[1].decode("utf-8", "replace")) if word else None
        if language is not None:
            fence = re.escape(opening[:1]) + b"{%d,}" % len(opening)
            closer = re.compile(rb"(?:\A|(?<=[\r\n])) {0,3}" + fence + rb"[ \t]*[\r\n]")
            return Region(language, text[start:cursor], text[cursor : end + is_closed], closer)
    return None


_HOSTS: dict[str, Callable[[Node, bytes, bytes], Region | None]] = {"html": _in_html, "markdown": _in_markdown}


def _around(root: Node, cursor: int, inside: Collection[str] | None = None) -> Iterator[Node]:
    """The nodes that hold the cursor or touch it, each before its children; those in nodes of some kinds only."""
    waiting = [root]
    while waiting:
        node = waiting.pop()
        yield node
        if inside is None or node.type in inside:
            waiting.extend(child for child in reversed(node.children) if child.start_byte <= cursor <= child.end_byte)


def _walk(node: Node) -> Iterator[Node]:
    yield node
    for child in node.children:
        yield from _walk(child)


def _start_of_line(text: bytes) -> int:
    """Where the last line of `text` begins."""
    return max(text.rfind(b"\n"), text.rfind(b"\r")) + 1
