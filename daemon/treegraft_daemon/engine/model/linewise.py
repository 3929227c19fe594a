"""The embedded law's tokenizer: byte-level BPE in which no token crosses a line break.

A line's tokens depend on that line alone, so a keystroke re-reads one line and finds all others in a cache. Knows
text and tokens; no law.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers

from treegraft_grammars.vocabulary import Vocabulary

END = 0  # <|endoftext|>: the start and the end of every document, and the edge that no match may cross.
SPECIAL = "<|endoftext|>"
# A line break, the indentation, a word with the space before it, one digit, a run of punctuation, other blanks.
PIECES = (
    r"\r?\n|^[ \t]+| ?[\p{L}_][\p{L}\p{M}_]*| ?\p{N}| ?[^\s\p{L}\p{N}_]+|[^\S\r\n]+(?!\S)|[^\S\r\n]+|\r"
)  # fmt: skip
KEPT_WORDS = 1_000  # by the library, which would keep ten times as many, 3 MB; it is hardly slower
CACHED_LINES = 8_000  # young ones; a text of 200 KB has that many at most, as a rule

Tokens = NDArray[np.uint16]


class LineTokenizer:
    """Bytes to token ids, line by line, with the lines read before remembered."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        tokenizer.model._resize_cache(KEPT_WORDS)
        size = tokenizer.get_vocab_size()
        self.vocabulary = Vocabulary(
            [_bytes_of(tokenizer.id_to_token(idx) or "") for idx in range(size)], special=[END]
        )
        line_break = tokenizer.token_to_id("Ċ")
        assert line_break is not None, "the embedded tokenizer has a token for the line break"
        self.line_break = line_break
        # Tokens as two bytes each: a fifteenth of what integers would take. When the young are many they become the old,
        # and the old that nobody read since are forgotten: memory comes to rest, and a line in use stays.
        self._young: dict[bytes, bytes] = {}
        self._old: dict[bytes, bytes] = {}

    @classmethod
    def load(cls, path: Path) -> LineTokenizer:
        """From a tokenizer.json that `training` wrote."""
        return cls(Tokenizer.from_file(str(path)))

    def read(self, text: bytes) -> Tokens:
        """The tokens of `text`, without a start or end mark; text that is not UTF-8 is read with U+FFFD in its place."""
        lines = text.split(b"\n")
        whole = [line + b"\n" for line in lines[:-1]]
        if lines[-1]:
            whole.append(lines[-1])
        known, missing = self._young, []
        for line in dict.fromkeys(whole):
            if line in known:
                continue
            tokens = self._old.get(line)
            if tokens is None:
                missing.append(line)
            else:
                known[line] = tokens
        if missing:
            texts = [line.decode(errors="replace") for line in missing]
            for line, encoding in zip(missing, self._encode(texts), strict=True):
                known[line] = np.asarray(encoding, dtype=np.uint16).tobytes()
        found = np.frombuffer(b"".join([known[line] for line in whole]), dtype=np.uint16)
        if len(known) > CACHED_LINES:
            self._young, self._old = {}, known
        return found

    def _encode(self, lines: list[str]) -> Sequence[Sequence[int] | Tokens]:
        if len(lines) < 16:
            return [self._tokenizer.encode(line, add_special_tokens=False).ids for line in lines]
        # One long text costs a third of many short ones; lines are told apart again at their line breaks.
        joined = self._tokenizer.encode("".join(line if line.endswith("\n") else line + "\n" for line in lines)).ids
        ids = np.array(joined, dtype=np.uint16)
        ends = np.flatnonzero(np.isin(ids, self._breaks())) + 1
        assert len(ends) == len(lines), "no token crosses a line break"
        found = np.split(ids, ends)[:-1]
        return [part if line.endswith("\n") else part[:-1] for part, line in zip(found, lines, strict=True)]

    def _breaks(self) -> NDArray[np.int64]:
        crlf = self._tokenizer.token_to_id("čĊ")
        return np.array([self.line_break] if crlf is None else [self.line_break, crlf])


def new_tokenizer() -> Tokenizer:
    """An untrained tokenizer with our pieces."""
    tokenizer = Tokenizer(models.BPE())
    split = pre_tokenizers.Split(Regex(PIECES), behavior="isolated")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def _bytes_of(token: str) -> bytes:
    """The bytes that a byte-level token's printable form stands for; b"" for a special token."""
    return b"" if token == SPECIAL else bytes(BYTE_OF[letter] for letter in token)


def _byte_letters() -> dict[str, int]:
    """The printable letter of each byte as in GPT-2: printable bytes are themselves, the rest move above 255."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(256 + n): byte for n, byte in enumerate(others)}


BYTE_OF = _byte_letters()
