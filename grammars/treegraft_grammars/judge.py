"""The independent check: does a completion add a syntax error, by a real tree-sitter parse.

Uses the public tree-sitter library only and knows nothing of the simulator: that the two agree is evidence, not
construction. It judges the grammar as shipped, without overlays, and never says what to write instead.

Words. The *first error* of a text is the place where the first token starts that no version of tree-sitter's parse
could take (after the blanks the lexer skips; a text that ends too early has it at its end). The *lead* of a suffix is
the number of blank bytes it starts with. The *joint* with the suffix runs from the completion to the start of the
suffix's first token.

`adds_error(prefix, completion, suffix)`, in this order, where base = prefix + suffix, combined = prefix + completion +
suffix, and places in the suffix are counted from the suffix's start in both texts:

1. A blank completion adds no error. Nor does one whose combined text parses clean.
2. Base parses clean, combined does not: an error is added.
3. Base is broken. If the first error of combined lies beyond the joint (behind the first byte of the suffix's first
   token; at the very end, if the suffix is blank) and not before the first error of base, no error is added: what was
   typed reads on into the suffix at least as far as before (blanks at the end of the suffix aside).
4. Otherwise, if base's first error lies at or behind the cursor (blanks before the cursor do not count), an error is added.
5. Otherwise base was broken before the cursor, and the two trees are compared. An error is added if an ERROR or MISSING
   node begins inside the completion, or at one of its joints where base had none, or if there are more of them than
   before; where an ERROR node begins in the cursor's line and goes on behind it, those in it are not counted, since it had
   taken them in.

`swallows(prefix, completion, suffix)`: a comment or a string that begins in the completion goes on over what follows. No
error need come of it: what it swallows may end where another comment does.

Rules 1 and 2 need one incremental parse (0.1-0.4 ms for a 30 KB file), as the text of the key before with its completion was
most often clean, too; the others parse two broken texts anew, 5-40 ms each. A first error before the cursor is known from
the key before; another one is read from the log of one more parse, which ends there.

Of some broken texts tree-sitter's parse never ends, and takes all memory that there is (one mutant of Kotlin in two
thousand): it is stopped where it comes no further, and `EndlessParse` is raised. Nothing can be said of such a text.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass

from tree_sitter import Language, LogType, Node, Parser, Tree

from . import registry
from .edits import common_ends, common_prefix

KEPT = 2  # trees
LOGGED = 4096  # bytes, about 12 ms
BEFORE = 256  # bytes before what may be the first error, from where on the parser's log is read
CHUNK = 4096
MOST_BYTES_OF_A_CHARACTER = 4
SEEN_OF_SUFFIX = 4096  # bytes in which something that is not blank is looked for
# How often a parse may say that it is at one place: half a second, and more for the end of a long text, where it all comes
# together. Parses of 100 KB that end stay at one for 2,300 times at most, those of 10 KB for 200.
MOST_AT_ONE_PLACE, MORE_BY_BYTE = 2000, 1 / 20
_OF_STRINGS = frozenset({"concatenated_string", "chained_string"})  # several, side by side: none is open


def ends_a_comment(suffix: bytes) -> bool:
    """Whether the first mark of a block comment in `suffix` is an end: of one that begins before it, or should."""
    end = suffix.find(b"*/")
    return end >= 0 and suffix.find(b"/*", 0, end) < 0


class EndlessParse(Exception):
    """tree-sitter comes no further in a text, and would go on for ever."""


class EndingParser:
    """tree-sitter's parser, but for parses that never end."""

    def __init__(self, language: Language) -> None:
        self._parser = Parser(language)
        self._endless: bytes | None = None  # no text that begins like this is read to its end

    def parse(self, text: bytes, tree: Tree | None = None) -> Tree:
        """As that of tree-sitter; raises EndlessParse."""
        if self._endless is not None and text.startswith(self._endless):
            raise EndlessParse
        most = MOST_AT_ONE_PLACE + len(text) * MORE_BY_BYTE
        n_at, stuck_at = Counter[int](), -1

        def is_stuck(offset: int, has_error: bool) -> bool:
            nonlocal stuck_at
            n_at[offset] += 1
            if n_at[offset] > most:
                stuck_at = offset
            return stuck_at >= 0

        def read(offset: int, point: object) -> bytes:
            return text[offset : offset + CHUNK]

        try:
            if tree is None:
                return self._parser.parse(read, progress_callback=is_stuck)
            return self._parser.parse(read, tree, progress_callback=is_stuck)
        except ValueError:  # so a parse that was stopped ends
            if stuck_at < 0:
                raise
            self._parser.reset()
            self._endless = text[: stuck_at + BEFORE]
            raise EndlessParse from None


