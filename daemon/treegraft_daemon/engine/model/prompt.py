"""From a context to token ids: fill-in-the-middle formats, anchored windows, open files, token healing.

Knows tokens and texts; no network. Control tokens are put in as ids and texts are read as texts (`hub_tokenizer`), so
that no file can speak to the model in control tokens. The formats' sources are the model cards of the families.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath

from treegraft_daemon.engine.model.hub_tokenizer import HubTokenizer
from treegraft_daemon.engine.model.law import Context, OpenFile

PSM, SPM, PLAIN = "prefix-suffix-middle", "suffix-prefix-middle", "plain"


@dataclass(frozen=True, slots=True)
class Family:
    """Fill-in-the-middle tokens, and the orders that models with them were trained in; the first is the usual one."""

    prefix: str
    suffix: str
    middle: str  # "": none; the prefix ends the prompt
    orders: tuple[str, ...] = (PSM,)


# Recognised in this order. StarCoder's tokens were taken over by Granite (as they are) and by Mellum (suffix first).
FAMILIES = (
    Family("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"),  # Qwen2.5-Coder, CodeGemma, Granite 4
    Family("<｜fim▁begin｜>", "<｜fim▁hole｜>", "<｜fim▁end｜>"),  # DeepSeek-Coder
    Family("<[fim-prefix]>", "<[fim-suffix]>", "<[fim-middle]>", (SPM,)),  # Seed-Coder
    Family("[PREFIX]", "[SUFFIX]", "", (SPM,)),  # Codestral
    Family("▁<PRE>", "▁<SUF>", "▁<MID>"),  # CodeLlama
    Family("<PRE>", "<SUF>", "<MID>"),
    Family("<|code_prefix|>", "<|code_suffix|>", "<|code_middle|>", (SPM,)),  # GLM
    Family("<|prefix|>", "<|suffix|>", "<|middle|>"),  # Falcon-H1
    Family("<fim_prefix>", "<fim_suffix>", "<fim_middle>", (PSM, SPM)),  # StarCoder, Granite, Mellum
    Family("<fim-prefix>", "<fim-suffix>", "<fim-middle>"),  # SantaCoder
)
# A file begins with one of these, its path and a line break.
FILE_TOKENS = ("<|file_sep|>", "<|file_separator|>", "<file_sep>", "<filename>")
# Any of these says that the middle is finished.
END_TOKENS = (
    *FILE_TOKENS,
    *("<|repo_name|>", "<repo_name>", "<reponame>", "<|fim_pad|>", "<fim_pad>", "<fim-pad>"),
    *("<|endoftext|>", "<|end_of_text|>", "<|im_end|>", "<|im_start|>", "<|eot_id|>", "<EOT>", "▁<EOT>", "</s>"),
    *("<eos>", "<end_of_turn>", "<｜end▁of▁sentence｜>", "<[end▁of▁sentence]>", "<|user|>", "<|assistant|>"),
)


@dataclass(frozen=True, slots=True)
class Format:
    """How one model wants to be asked. Ids; `file` is None for a family without file tokens.

    file_mark: text before the path of a file, for a family that knows files by a text; "" for none.
    names_document: the document's path is told even when no other file is open.
    """

    order: str
    start: tuple[int, ...]
    prefix: int = -1
    suffix: int = -1
    middle: int = -1
    file: int | None = None
    file_mark: str = ""
    names_document: bool = False


@dataclass(frozen=True, slots=True)
class Room:
    """How much a prompt may hold: tokens in all, bytes of each text."""

    n_tokens: int
    prefix_bytes: int
    suffix_bytes: int
    sibling_bytes: int

    @classmethod
    def of(cls, n_tokens: int, order: str = PSM) -> Room:
        """`n_tokens` at 3 bytes each (code has 3 to 4): half for the prefix, a quarter each for suffix and siblings.

        A model that reads no suffix gives that quarter to the prefix.
        """
        quarter = 3 * n_tokens // 4
        return (
            cls(n_tokens, 3 * quarter, 0, quarter) if order == PLAIN else cls(n_tokens, 2 * quarter, quarter, quarter)
        )

    def smaller(self) -> Room:
        """Three quarters of the bytes, for text with less in a token than usual."""
        parts = (self.prefix_bytes, self.suffix_bytes, self.sibling_bytes)
        return Room(self.n_tokens, *(part * 3 // 4 for part in parts))


@dataclass(frozen=True, slots=True)
class Prompt:
    """What the model reads, and the last bytes of the prefix that it does not read but must write again."""

    ids: tuple[int, ...]
    owed: bytes


def formats(tokenizer: HubTokenizer) -> list[Format]:
    """The formats that a model with these control tokens may have been trained in; the usual one first."""
    control = tokenizer.control
    file = next((control[token] for token in FILE_TOKENS if token in control), None)
    for family in FAMILIES:
        tokens = [family.prefix, family.suffix, *([family.middle] if family.middle else [])]
        if all(token in control for token in tokens):
            return [
                Format(
                    order,
                    tokenizer.start,
                    control[family.prefix],
                    control[family.suffix],
                    control[family.middle] if family.middle else -1,
                    file,
                    # Codestral knows files by this mark; without any, a comment says what follows.
                    "+++++ " if family.prefix == "[PREFIX]" else "",
                    names_document="<filename>" in control and file == control["<filename>"],
                )
                for order in family.orders
            ]
    return [Format(PLAIN, tokenizer.start, file=file)]


def end_tokens(tokenizer: HubTokenizer, eos: Sequence[int]) -> frozenset[int]:
    """The ids that end a middle: `eos` as the configuration has it, and what no middle contains."""
    known = [token for family in FAMILIES for token in (family.prefix, family.suffix, family.middle)]
    found = {tokenizer.control[token] for token in (*known, *END_TOKENS) if token in tokenizer.control}
    return frozenset(found | {idx for idx in eos if 0 <= idx < len(tokenizer.vocabulary)})


def build(context: Context, form: Format, tokenizer: HubTokenizer, room: Room) -> Prompt:
    """The prompt of a context, at most `room.n_tokens` long and with at least one token."""
    while True:
        window = anchored(context.prefix, room.prefix_bytes)
        suffix = head(context.suffix, room.suffix_bytes)
        tokens, owed = heal(tokenizer.read(tokenizer.lead + window), window, tokenizer)
        outside, inside = _others(context, form, tokenizer, room)
        ids = form.start + outside + arrange(form, inside + tokens, tokenizer.read(suffix))
        if not ids:
            # A model without a start token still needs something to look at.
            ids = (min(tokenizer.control.values(), default=0),)
        if len(ids) <= room.n_tokens:
            return Prompt(ids, owed)
        if room.prefix_bytes < 8:
            return Prompt(ids[-room.n_tokens :], owed)
        room = room.smaller()


def arrange(form: Format, prefix: tuple[int, ...], suffix: tuple[int, ...]) -> tuple[int, ...]:
    """Prefix and suffix in the order of this format, with its control tokens."""
    middle = (form.middle,) if form.middle >= 0 else ()
    if form.order == PSM:
        return (form.prefix, *prefix, form.suffix, *suffix, *middle)
    if form.order == SPM:
        return (form.suffix, *suffix, form.prefix, *prefix, *middle)
    return prefix


def anchored(prefix: bytes, n_bytes: int) -> bytes:
    """The end of a long prefix, from the start of a line, between 2/3 `n_bytes` and `n_bytes` long.

    Its start moves by whole thirds, so that from one keystroke to the next the window begins at the same place and what
    the model has read of it stays valid; a window that slides with the cursor is read anew each time.
    """
    if len(prefix) <= n_bytes:
        return prefix
    stride = max(n_bytes // 3, 1)
    start = -((n_bytes - len(prefix)) // stride) * stride
    line = prefix.find(b"\n", start)
    if 0 <= line < len(prefix) - 1:
        return prefix[line + 1 :]
    while start < len(prefix) and prefix[start] & 0xC0 == 0x80:  # not within a character
        start += 1
    return prefix[start:]


def head(text: bytes, n_bytes: int) -> bytes:
    """The beginning of a text, up to a line's end if there is one within `n_bytes`."""
    if len(text) <= n_bytes:
        return text
    line = text.rfind(b"\n", 0, n_bytes)
    return text[: line + 1] if line >= 0 else text[:n_bytes].decode(errors="ignore").encode()


