"""What the embedded transformer reads for one completion, as token ids: made alike in training and in service.

    [language] [SUFFIX] suffix ... [PREFIX] prefix ...   -> middle ... END

The suffix comes first and nothing stands between prefix and middle (the SPM order of Bavarian et al. 2022, section 3),
so that a keystroke changes only the end of what is read. Both windows begin and end at lines or at fixed steps: the
start of the prefix moves by whole steps, or every keystroke would move everything. Numbers only: no torch, no text.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

END = 0  # the tokenizer's, at the start of a document, at its end, and where the middle is finished
FIRST_MARK = 8192  # the tokenizer's size; marks are no tokens of text and never drawn
SUFFIX, PREFIX = FIRST_MARK, FIRST_MARK + 1
LANGUAGES = ("bash", "c", "cpp", "go", "java", "javascript", "json", "python", "rust", "tsx", "typescript")
OTHER = FIRST_MARK + 2  # a language not trained on
LANGUAGE = {language: OTHER + 1 + place for place, language in enumerate(LANGUAGES)}
N_IDS = FIRST_MARK + 64

# Tokens. What is copied from farther away is the copy law's: behind 320 tokens of prefix the whole law is no better than
# behind 128, and a jump of the cursor costs what is read there.
SUFFIX_TOKENS = 64
PREFIX_TOKENS, PREFIX_STEP = 128, 32
CONTEXT = 288  # of training; a middle that grows longer than is left of it is read anew


def window(
    language: str,
    prefix: Sequence[int] | NDArray[np.integer],
    suffix: Sequence[int] | NDArray[np.integer],
    *,
    whole_suffix: bool,
) -> NDArray[np.int32]:
    """The ids to read, int32 [n < CONTEXT - 80].

    prefix: all tokens of the document before the cursor. suffix: those after it, as many as are at hand;
    whole_suffix says that the document ends with them. An empty suffix is left out: who writes at the end of a file
    has not finished it.
    """
    start = max(len(prefix) - PREFIX_TOKENS, 0)
    start = -(-start // PREFIX_STEP) * PREFIX_STEP
    before = np.asarray(prefix[start:], dtype=np.int32)
    after = np.asarray(suffix[:SUFFIX_TOKENS], dtype=np.int32)
    first = [LANGUAGE.get(language, OTHER)]
    if len(after):
        ended = [END] if whole_suffix and len(suffix) <= SUFFIX_TOKENS else []
        first += [SUFFIX, *after.tolist(), *ended]
    return np.concatenate([np.array([*first, PREFIX, *([END] if start == 0 else [])], dtype=np.int32), before])


def moved(ids: NDArray[np.int32], written: Sequence[int]) -> NDArray[np.int32]:
    """The window of the same request after `written` was put behind `ids`: the end of the text takes the prefix's place."""
    start = int(np.flatnonzero(ids == PREFIX)[0]) + 1
    text = np.concatenate([ids[start:], np.asarray(written, dtype=np.int32)])
    return np.concatenate([ids[:start], text[-PREFIX_TOKENS:]])