class Judge:
    """Judges completions of one document after the other; keeps the tree of the last base text. One thread at a time.

    All questions raise EndlessParse.
    """

    def __init__(self, language: str) -> None:
        """Raises UnknownLanguage or UnsupportedGrammar."""
        try:
            self._language = Language(registry.load(language))
        except ValueError as problem:  # an ABI outside what the library reads
            raise registry.UnsupportedGrammar(f"cannot judge {language}: {problem}") from problem
        self._parser = EndingParser(self._language)
        self._hangs = registry.row_of(language).hangs
        # The last texts, each with what it is without its completion, and their trees; latest first.
        self._kept: list[tuple[bytes, bytes, Tree]] = []
        # How the last broken text began, and where its first error was: as in all texts that begin so.
        self._first: tuple[bytes, int] | None = None

    def adds_error(self, prefix: bytes, completion: bytes, suffix: bytes) -> bool:
        """Whether inserting `completion` between `prefix` and `suffix` adds a syntax error, by the rules above."""
        if not completion.strip():
            return False
        suffix = _ended(suffix, self._hangs)
        base = prefix + suffix
        if not self._parse(prefix + completion + suffix, base).root_node.has_error:
            return False
        if not self._parse(base).root_node.has_error:
            return True
        return self._adds_to_broken(prefix, completion, suffix)

    def swallows(self, prefix: bytes, completion: bytes, suffix: bytes) -> bool:
        """Whether a comment or a string that begins in the completion takes in what stands behind the cursor.

        Not when that was part of a comment, or a string, before. Where the document was broken, a string may end on the
        cursor's line: half of it may have been there. And a comment may begin whose end stands below already, if with it
        all of the document parses.
        """
        if not completion:
            return False
        suffix = _ended(suffix, self._hangs)
        base, joint = prefix + suffix, len(prefix) + len(completion)
        after = self._parse(prefix + completion + suffix, base)
        if not _may_swallow(after, len(prefix), joint):
            return False
        tree = self._parse(base)
        broken = tree.root_node.has_error
        skipped = suffix.find(b"\n") + 1 if broken else 0
        rest = suffix[skipped : skipped + SEEN_OF_SUFFIX]
        lead = len(rest) - len(rest.lstrip())
        if (broken and not skipped) or lead == len(rest):
            return False
        probe = skipped + lead
        node = _quiet(after, joint - 1, joint + probe + 1)
        if node is None or node.start_byte < len(prefix):
            return False
        if broken and "comment" in node.type and ends_a_comment(suffix) and not after.root_node.has_error:
            return False
        before = _quiet(tree, len(prefix) + probe, len(prefix) + probe + 1)
        return before is None or ("comment" in before.type) != ("comment" in node.type)

    def first_error(self, text: bytes) -> int | None:
        """Byte offset of the first error of `text`, None if it parses clean."""
        place = self._first_error(_ended(text, self._hangs))
        return None if place is None else min(place, len(text))

    def _first_error(self, text: bytes) -> int | None:
        if self._first is not None and text.startswith(self._first[0]):
            return self._first[1]
        tree = self._parse(text)
        if not tree.root_node.has_error:
            return None
        # No error shows in what the last broken text had before its own, nor before the first broken node. The latter but
        # for some that the tree hides: a MISSING end of line among others (1 text in 10,000), or what another version of the
        # parse did better without. So where a whole log is cheap it is read.
        known = 0 if self._first is None else common_prefix(self._first[0], text)
        broken = min(node.start for node in _errors(tree))
        begin = (known if broken - known < LOGGED else broken) - BEFORE
        refusal = _logged(self._language, text, begin) if begin > 0 else None
        if refusal is None or refusal.start is None:  # the refused token was read before the log began
            refusal = _logged(self._language, text)
        if refusal is None or refusal.start is None:
            return broken  # the log tells nothing that the tree owns to
        # What was decided by so much of the text is so for every text that begins with it.
        seen = refusal.seen + MOST_BYTES_OF_A_CHARACTER
        self._first = (text[:seen], refusal.start) if seen < len(text) else None
        return refusal.start

    def _adds_to_broken(self, prefix: bytes, completion: bytes, suffix: bytes) -> bool:
        combined = prefix + completion + suffix
        before, after = self._first_error(prefix + suffix), self._first_error(combined)
        verdict = _by_first_errors(before, after, prefix, completion, suffix)
        if verdict is not None:
            return verdict
        old, new = self._parse(prefix + suffix), self._parse(combined)
        return _by_nodes(_errors(old), _errors(new), prefix, completion, suffix)

    def tree(self, text: bytes) -> Tree:
        """tree-sitter's tree of `text`, a line break added at its end where the grammar needs one."""
        return self._parse(_ended(text, self._hangs))

    def _parse(self, text: bytes, base: bytes | None = None) -> Tree:
        """The tree of `text`, by edits of a kept one if it may be; `base` is the text without its completion.

        An incremental parse that finds no error is believed. One that does may owe it to what it reused, and what it
        makes of the error depends on that, so a tree with errors is always parsed from nothing.
        """
        base = text if base is None else base
        for idx, (known, _, tree) in enumerate(self._kept):
            if known == text:
                self._kept.insert(0, self._kept.pop(idx))
                return tree
        tree = self._grown(text, base) or self._parser.parse(text)
        self._kept = [(text, base, tree), *self._kept[: KEPT - 1]]
        return tree

    def _grown(self, text: bytes, base: bytes) -> Tree | None:
        """The tree of `text` by edits of a kept one; None if there is an error, or nothing near enough to begin with."""
        if not self._kept:
            return None
        old, old_base, tree = next((it for it in self._kept if not it[2].root_node.has_error), self._kept[0])
        # The last completion is taken out, what was typed put in, then the new completion: three small edits, where one
        # that held them all might span the file.
        for new in (old_base, base, text):
            start, tail = common_ends(old, new)
            if 2 * (start + tail) <= len(new):
                return None
            if old != new:
                tree = _edited(tree, old, start, len(old) - tail, new, len(new) - tail)
            old = new
        grown = self._parser.parse(text, tree)
        return None if grown.root_node.has_error else grown


