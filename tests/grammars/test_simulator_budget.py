"""A grammar whose external scanner never stops costs a refusal, not the process."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from treegraft_grammars.constraint import Grammar
from treegraft_grammars.registry import load

SIMULATOR = Path(__file__).parent.parent.parent / "grammars" / "treegraft_grammars" / "simulator"

# JSON with a scanner that reads on for ever once it has seen the end of the text.
HANGING = """
#include <stdlib.h>
#include <string.h>
#include "abi.h"
static AbiLanguage changed;
static const bool states[] = {false, true};
static const uint16_t symbols[] = {1};
static void *make(void) { return malloc(8); }
static bool scan(void *payload, AbiLexer *lexer, const bool *valid) {
    (void)payload, (void)valid;
    while (lexer->lookahead == ' ') lexer->advance(lexer, true);
    if (lexer->lookahead != '[') return false;
    for (;;) lexer->advance(lexer, false);
}
static unsigned serialize(void *payload, char *bytes) { (void)payload, (void)bytes; return 0; }
static void deserialize(void *payload, const char *bytes, unsigned length) { (void)payload, (void)bytes, (void)length; }
const AbiLanguage *hang(const AbiLanguage *json) {
    memcpy(&changed, json, sizeof changed);
    AbiLexModeOld *modes = calloc(json->n_states, sizeof *modes);
    for (uint32_t i = 0; i < json->n_states; i++) {
        modes[i] = ((const AbiLexModeOld *)json->lex_modes)[i];
        modes[i].external_lex_state = 1;
    }
    changed.lex_modes = modes;
    changed.n_external_tokens = 1;
    changed.external.states = states;
    changed.external.symbols = symbols;
    changed.external.create = make;
    changed.external.destroy = free;
    changed.external.scan = scan;
    changed.external.serialize = serialize;
    changed.external.deserialize = deserialize;
    return &changed;
}
"""


@pytest.mark.skipif(shutil.which("gcc") is None, reason="needs a C compiler")
def test_a_scanner_that_never_stops_is_left(tmp_path: Path) -> None:
    source, library = tmp_path / "hang.c", tmp_path / "hang.so"
    source.write_text(HANGING)
    subprocess.run(["gcc", "-shared", "-fPIC", "-O1", f"-I{SIMULATOR}", "-o", library, source], check=True)
    hang = ctypes.CDLL(str(library)).hang
    hang.restype, hang.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
    address = ctypes.pythonapi.PyCapsule_GetPointer
    address.restype, address.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    json = address(load("json"), b"tree_sitter.Language")
    assert ctypes.c_uint32.from_address(json).value < 15, "the fake writes the older form of lexing modes"

    grammar = Grammar("hanging", hang(json))
    assert grammar.check(b'{"a": 1}').first_error is None
    state = grammar.parse(b'{"a": ').state
    assert grammar.stats()["hanging_scanners"] == 0
    began = time.perf_counter()
    assert state.step(b"[1") is None
    assert time.perf_counter() - began < 0.05
    assert not state.meets(b"[1]}")
    assert grammar.stats()["hanging_scanners"] > 0 and grammar.stats()["exhausted_budgets"] > 0
    parsed = grammar.parse(b'{"a": [1, 2]}')
    assert parsed.confidence < 1
    assert state.step(b"1}") is not None
