"""Any tokenizer of the hub as bytes and ids: byte-level BPE, and pieces with `▁` and bytes as `<0x0A>`.

Text stays text: a file that contains `<|endoftext|>` is read as the letters of that word. Control tokens are put
into a prompt by id only. Imports `tokenizers`, not transformers.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from treegraft_daemon.engine.model.linewise import BYTE_OF
from treegraft_daemon.errors import ModelBroken, os_reason
from treegraft_grammars.vocabulary import Vocabulary

BYTE_PIECE = re.compile(r"<0x([0-9A-F]{2})>")
# Open files stay the same from key to key.
KEPT_TEXTS = 64


class HubTokenizer:
    """The tokenizer of one model.

    vocabulary: as long as the model's rows; tokens that the model has and the tokenizer has not are without bytes.
    control: the ids of tokens that are no text. start: what a text begins with (the BOS token, or nothing).
    lead: what the tokenizer's authors put before every text (a space, in the old Llama family), or b"".
    """

    def __init__(self, stored: dict[str, Any], config: Mapping[str, Any], vocab_size: int) -> None:
        """From the contents of tokenizer.json and tokenizer_config.json. Raises ModelBroken when they do not fit."""
        self.lead = _without_lead(stored)
        added = {token["content"]: token["id"] for token in stored.get("added_tokens", [])}
        for token in stored.get("added_tokens", []):
            # Qwen's <|fim_prefix|> is no special token by its own file, so the flag is not to be relied on; runs of
            # blanks are tokens for text.
            token["special"] = bool(token["special"] or token["content"].strip(" \t\r\n▁"))
        texts = {token["content"] for token in stored.get("added_tokens", []) if not token["special"]}
        self._tokenizer = _parsed(stored)
        self._tokenizer.encode_special_tokens = True  # ... as the text that they are
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self.control = {
            content: idx for content, idx in added.items() if content not in texts and 0 <= idx < vocab_size
        }
        self._control_ids = frozenset(self.control.values())
        self.vocabulary = Vocabulary(_bytes_of_all(self._tokenizer, stored, added, texts, vocab_size))
        self.start = self._start(config)
        self.read_kept = lru_cache(KEPT_TEXTS)(self.read)

    @classmethod
    def load(cls, folder: Path, vocab_size: int) -> HubTokenizer:
        """From a model's directory. Raises ModelBroken, naming the file."""
        stored = read_json(folder / "tokenizer.json")
        path = folder / "tokenizer_config.json"
        try:
            return cls(stored, read_json(path) if path.exists() else {}, vocab_size)
        except (KeyError, TypeError, AttributeError) as error:
            raise ModelBroken(f"cannot read {folder / 'tokenizer.json'}: it lacks {error}") from error

    def read(self, text: bytes) -> tuple[int, ...]:
        """The tokens of `text` alone: no start token, no control token; U+FFFD where it is not UTF-8."""
        ids = self._tokenizer.encode(text.decode(errors="replace"), add_special_tokens=False).ids
        if not self._control_ids.isdisjoint(ids):
            # No tokenizer we know of does this; if one does, the text loses a word rather than gaining a command.
            ids = [idx for idx in ids if idx not in self._control_ids]
        return tuple(ids)

    def text(self, ids: Sequence[int]) -> bytes:
        """The bytes of tokens."""
        return b"".join(self.vocabulary[idx] for idx in ids)

    def _start(self, config: Mapping[str, Any]) -> tuple[int, ...]:
        """As the tokenizer's own post-processor has it, unless tokenizer_config.json says otherwise."""
        wanted = config.get("add_bos_token")
        if wanted is None:
            ids = self._tokenizer.encode("a", add_special_tokens=True).ids
            return tuple(ids[:1]) if ids and ids[0] in self._control_ids else ()
        bos = config.get("bos_token")
        content = bos.get("content") if isinstance(bos, dict) else bos
        return (self.control[content],) if wanted and content in self.control else ()


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a model's directory. Raises ModelBroken, naming the file."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ModelBroken(f"cannot read {path}: {os_reason(error)}") from error
    except ValueError as error:
        raise ModelBroken(f"cannot read {path}: it is not JSON, or cut off") from error
    if not isinstance(found, dict):
        raise ModelBroken(f"cannot read {path}: it holds no JSON object")
    return found


def _parsed(stored: dict[str, Any]) -> Tokenizer:
    try:
        return Tokenizer.from_str(json.dumps(stored))
    except Exception as error:  # the library raises bare Exception for a bad file
        raise ModelBroken(f"cannot read tokenizer.json: {str(error).splitlines()[0]}") from error


def _without_lead(stored: dict[str, Any]) -> bytes:
    """Take out of a tokenizer.json what puts a space before every text; that space, or b"".

    With it, the text behind the cursor would begin with a space that is not in the file.
    """
    lead = b""
    for part in _parts(stored.get("pre_tokenizer"), "pretokenizers"):
        if part["type"] == "Metaspace":
            prepends = part.get("prepend_scheme", "always") != "never" and part.get("add_prefix_space", True)
            lead = b" " if prepends else lead
            part["prepend_scheme"] = "never"
            part.pop("add_prefix_space", None)
        elif part["type"] == "ByteLevel" and part.get("add_prefix_space"):
            lead, part["add_prefix_space"] = b" ", False
    normalizer = stored.get("normalizer")
    if any(part["type"] == "Prepend" for part in _parts(normalizer, "normalizers")):
        lead = b" "
        kept = [part for part in _parts(normalizer, "normalizers") if part["type"] != "Prepend"]
        stored["normalizer"] = {"type": "Sequence", "normalizers": kept} if kept else None
    return lead


def _parts(step: dict[str, Any] | None, name: str) -> list[dict[str, Any]]:
    """The steps of a sequence, or the single step."""
    if step is None:
        return []
    return [part for one in step[name] for part in _parts(one, name)] if step["type"] == "Sequence" else [step]


def _bytes_of_all(
    tokenizer: Tokenizer, stored: dict[str, Any], added: dict[str, int], texts: set[str], vocab_size: int
) -> list[bytes]:
    """The bytes of each of the model's tokens; b"" for control tokens. Raises ModelBroken."""
    steps = _parts(stored.get("pre_tokenizer"), "pretokenizers") + _parts(stored.get("decoder"), "decoders")
    byte_level = any(step["type"] == "ByteLevel" for step in steps)
    kind = stored["model"].get("type") or "BPE"
    if not byte_level and kind not in ("BPE", "Unigram"):
        raise ModelBroken(f"tokenizer.json is of the kind {kind}, whose tokens do not stand for bytes")
    found = [b""] * vocab_size
    for piece, idx in tokenizer.get_vocab(with_added_tokens=True).items():
        if piece in added and piece not in texts:
            continue  # control; one that the model has no row for is never put into a prompt
        if idx >= vocab_size:
            raise ModelBroken(f"the tokenizer has token {idx} ({piece!r}), but the model only {vocab_size} tokens")
        if piece in texts:
            found[idx] = piece.replace("▁", " ").encode()
        elif byte_level:
            found[idx] = bytes(BYTE_OF[letter] for letter in piece) if BYTE_OF.keys() >= set(piece) else b""
        else:
            byte = BYTE_PIECE.fullmatch(piece)
            found[idx] = bytes([int(byte[1], 16)]) if byte else piece.replace("▁", " ").encode()
    return found