def _ended(text: bytes, hangs: bool) -> bytes:
    """A scanner that never stops cannot be interrupted: it must not see the end of a line that is not ended."""
    return text + b"\n" if hangs and not text.endswith(b"\n") else text


def _may_swallow(tree: Tree, cursor: int, joint: int) -> bool:
    """Whether any comment or string that begins at `cursor` or later goes on over the byte at `joint`."""
    node = tree.root_node.descendant_for_byte_range(joint - 1, joint + 1)
    while node is not None and node.start_byte >= cursor:
        if "comment" in node.type or "string" in node.type:
            return True
        node = node.parent
    return False


def _quiet(tree: Tree, start: int, end: int) -> Node | None:
    """The whole comment or string that holds these bytes; None if there is none."""
    node = tree.root_node.descendant_for_byte_range(start, end)
    # What is between the quotes is a node of its own.
    while node is not None and node.parent is not None and "string" in node.type and "string" in node.parent.type:
        node = node.parent
    if node is None or node.type in _OF_STRINGS:
        return None
    return node if "comment" in node.type or "string" in node.type else None


def adds_error_slow(language: str, prefix: bytes, completion: bytes, suffix: bytes) -> bool:
    """The same rules by parses from nothing and full logs: slow, plain, the oracle of tests and tables."""
    if not completion.strip():
        return False
    grammar = Language(registry.load(language))
    suffix = _ended(suffix, registry.row_of(language).hangs)
    combined = prefix + completion + suffix
    before, after = first_error_slow(grammar, prefix + suffix), first_error_slow(grammar, combined)
    verdict = _by_first_errors(before, after, prefix, completion, suffix)
    if verdict is not None:
        return verdict
    old, new = Parser(grammar).parse(prefix + suffix), Parser(grammar).parse(combined)
    return _by_nodes(_errors(old), _errors(new), prefix, completion, suffix)


