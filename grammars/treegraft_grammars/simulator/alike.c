#include "alike.h"

#include <stdlib.h>
#include <string.h>

#include "ascii.h"
#include "memo.h"

void alike_free(AlikeTable *self) {
    free(self->entries);
    self->entries = NULL;
}

/* All of a token that decides what a run does with it. What lies beyond the text differs from probe to probe, so of it
 * counts only that it is reached. */
static uint64_t signature(const Lexer *lexer, const Token *token, const Arena *arena, uint32_t offset, const Text *text,
                          uint32_t n_all) {
    if (!token->found) return 1 | (uint64_t)token->touched << 1 | (uint64_t)(lexer->furthest == n_all) << 2;
    uint32_t start = token->start > text->length ? 0 : text->length + 1 - token->start;
    uint32_t end = token->end > text->length ? 0 : text->length + 1 - token->end;
    uint64_t hash = (uint64_t)token->symbol << 48 | (uint64_t)lexer->spelled << 32 | end << 8;
    hash |= (uint64_t)token->external << 3 | (uint64_t)token->touched << 4 | (uint64_t)(lexer->furthest == n_all) << 5;
    hash |= (uint64_t)(token->end > token->start) << 6 | (uint64_t)(token->end <= offset) << 7;
    return hash_mix(hash ^ hash_mix(start + 0x100000001u)) ^ (token->external ? hash_mix(arena->scans[token->scan].hash + 1) : 0);
}

/* A word that begins with a letter; the unit of a number (42_usize) is none. */
static bool ends_in_name(const Text *text, uint32_t from) {
    uint32_t at = text->length;
    while (at > from && is_word(text->bytes[at - 1])) at--;
    return at < text->length && is_letter(text->bytes[at]);
}

/* Reads the token at the read's place once with every probe, or with one that is known to be read alike: behind a name all
 * letters are, save those that were chosen because they differ, and all digits; and a probe is read like its first character
 * if no lexer looked beyond that. */
static void fill(Alike *self, Lexer *lexer, Tables *tables, Arena *arena, const Probes *probes, Text text, const Read *read) {
    uint64_t known[ALIKE_NOTHING];
    uint32_t n_known = 0;
    bool is_decided[ALIKE_PROBES] = {false};
    self->state = 0;
    bool is_name = ends_in_name(&text, read->offset);
    uint32_t any_letter = ALIKE_PROBES, any_digit = ALIKE_PROBES;
    for (uint32_t i = 0; i < probes->n_suffixes && i < ALIKE_PROBES; i++) {
        const Piece *probe = &probes->suffixes[i];
        uint8_t c = *probe->bytes;
        uint32_t single = c < 0x80 ? probes->single[c] : ALIKE_PROBES; /* its first character alone */
        uint32_t none = ALIKE_PROBES, *model = &none;
        if (probe->length > 1 && single < i && is_decided[single]) model = &single;
        if (is_name && single == i && i >= probes->n_chosen) model = is_letter(c) ? &any_letter : is_digit(c) ? &any_digit : &none;
        if (*model < ALIKE_PROBES) {
            self->kinds[i] = self->kinds[*model];
            continue;
        }
        if (model != &none) *model = i;
        Text longer = text;
        longer.length += probe->length;
        memcpy((uint8_t *)text.bytes + text.length, probe->bytes, probe->length);
        lexer_set_text(lexer, longer);
        lexer->furthest = 0;
        lexer->asked_state = false;
        Token token = lexer_read(lexer, tables, arena, read->state, read->offset, read->scan);
        if (arena->failed) {
            /* A scanner that hangs on one of them is not asked again. */
            arena->failed = false;
            memset(self->kinds, ALIKE_NOTHING, sizeof self->kinds);
            return;
        }
        if (lexer->asked_state) self->state = read->state;
        is_decided[i] = !token.touched;
        uint64_t it = signature(lexer, &token, arena, read->offset, &text, longer.length);
        uint32_t kind = 0;
        while (kind < n_known && known[kind] != it) kind++;
        if (kind == n_known && n_known < ALIKE_NOTHING) known[n_known++] = it;
        self->kinds[i] = (uint8_t)kind;
    }
}

static const Alike *look_up(AlikeTable *self, Lexer *lexer, Tables *tables, Arena *arena, const Probes *probes, Text text,
                            uint32_t n_word, const Read *read) {
    uint64_t key;
    AbiLexMode mode = tables_lex_mode(tables, read->state);
    if (text.length - read->offset < n_word) n_word = 0; /* reading begins inside the word */
    if (!memo_text_key(lexer, text, read->offset, n_word, &key)) return NULL;
    key = hash_mix(key ^ arena->scans[read->scan].hash ^ ((uint64_t)mode.lex_state << 32 | (uint64_t)mode.external_lex_state << 16));
    if (!self->entries) self->entries = calloc(ALIKE_ENTRIES, sizeof *self->entries);
    if (!self->entries) return NULL;
    Alike *entry = &self->entries[key & (ALIKE_ENTRIES - 1)];
    if (entry->key != key || (entry->state && entry->state != read->state)) {
        fill(entry, lexer, tables, arena, probes, text, read);
        entry->key = key;
    }
    return entry;
}

void alike_strike(AlikeTable *self, Lexer *lexer, Tables *tables, Arena *arena, const Probes *probes, Text text,
                  uint32_t n_word, const Trace *trace, uint32_t idx, uint8_t *alive) {
    alive[idx] = 0;
    if (trace->n > RUN_MAX_READS || idx >= ALIKE_PROBES) return;
    uint8_t same[ALIKE_PROBES];
    memset(same, 1, sizeof same);
    for (uint32_t i = 0; i < trace->n; i++) {
        const Read *read = &trace->at[i];
        if (read->offset > text.length) return;
        const Alike *entry = look_up(self, lexer, tables, arena, probes, text, n_word, read);
        if (!entry || entry->kinds[idx] == ALIKE_NOTHING) return;
        uint8_t kind = entry->kinds[idx];
        for (uint32_t k = 0; k < ALIKE_PROBES; k++) same[k] &= entry->kinds[k] == kind;
    }
    for (uint32_t k = 0; k < ALIKE_PROBES; k++) alive[k] &= !same[k];
}