# The last word may be in several tokens; a longer one is left as it is.
HEALED_TOKENS = 4


def heal(tokens: tuple[int, ...], text: bytes, tokenizer: HubTokenizer) -> tuple[tuple[int, ...], bytes]:
    """The tokens without the last, unstable ones, and the bytes that these stood for.

    How a word, or a run of blanks and line breaks, is cut depends on what follows, so the last token goes in any case,
    and those before it as far as they belong to one word. Nothing is healed where the text does not end in the
    tokens' bytes: text that is not UTF-8, or that the tokenizer normalises.
    """
    owed, n_kept = b"", len(tokens)
    while n_kept and len(tokens) - n_kept < HEALED_TOKENS:
        data = tokenizer.vocabulary[tokens[n_kept - 1]]
        if owed and not (data and _of_word(data[-1]) and _of_word(owed[0])):
            break
        owed, n_kept = data + owed, n_kept - 1
    return (tokens[:n_kept], owed) if owed and text.endswith(owed) else (tokens, b"")


def _of_word(byte: int) -> bool:
    return byte == 0x5F or byte >= 0x80 or chr(byte).isalnum()


def _others(
    context: Context, form: Format, tokenizer: HubTokenizer, room: Room
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The open files and the document's own name: tokens before the fill-in-the-middle ones, and after them.

    Files with tokens of their own come before; those told by a text are a part of the prefix. The nearest file comes
    last. The document is named when anything comes before it.
    """
    shown = _shown(context.siblings, room.sibling_bytes)
    if not shown and not form.names_document:
        return (), ()
    if form.file is not None:
        ids: tuple[int, ...] = ()
        for file in shown:
            ids += (form.file, *tokenizer.read_kept(_name(file.path) + b"\n" + file.text))
        return (*ids, form.file, *tokenizer.read_kept(_name(context.path) + b"\n")), ()
    mark = form.file_mark.encode() or _comment(context.language)
    parts = [mark + _name(file.path) + b"\n" + file.text for file in shown]
    parts.append(mark + _name(context.path) + b"\n")
    return (), tuple(idx for part in parts for idx in tokenizer.read_kept(part))


def _shown(siblings: Sequence[OpenFile], n_bytes: int) -> list[OpenFile]:
    """The beginnings of the files, the nearest last, within `n_bytes` in all."""
    shown: list[OpenFile] = []
    for n_before, file in enumerate(siblings):
        # Half of what is left, or all for the last: the nearest file is worth most.
        share = n_bytes if n_before == len(siblings) - 1 else n_bytes // 2
        text = head(file.text, share)
        if not text.strip():
            continue
        text = text if text.endswith(b"\n") else text + b"\n"
        n_bytes -= len(text)
        shown.insert(0, OpenFile(file.path, text))
    return shown


def _name(path: str) -> bytes:
    """The file's name with its folder; the rest of the path is nobody's business and differs between machines."""
    return "/".join(PurePath(path).parts[-2:]).replace("\n", " ").lstrip("/").encode(errors="replace")


def _comment(language: str) -> bytes:
    return b"# " if language in ("python", "bash") else b"// "