def first_error_slow(language: str | Language, text: bytes) -> int | None:
    """`Judge.first_error` by the whole log of one parse from nothing: about 3 ms per KB."""
    hangs = isinstance(language, str) and registry.row_of(language).hangs
    refusal = first_refusal(language, _ended(text, hangs))
    return None if refusal is None or refusal.start is None else min(refusal.start, len(text))


def first_refusal(language: str | Language, text: bytes) -> Refusal | None:
    """Where a parse from nothing first refused a token of `text`, None if it parses clean; raises EndlessParse."""
    grammar = Language(registry.load(language)) if isinstance(language, str) else language
    if not EndingParser(grammar).parse(text).root_node.has_error:
        return None
    refusal = _logged(grammar, text)
    assert refusal is not None and refusal.start is not None, (
        "a text with an error has a token that was lexed and refused"
    )
    return refusal


def _by_first_errors(
    before: int | None, after: int | None, prefix: bytes, completion: bytes, suffix: bytes
) -> bool | None:
    """Rules 1 to 4: whether an error is added, None if the trees must tell."""
    if after is None:
        return False
    if before is None:
        return True
    reached_before, reached_after = before - len(prefix), after - len(prefix) - len(completion)
    lead, end = len(suffix) - len(suffix.lstrip()), len(suffix.rstrip())
    beyond_joint = reached_after > lead or (lead == len(suffix) and reached_after == lead)
    # Blanks at the very end hold no token: whether an error lies before or behind them says nothing.
    if beyond_joint and min(reached_after, end) >= min(reached_before, end):
        return False
    # A zero-width token, such as Python's end of a line, starts before the blanks it was found behind.
    return True if before >= len(prefix.rstrip()) else None


@dataclass(frozen=True, slots=True)
class _ErrorNode:
    """An ERROR or MISSING node; `hidden` when only its parent [start, end) can be seen (a MISSING end of line, say)."""

    start: int
    end: int
    hidden: bool


def _by_nodes(old: list[_ErrorNode], new: list[_ErrorNode], prefix: bytes, completion: bytes, suffix: bytes) -> bool:
    """Rule 5."""
    opening, cursor, end = len(prefix.rstrip()), len(prefix), len(prefix) + len(completion)
    # What an unfinished statement had taken in shows again: it does not count.
    line = prefix.rfind(b"\n") + 1
    taken = [node for node in old if line <= node.start < cursor <= node.end and not node.hidden]
    start, stop = min((node.start for node in taken), default=cursor), max((node.end for node in taken), default=cursor)
    n_old = sum(not start <= node.start < stop for node in old)
    n_new = sum(not start <= node.start < stop + len(completion) for node in new)
    if n_new > n_old:
        return True
    closing = end + len(suffix) - len(suffix.lstrip())
    known = {node.start for node in old}
    for node in new:
        # One that holds bytes and starts at the cursor starts with the completion's first token.
        inside = cursor < node.start < end or (node.start == cursor < node.end and not node.hidden)
        at_opening = opening <= node.start <= cursor and node.start not in known
        at_closing = end <= node.start <= closing and node.start - len(completion) not in known
        if inside or at_opening or at_closing:
            return True
    return False


def _errors(tree: Tree) -> list[_ErrorNode]:
    """All ERROR and MISSING nodes, in document order of their parents."""
    found: list[_ErrorNode] = []
    waiting: list[Node] = [tree.root_node] if tree.root_node.has_error else []
    while waiting:
        node = waiting.pop()
        children = [child for child in node.children if child.has_error]
        here = node.is_error or node.is_missing
        if here or not children:
            found.append(_ErrorNode(node.start_byte, node.end_byte, hidden=not here))
        waiting.extend(reversed(children))
    return found


def _edited(tree: Tree, old: bytes, start: int, old_end: int, new: bytes, new_end: int) -> Tree:
    """A copy of the tree of `old`, told that bytes [start, old_end) became `new`'s [start, new_end)."""
    copy = tree.copy()
    copy.edit(start, old_end, new_end, _point(old, start), _point(old, old_end), _point(new, new_end))
    return copy


def _point(text: bytes, offset: int) -> tuple[int, int]:
    return text.count(b"\n", 0, offset), offset - (text.rfind(b"\n", 0, offset) + 1)


