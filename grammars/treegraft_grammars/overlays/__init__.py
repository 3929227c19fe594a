"""Where a grammar is looser than its language: rules as data, one module per language.

An overlay names terminals as the grammar names them. A name that the grammar does not know is an error: a new version
of the grammar must not silently lose a rule.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from typing import Protocol


class Rules(Protocol):
    """What an overlay is told to: the native simulator of one grammar."""

    def ban_keyword(self, name: str) -> int: ...
    def rule(self, kind: str, a: str, b: str, c: str) -> int: ...
    def mark(self, kind: str, name: str) -> int: ...
    def escape_with(self, characters: str) -> None: ...
    def keep_unbroken(self, name: str) -> int: ...
    def keep_on_one_line(self, name: str) -> int: ...
    def pair_tags(self, opener: str, closer: str, end: str, opening: str) -> int: ...
    def separate(self, name: str) -> int: ...
    def lay_out(self, newline: str, indent: str, dedent: str, comment: str, string: str) -> int: ...


@dataclass(frozen=True, slots=True)
class Tags:
    """Tags that the grammar does not pair.

    opener, closer: terminals before the name in an opening and in a closing tag. end: the terminal behind that of a
    closing one. opening: the phrase of an opening tag. names: terminals of a name, joints: those between them.
    parts: phrases that hold a name, or part of one.
    """

    opener: str
    closer: str
    end: str
    opening: str
    names: tuple[str, ...]
    joints: tuple[str, ...]
    parts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Order:
    """Lists in which no plain item comes behind a named one: `f(a=1, b)`.

    separator: the terminal between items. ordered: the lists, and phrases that are of the kind of what they hold.
    named: items with a name. unpacked: phrases that count as such in these lists, and stand elsewhere too.
    starred: items that may come behind named ones. barrier: those behind which plain ones may come again.
    words: terminals that may be the name of an item. starts: others that may come behind a named item and a separator.
    rest: terminals that may come behind a word there.
    """

    separator: str
    ordered: tuple[str, ...]
    named: tuple[str, ...]
    unpacked: tuple[str, ...]
    starred: tuple[str, ...]
    barrier: tuple[str, ...]
    words: tuple[str, ...]
    starts: tuple[str, ...]
    rest: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Unfinished:
    """A statement that lacks something as long as it ends in one of the phrases `bodies`.

    opener: the terminal that it begins with. words: keywords of what it lacks; phrases: those that it may end in.
    """

    statement: str
    opener: str
    bodies: tuple[str, ...]
    words: tuple[str, ...]
    phrases: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Overlay:
    """What the grammar accepts and the language does not.

    words: keywords of the grammar that are ordinary words of the language.
    forbidden: pairs (after, token): `token` never comes directly after `after`.
    unbroken: where one of these terminals may come, a line break is never skipped (quoted strings).
    one_line: terminals that hold no line break.
    in_frame: (opener, after, token): within the brackets that `opener` opened, `token` never comes directly after `after`.
    stands_on: (on, token): `token` never comes after a phrase that stands on the terminal `on`: `a = b` and then `:`.
    base: (on, phrase): the phrase never stands on the terminal `on`.
    reduce: (after, token, phrase): with `token` ("": any) next, the phrase never ends in the terminal `after`.
    unfinished: statements that the grammar ends too early.
    alone: (after, phrase): what ends in the terminal `after` is never all of the phrase.
    statements: (phrases, token, statement): none of the phrases, alone before `token` ("": any), is the statement.
    arrows: behind these terminals the rule above does not hold.
    decided: pairs as in `forbidden` of which the second may change while it is typed: half a name may become another.
    reserved: (words, where, behind): keywords that are never ordinary words where the terminal `where` may come ("":
    anywhere), save right behind the terminal `behind`.
    glued: pairs (after, token): `token` never comes after `after` without a blank between.
    apart: (terminal, where): where the terminal `where` may come next, what follows is apart: `{` of a shell is a word.
    barred: (terminal, where): the terminal never comes where the symbol `where` may ("": anywhere).
    only: (after, token, where): behind `after`, where it stands in place of the phrase `where`, only `token` follows.
    closed: phrases behind which nothing follows.
    first: terminals that may begin the document. top: (list, terminals): what may begin the next phrase at the top.
    top_words: (terminals, rest): words that begin what stands at the top if one of the `rest` follows, maybe as a path.
    ends_line: terminals after which a line break is a token, and never skipped.
    decimals: numbers of which decimal ones have no leading zero, and no _ at the end. json_numbers: as JSON has them.
    names: words of letters, digits and _ only, beyond ASCII of whatever the grammar takes.
    escapes: (terminals, characters): what may stand behind a backslash in them.
    tags: a closing tag has the name of the one that is open.
    order: the kinds of items that may come behind each other in a list.
    layout: (newline, indent, dedent, comment, string) of a language whose lines begin after the first three only, in the
    column that the scanner has on top of its stack, and whose strings hold line breaks in triple quotes only.
    """

    words: tuple[str, ...] = ()
    forbidden: tuple[tuple[str, str], ...] = ()
    unbroken: tuple[str, ...] = ()
    one_line: tuple[str, ...] = ()
    in_frame: tuple[tuple[str, str, str], ...] = ()
    stands_on: tuple[tuple[str, str], ...] = ()
    base: tuple[tuple[str, str], ...] = ()
    reduce: tuple[tuple[str, str, str], ...] = ()
    unfinished: tuple[Unfinished, ...] = ()
    alone: tuple[tuple[str, str], ...] = ()
    statements: tuple[tuple[tuple[str, ...], str, str], ...] = ()
    arrows: tuple[str, ...] = ()
    decided: tuple[tuple[str, str], ...] = ()
    reserved: tuple[tuple[tuple[str, ...], str, str], ...] = ()
    glued: tuple[tuple[str, str], ...] = ()
    apart: tuple[tuple[str, str], ...] = ()
    barred: tuple[tuple[str, str], ...] = ()
    only: tuple[tuple[str, str, str], ...] = ()
    closed: tuple[str, ...] = ()
    first: tuple[str, ...] = ()
    top: tuple[str, tuple[str, ...]] | None = None
    top_words: tuple[tuple[str, ...], tuple[str, ...]] = ((), ())
    ends_line: tuple[str, ...] = ()
    decimals: tuple[str, ...] = ()
    json_numbers: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    escapes: tuple[tuple[str, ...], str] = ((), "")
    tags: Tags | None = None
    order: Order | None = None
    layout: tuple[str, str, str, str, str] | None = None

    def apply(self, simulator: Rules) -> None:
        """Tell the rules to `simulator`; raises LookupError for a name that the grammar does not have."""
        for word in self.words:
            _found(simulator.ban_keyword(word), word)
        for name in self.unbroken:
            _found(simulator.keep_unbroken(name), name)
        for name in self.one_line:
            _found(simulator.keep_on_one_line(name), name)
        for kind, a, b, c in self._rules():
            _found(simulator.rule(kind, a, b, c), f"{a} {b} {c}".strip())
        simulator.escape_with(self.escapes[1])
        for kind, name in self._marks():
            _found(simulator.mark(kind, name), name)
        if (tags := self.tags) is not None:
            names = (tags.opener, tags.closer, tags.end, tags.opening)
            _found(simulator.pair_tags(*names) // len(names), " ".join(names))
        if self.order is not None:
            _found(simulator.separate(self.order.separator), self.order.separator)
        if self.layout is not None:
            _found(simulator.lay_out(*self.layout) // len(self.layout), " ".join(self.layout))

    def _rules(self) -> Iterator[tuple[str, str, str, str]]:
        yield from (("pair", *pair, "") for pair in self.forbidden)
        yield from (("in_frame", *triple) for triple in self.in_frame)
        yield from (("stands_on", *pair, "") for pair in self.stands_on)
        yield from (("base", *pair, "") for pair in self.base)
        yield from (("reduce", *triple) for triple in self.reduce)
        for one in self.unfinished:
            yield from (("unfinished", body, "", one.statement) for body in one.bodies)
        yield from (("alone", *pair, "") for pair in self.alone)
        for phrases, token, statement in self.statements:
            yield from (("statement", phrase, token, statement) for phrase in phrases)
        yield from (("decided", *pair, "") for pair in self.decided)
        yield from (("glued", *pair, "") for pair in self.glued)
        yield from (("apart", *pair, "") for pair in self.apart)
        yield from (("only", *triple) for triple in self.only)
        yield from (("barred", *pair, "") for pair in self.barred)
        for words, where, behind in self.reserved:
            yield from (("reserved", word, where, behind) for word in words)

    def _marks(self) -> Iterator[tuple[str, str]]:
        yield from (("arrow", name) for name in self.arrows)
        yield from (("closed", name) for name in self.closed)
        yield from (("first", name) for name in self.first)
        if self.top is not None:
            yield "top_list", self.top[0]
            yield from (("top", name) for name in self.top[1])
        yield from (("top_word", name) for name in self.top_words[0])
        yield from (("top_rest", name) for name in self.top_words[1])
        yield from (("ends_line", name) for name in self.ends_line)
        yield from (("decimal", name) for name in self.decimals)
        yield from (("json_number", name) for name in self.json_numbers)
        yield from (("name", name) for name in self.names)
        yield from (("escape", name) for name in self.escapes[0])
        if self.tags is not None:
            yield from (("tag_name", name) for name in self.tags.names)
            yield from (("tag_joint", name) for name in self.tags.joints)
            yield from (("tag_part", name) for name in (self.tags.opening, *self.tags.parts))
        for one in self.unfinished:
            yield "opens", one.opener
            yield from (("settles", name) for name in (*one.words, *one.phrases))
        if self.order is not None:
            yield from (("ordered", name) for name in self.order.ordered)
            yield from (("named", name) for name in self.order.named)
            yield from (("unpacked", name) for name in self.order.unpacked)
            yield from (("starred", name) for name in self.order.starred)
            yield from (("barrier", name) for name in self.order.barrier)
            yield from (("item_word", name) for name in self.order.words)
            yield from (("item_start", name) for name in self.order.starts)
            yield from (("item_rest", name) for name in self.order.rest)


def _found(n_symbols: int, name: str) -> None:
    if n_symbols == 0:
        raise LookupError(f"overlay names {name!r}, which the grammar does not have")


_MODULES = {
    "python": "python",
    "javascript": "javascript",
    "typescript": "typescript",
    "tsx": "tsx",
    "java": "java",
    "json": "json",
    "html": "html",
    "go": "go",
    "rust": "rust",
    "bash": "bash",
    "ruby": "ruby",
    "lua": "lua",
    "c": "c",
    "cpp": "c",
}


def overlay_for(language: str) -> Overlay | None:
    """The overlay of `language`, or None if it has none."""
    module = _MODULES.get(language)
    if module is None:
        return None
    overlay = import_module(f".{module}", __name__).OVERLAY
    assert isinstance(overlay, Overlay)
    return overlay
