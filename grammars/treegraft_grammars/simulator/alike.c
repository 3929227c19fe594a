#include "alike.h"

#include <stdlib.h>
#include <string.h>

#include "ascii.h"

void alike_free(AlikeTable *self) {
    free(self->entries);
    free(self->places);
    *self = (AlikeTable){0};
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

/* A word that begins with a letter or as private names do; the unit of a number (42_usize) is none. */
static bool ends_in_name(const Text *text, uint32_t from) {
    uint32_t at = text->length;
    while (at > from && is_word(text->bytes[at - 1])) at--;
    return at < text->length && begins_word(text->bytes[at]);
}

/* A sign or blank behind which all words are alike: none that begins an escape, a colour or a name of another kind. */
static bool ends_in_sign(const Text *text, uint32_t from) {
    uint8_t last = text->length > from ? text->bytes[text->length - 1] : 0;
    return last && strchr("=+-*/<>!&|^~?:;,.(){}[]'\"` \t\n", last);
}

/* The token at the read's place with one probe. */
static Token read_with(Lexer *lexer, Tables *tables, Arena *arena, Text text, const Read *read, const Piece *probe) {
    memcpy((uint8_t *)text.bytes + text.length, probe->bytes, probe->length);
    text.length += probe->length;
    lexer_set_text(lexer, text);
    lexer->furthest = 0;
    return lexer_read(lexer, tables, arena, read->state, read->offset, read->scan);
}

static void set_token(Alike *self, const Lexer *lexer, const Tables *tables, const Token *token, uint32_t kind) {
    if (kind >= ALIKE_KINDS) return;
    self->n_kinds = (uint16_t)(kind + 1);
    uint16_t symbol = token->keyword ? tables->abi->keyword_capture : token->symbol;
    self->tokens[kind].symbol = token->found ? symbol : ALIKE_NO_TOKEN;
    self->tokens[kind].spelled = token->found ? lexer->spelled : 0;
    self->tokens[kind].takes_all = lexer->furthest == lexer->text.length;
}

/* Reads the token at the read's place once with every probe, or with one that is known to be read alike: behind a name or a
 * sign all letters are, save those that were chosen because they differ, and all digits; and a probe is read like its
 * first character if no lexer looked beyond that. */
static void read_all(Alike *self, Lexer *lexer, Tables *tables, Arena *arena, const Probes *probes, Text text,
                     const Read *read) {
    uint64_t known[ALIKE_NOTHING];
    uint32_t n_known = 0;
    bool is_simple = ends_in_sign(&text, read->offset) || ends_in_name(&text, read->offset);
    uint32_t any_letter = ALIKE_PROBES, any_digit = ALIKE_PROBES;
    for (uint32_t i = 0; i < probes->n_suffixes && i < ALIKE_PROBES && !arena->failed; i++) {
        const Piece *probe = &probes->suffixes[i];
        uint8_t c = *probe->bytes;
        uint32_t single = c < 0x80 ? probes->single[c] : ALIKE_PROBES; /* its first character alone */
        uint32_t none = ALIKE_PROBES, *model = &none;
        if (probe->length > 1 && single < i && self->decided[single]) model = &single;
        if (is_simple && single == i && i >= probes->n_chosen) model = is_letter(c) ? &any_letter : is_digit(c) ? &any_digit : &none;
        if (*model < ALIKE_PROBES) {
            self->kinds[i] = self->kinds[*model];
            self->decided[i] = model == &single; /* another letter may be the next one of a word that a lexer knows */
            continue;
        }
        if (model != &none) *model = i;
        uint64_t n_hangs = lexer->n_hangs;
        Token token = read_with(lexer, tables, arena, text, read, probe);
        if (lexer_has_hung(lexer, arena, n_hangs)) {
            self->kinds[i] = ALIKE_NOTHING;
            self->decided[i] = false;
            continue;
        }
        uint64_t it = signature(lexer, &token, arena, read->offset, &text, text.length + probe->length);
        uint32_t kind = 0;
        while (kind < n_known && known[kind] != it) kind++;
        if (kind == n_known && n_known < ALIKE_NOTHING) {
            set_token(self, lexer, tables, &token, kind);
            known[n_known++] = it;
        }
        self->decided[i] = !token.touched;
        self->kinds[i] = (uint8_t)kind;
    }
}

/* `is_quiet`: the scanner finds nothing, whatever the probe. */
static void fill(Alike *self, Lexer *lexer, Tables *tables, Arena *arena, const Probes *probes, Text text, const Read *read,
                 bool is_quiet) {
    lexer->asked_column = lexer->asked_state = false;
    lexer->is_quiet[0] = lexer->is_quiet[1] = is_quiet;
    lexer->wants_taken = true;
    /* What is decided without a probe is the same with all of them. */
    uint64_t n_hangs = lexer->n_hangs;
    Token bare = read_with(lexer, tables, arena, text, read, &(Piece){.bytes = (const uint8_t *)""});
    bool has_hung = lexer_has_hung(lexer, arena, n_hangs);
    set_token(self, lexer, tables, &bare, 0);
    memset(self->kinds, 0, sizeof self->kinds);
    memset(self->decided, !bare.touched, sizeof self->decided);
    if (bare.touched && !arena->failed) {
        /* Most often a scanner has seen enough before the probe begins, and need not be asked again. */
        bool knows = is_quiet || (!has_hung && lexer_finds_nothing(lexer, tables, arena, read->state, read->offset, read->scan));
        lexer->is_quiet[0] = knows;
        if (!arena->failed) read_all(self, lexer, tables, arena, probes, text, read);
    }
    lexer->is_quiet[0] = lexer->is_quiet[1] = lexer->wants_taken = false;
    if (arena->failed) memset(self->kinds, ALIKE_NOTHING, sizeof self->kinds);
    arena->failed = false;
    self->state = lexer->asked_state ? read->state : 0;
    self->column = lexer->asked_column ? text_column(&text, read->offset) + 1 : 0;
}

static bool is_quiet_at(Lexer *lexer, Tables *tables, Arena *arena, Text text, const Read *read) {
    lexer_set_text(lexer, text);
    lexer->asked_column = false;
    uint64_t n_hangs = lexer->n_hangs;
    bool is_quiet = lexer_finds_nothing(lexer, tables, arena, read->state, read->offset, read->scan) &&
                    lexer_finds_nothing(lexer, tables, arena, ABI_ERROR_STATE, read->offset, read->scan);
    return !lexer_has_hung(lexer, arena, n_hangs) && is_quiet && !lexer->asked_column;
}

/* NULL if nothing is known, and nothing is to be learnt or can be. */
static const Alike *look_up(AlikeTable *self, Lexer *lexer, Tables *tables, Arena *arena, const Probes *probes,
                            const Beginning *beginning, const Read *read, bool learns) {
    uint64_t bytes;
    Text text = beginning->text;
    AbiLexMode mode = tables_lex_mode(tables, read->state);
    if (!memo_text_key(text, read->offset, beginning->ordinary, beginning->n_after, &bytes)) return NULL;
    uint64_t quiet_key = hash_mix(bytes ^ (uint64_t)mode.lex_state << 32);
    uint64_t key = hash_mix(quiet_key ^ arena->scans[read->scan].hash ^ ((uint64_t)mode.external_lex_state << 16 | 1));
    if (!self->entries) self->entries = calloc(ALIKE_ENTRIES, sizeof *self->entries);
    if (!self->places) self->places = calloc(ALIKE_PLACES, sizeof *self->places);
    if (!self->entries || !self->places) return NULL;
    bool asked_column = lexer->asked_column;
    AlikePlace *place = &self->places[key & (ALIKE_PLACES - 1)];
    if (place->key != key && !learns) return NULL;
    if (place->key != key)
        *place = (AlikePlace){key, is_quiet_at(lexer, tables, arena, text, read) ? quiet_key : key};
    Alike *entry = &self->entries[place->entry & (ALIKE_ENTRIES - 1)];
    bool is_it = entry->key == place->entry && (!entry->state || entry->state == read->state) &&
                 (!entry->column || entry->column == text_column(&text, read->offset) + 1);
    if (!is_it && !learns) return NULL;
    if (!is_it) fill(entry, lexer, tables, arena, probes, text, read, place->entry == quiet_key);
    entry->key = place->entry;
    lexer->asked_column = asked_column || entry->column;
    return entry;
}

static void strike(const Probes *probes, const bool *is_struck, const bool *decided, bool *alive, bool *dead) {
    for (uint32_t i = 0; i < ALIKE_PROBES; i++) alive[i] &= !is_struck[i];
    for (uint32_t i = 0; i < probes->n_single; i++)
        if (is_struck[i] && decided[i]) dead[*probes->suffixes[i].bytes] = true;
}

bool alike_refuse(AlikeTable *self, Lexer *lexer, Tables *tables, Arena *arena, const Probes *probes,
                  const Beginning *beginning, const VersionSet *pending, bool learns, Refusals *refusals,
                  bool alive[ALIKE_PROBES], bool dead[256]) {
    bool decided[ALIKE_PROBES];
    memset(refusals, 0, sizeof *refusals);
    memset(refusals->is_refused, true, sizeof refusals->is_refused);
    memset(decided, true, sizeof decided);
    for (uint32_t i = 0; i < pending->n; i++) {
        const Version *version = &pending->at[i];
        uint16_t state = arena->nodes[version->node].state;
        Read read = {version->offset, version->scan, state};
        bool has_token = tables_lex_mode(tables, state).lex_state != ABI_NO_LOOKAHEAD;
        const Alike *entry = has_token ? look_up(self, lexer, tables, arena, probes, beginning, &read, learns) : NULL;
        if (!entry) return false;
        const uint16_t *row = tables_row(tables, state);
        bool takes[ALIKE_NOTHING + 1];
        memset(takes, true, sizeof takes);
        for (uint32_t kind = 0; kind < entry->n_kinds; kind++) {
            uint16_t symbol = entry->tokens[kind].symbol, spelled = entry->tokens[kind].spelled;
            takes[kind] = symbol != ALIKE_NO_TOKEN && (row[symbol] || (spelled && row[spelled]));
        }
        for (uint32_t k = 0; k < ALIKE_PROBES; k++) {
            uint8_t kind = entry->kinds[k];
            refusals->is_refused[k] &= !takes[kind];
            refusals->takes_all[k] |= kind < ALIKE_KINDS && entry->tokens[kind].takes_all;
            refusals->group[k] = (uint16_t)(refusals->group[k] * ALIKE_NOTHING + kind);
            decided[k] &= entry->decided[k];
        }
    }
    strike(probes, refusals->is_refused, decided, alive, dead);
    return true;
}

void alike_strike(AlikeTable *self, Lexer *lexer, Tables *tables, Arena *arena, const Probes *probes,
                  const Beginning *beginning, const Trace *trace, uint32_t idx, bool alive[ALIKE_PROBES], bool dead[256]) {
    alive[idx] = false;
    if (trace->n > RUN_MAX_READS || idx >= ALIKE_PROBES) return;
    bool same[ALIKE_PROBES], decided[ALIKE_PROBES];
    memset(same, true, sizeof same);
    memset(decided, true, sizeof decided);
    for (uint32_t i = 0; i < trace->n; i++) {
        const Read *read = &trace->at[i];
        if (read->offset > beginning->text.length) return;
        const Alike *entry = look_up(self, lexer, tables, arena, probes, beginning, read, true);
        if (!entry || entry->kinds[idx] == ALIKE_NOTHING) return;
        uint8_t kind = entry->kinds[idx];
        for (uint32_t k = 0; k < ALIKE_PROBES; k++) {
            same[k] &= entry->kinds[k] == kind;
            decided[k] &= entry->decided[k];
        }
    }
    strike(probes, same, decided, alive, dead);
}