@dataclass(frozen=True, slots=True)
class Refusal:
    """read: end of the last token that was taken; start: where the refused one starts, None if it was not lexed.

    seen: no byte from here on, save those of one character, had been read when it was refused.
    """

    read: int
    start: int | None
    seen: int


def _logged(language: Language, text: bytes, begin: int = 0) -> Refusal | None:
    """The first error of a text that has one, from the parser's log. None if its token begins before the line of `begin`."""
    begin = text.rfind(b"\n", 0, begin) + 1
    log = _Log(text, begin)
    parser = Parser(language, logger=None if begin else log)

    def read(offset: int, point: object) -> bytes:
        # A log costs as much as ten parses, so it begins late, and nothing is parsed behind what it is read for.
        if offset < begin:
            return text[offset:begin]
        if parser.logger is None:
            parser.logger = log
        return text[offset : offset + CHUNK]

    try:
        parser.parse(read, progress_callback=lambda offset, has_error: log.resumed)
    except ValueError:  # so a parse that was stopped ends
        if not log.resumed:
            raise
    return log.first_error()


class _Log:
    """Listens to one parse and remembers the furthest `detect_error` before the first `resume`.

    A version that cannot take its lookahead is paused ("detect_error"); when all are, one is resumed with error recovery
    (`ts_parser__condense_stack`; seldom one is though another goes on).
    The log gives a version's place (end of its last token) when its turn begins ("process"), every character the lexer
    skips or consumes, and the lookahead's whole size, blanks included.
    """

    def __init__(self, text: bytes, begin: int) -> None:
        """`begin`: no byte before that one is new to the parser when the log begins."""
        self._line_starts = [0, *(match.end() for match in re.finditer(rb"\n", text))]
        self._end = len(text)
        self._seen = begin
        self._place: int | None = None  # end of the last token of the version in turn
        self._advanced = 0  # bytes the lexer moved from there in this attempt (in an ERROR token: in all attempts)
        self._blank = 0  # of these, bytes before the token's start
        self._frozen = False  # an ERROR token keeps the start it had at its first strange character
        self._starts: dict[int, int] = {}  # place -> start of the token lexed there last (a later version may reuse it)
        self._refused: list[tuple[int, int | None]] = []
        self.resumed = False

    def first_error(self) -> Refusal | None:
        """The furthest place; of several tokens refused there, the one that starts last."""
        if not self._refused:
            return None
        read, start = max(self._refused, key=lambda place: (place[0], -1 if place[1] is None else place[1]))
        return Refusal(read, start, self._seen if self.resumed else self._end)

    def __call__(self, kind: LogType, message: str) -> None:
        if self.resumed:
            return
        if message.startswith("process "):
            row, column = re.findall(r"(?:row|col):(\d+)", message)
            self._place = self._line_starts[int(row)] + int(column)
            self._frozen = False
        elif kind == LogType.LEX:
            self._advance(message)
        elif self._place is None:
            # In the middle of a token, where the log began late. If that is refused, it began too late.
            self.resumed = message.startswith("detect_error")
        elif message.startswith("lex_"):
            if not self._frozen:
                self._advanced = self._blank = 0
        elif message.startswith("skip_unrecognized_character"):
            self._frozen = True
        elif message.startswith("lexed_lookahead"):
            size = int(message[message.rindex(":") + 1 :])
            self._starts[self._place] = self._place + min(self._blank, size)
        elif message.startswith("detect_error"):
            self._refused.append((self._place, self._starts.get(self._place)))
        elif message.startswith("resume "):
            self.resumed = True

    def _advance(self, message: str) -> None:
        """`skip character:' '`, `consume character:955`: printable ASCII is quoted, all else a number."""
        what = message[message.index(":") + 1 :]
        size = 1 if what.startswith("'") else len(_utf8(int(what)))
        self._advanced += size
        # Without a place it may have gone back and read the same again: then this is too much, and does no harm.
        self._seen = self._seen + size if self._place is None else max(self._seen, self._place + self._advanced)
        if message.startswith("skip") and not self._frozen:
            self._blank = self._advanced


def _utf8(code_point: int) -> bytes:
    """A byte that is no UTF-8 is logged as -1 and is one byte long."""
    return chr(code_point).encode("utf-8", "surrogatepass") if code_point >= 0 else b"?"
