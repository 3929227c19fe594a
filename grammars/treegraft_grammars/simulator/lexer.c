#include "lexer.h"

#include <string.h>

#include "ascii.h"

enum { UTF8_LONGEST = 4, UNDEFINED = 0xFFFFFFFF, CHARACTER_INVALID = -1, BYTE_ORDER_MARK = 0xFEFF };

/* A scanner that asks for more at the end of the text this often never stops by itself. */
enum { MAX_IDLE = 1 << 10 };

/* How many bytes a valid sequence with this lead and second byte has; 0 if they cannot begin one. */
static uint32_t utf8_length(uint8_t lead, uint8_t second) {
    if (second < 0x80 || second > 0xBF) return 0;
    if (lead >= 0xC2 && lead <= 0xDF) return 2;
    if (lead >= 0xE0 && lead <= 0xEF) {
        if (lead == 0xE0 && second < 0xA0) return 0;
        if (lead == 0xED && second > 0x9F) return 0;
        return 3;
    }
    if (lead >= 0xF0 && lead <= 0xF4) {
        if (lead == 0xF0 && second < 0x90) return 0;
        if (lead == 0xF4 && second > 0x8F) return 0;
        return 4;
    }
    return 0;
}

/* One character at `at`; width 1 and CHARACTER_INVALID for ill-formed bytes. `*cut`: the text ends inside it. */
static uint32_t utf8_decode(const uint8_t *at, uint32_t left, int32_t *character, bool *cut) {
    uint8_t lead = at[0];
    if (lead < 0x80) {
        *character = lead;
        return 1;
    }
    *character = CHARACTER_INVALID;
    if (lead < 0xC2 || lead > 0xF4) return 1;
    if (left == 1) {
        *cut = true;
        return 1;
    }
    uint32_t length = utf8_length(lead, at[1]);
    if (length == 0) return 1;
    for (uint32_t i = 2; i < length; i++) {
        if (i == left) {
            *cut = true;
            return 1;
        }
        if ((at[i] & 0xC0) != 0x80) return 1;
    }
    int32_t value = lead & (0xFF >> (length + 1));
    for (uint32_t i = 1; i < length; i++) value = (value << 6) | (at[i] & 0x3F);
    *character = value;
    return length;
}

uint32_t utf8_partial(const uint8_t *bytes, uint32_t length) {
    for (uint32_t n = 1; n <= 3 && n <= length; n++) {
        const uint8_t *at = bytes + length - n;
        if ((*at & 0xC0) == 0x80) continue;
        int32_t character;
        bool cut = false;
        utf8_decode(at, n, &character, &cut);
        return cut ? n : 0;
    }
    return 0;
}

/* At the end of the text, or at a character beyond ASCII: rare, and no part of the loop over a comment of 100 KB. */
static __attribute__((noinline)) void look_twice(Lexer *self) {
    bool cut = self->offset >= self->text.length;
    self->size = 1;
    self->abi.lookahead = 0;
    if (!cut)
        self->size = utf8_decode(self->text.bytes + self->offset, self->text.length - self->offset, &self->abi.lookahead, &cut);
    if (cut) self->touched = true;
}

static inline void look(Lexer *self) {
    if (self->offset >= self->text.length || self->text.bytes[self->offset] >= 0x80) {
        look_twice(self);
        return;
    }
    self->abi.lookahead = self->text.bytes[self->offset];
    self->size = 1;
}

static __attribute__((noinline)) void stay(Lexer *self) {
    self->touched = true;
    if (++self->n_idle > MAX_IDLE && self->can_escape) longjmp(self->escape, 1);
}

static void advance(AbiLexer *abi, bool skip) {
    Lexer *self = (Lexer *)abi;
    if (self->offset >= self->text.length) {
        stay(self);
        return;
    }
    self->offset += self->size;
    if (skip) self->token_start = self->offset;
    else self->furthest = self->offset;
    look(self);
}

static void mark_end(AbiLexer *abi) {
    Lexer *self = (Lexer *)abi;
    self->token_end = self->offset;
}

/* The column at `offset`, counted on from `column` at `start`, which is the start of the text or lies in the same line. */
static uint32_t count_columns(const Text *text, uint32_t start, uint32_t column, uint32_t offset) {
    while (start < offset) {
        uint64_t ahead;
        if (offset - start >= sizeof ahead) { /* a comment of 100 KB may stand before */
            memcpy(&ahead, text->bytes + start, sizeof ahead);
            if (!(ahead & 0x8080808080808080u)) {
                start += sizeof ahead, column += sizeof ahead;
                continue;
            }
        }
        int32_t character;
        bool cut = false, is_first = start == 0 && text->at_file_start;
        start += utf8_decode(text->bytes + start, text->length - start, &character, &cut);
        if (!(is_first && character == BYTE_ORDER_MARK)) column++;
    }
    return column;
}

uint32_t text_column(const Text *text, uint32_t offset) {
    uint32_t start = offset;
    while (start > 0 && text->bytes[start - 1] != '\n') start--;
    return count_columns(text, start, start == 0 ? text->column : 0, offset);
}

/* Bash asks at every character of a heredoc, so counting goes on from the last place that was asked about. */
static uint32_t get_column(AbiLexer *abi) {
    Lexer *self = (Lexer *)abi;
    self->uses_column = self->asked_column = true;
    uint32_t from = self->column_at, to = self->offset;
    const uint8_t *bytes = self->text.bytes;
    if (from != UNDEFINED && from > 0 && from + 1 == to && bytes[from] < 0x80 && bytes[from] != '\n') {
        self->column++;
    } else {
        bool same_line = from != UNDEFINED && from <= to && !memchr(bytes + from, '\n', to - from);
        self->column = same_line ? count_columns(&self->text, from, self->column, to) : text_column(&self->text, to);
    }
    self->column_at = to;
    return self->column;
}

static bool is_at_included_range_start(const AbiLexer *abi) {
    (void)abi;
    const Lexer *self = (const Lexer *)abi;
    /* One range, from the start of the document; past its end there is none. */
    return self->text.at_file_start && self->offset == 0 && self->text.length > 0;
}

static bool is_eof(const AbiLexer *abi) {
    const Lexer *self = (const Lexer *)abi;
    return self->offset >= self->text.length;
}

static void drop_log(const AbiLexer *abi, const char *format, ...) {
    (void)abi;
    (void)format;
}

void lexer_init(Lexer *self, const Tables *tables) {
    memset(self, 0, sizeof *self);
    self->abi.advance = advance;
    self->abi.mark_end = mark_end;
    self->abi.get_column = get_column;
    self->abi.is_at_included_range_start = is_at_included_range_start;
    self->abi.eof = is_eof;
    self->abi.log = drop_log;
    (void)tables;
}

static void payload_drop(Lexer *self, const Tables *tables) {
    if (self->payload_made && self->payload && tables->abi->external.destroy)
        tables->abi->external.destroy(self->payload);
    self->payload = NULL;
    self->payload_made = false;
    self->n_serialized = 0;
}

void lexer_free(Lexer *self, const Tables *tables) { payload_drop(self, tables); }

/* More may be cut off: scanners serialise no more than there is room for. */
enum { SERIALIZED_SHORT = 64 };

/* The scanner's state, as `serialized`; how many bytes. */
static uint32_t payload_save(Lexer *self, const Tables *tables) {
    uint32_t length = tables->abi->external.serialize ? tables->abi->external.serialize(self->payload, self->serialized) : 0;
    if (self->serialises_all && length <= SERIALIZED_SHORT) self->n_serialized = length;
    return length;
}

/* Puts the scanner into the state `scan`. It is in it already where it went on to it itself and keeps nothing else. If not,
 * always from a new payload: deserialising over a used one is not always a reset (Python keeps
 * `inside_interpolated_string`, Bash the number of heredocs), and states must not depend on what other branches did before. */
static void payload_load(Lexer *self, const Tables *tables, const Arena *arena, uint32_t scan) {
    const Scan *wanted = &arena->scans[scan];
    uint32_t n = self->n_serialized;
    self->n_serialized = 0;
    if (n && n == wanted->length && !memcmp(self->serialized, arena->scan_bytes + wanted->start, n)) return;
    payload_drop(self, tables);
    self->payload = tables->abi->external.create ? tables->abi->external.create() : NULL;
    self->payload_made = true;
    if (tables->abi->external.deserialize)
        tables->abi->external.deserialize(self->payload, wanted->length ? arena->scan_bytes + wanted->start : NULL,
                                          wanted->length);
}

void lexer_set_text(Lexer *self, Text text) {
    self->text = text;
    self->column_at = UNDEFINED;
}

static void go_to(Lexer *self, uint32_t offset) {
    self->offset = offset;
    self->token_start = offset;
    self->token_end = UNDEFINED;
    self->n_idle = 0;
    self->abi.result_symbol = 0;
    look(self);
    if (offset == 0 && self->text.at_file_start && self->abi.lookahead == BYTE_ORDER_MARK) advance(&self->abi, true);
}

static void finish(Lexer *self) {
    if (self->offset > self->looked_at) self->looked_at = self->offset;
    if (self->token_end == UNDEFINED) self->token_end = self->offset;
    if (self->token_end < self->token_start) self->token_start = self->token_end;
}

/* One call of the external scanner; `token->scan` is its state after a success. A scanner that never stops is left by
 * longjmp and counts as having found nothing. */
static bool scan_external(Lexer *self, Tables *tables, Arena *arena, uint16_t external_state, uint32_t offset,
                          uint32_t scan, Token *token) {
    const AbiLanguage *abi = tables->abi;
    go_to(self, offset);
    payload_load(self, tables, arena, scan);
    const bool *valid = abi->external.states + (size_t)abi->n_external_tokens * external_state;
    bool found = false;
    if (_setjmp(self->escape)) {
        self->can_escape = false;
        finish(self);
        self->n_hangs++;
        arena->failed = true;
        payload_drop(self, tables);
        return false;
    }
    self->can_escape = true;
    found = abi->external.scan(self->payload, &self->abi, valid);
    self->can_escape = false;
    finish(self);
    if (!found && !self->serialises_all) return false;
    uint32_t length = payload_save(self, tables);
    if (!found) return false;
    token->scan = arena_scan(arena, self->serialized, length);
    token->symbol = abi->external.symbols[self->abi.result_symbol];
    return true;
}

/* The keyword that the word from `start` to `end` is spelled like; 0 if none. */
static uint16_t keyword_at(Lexer *self, const Tables *tables, uint32_t start, uint32_t end) {
    go_to(self, start);
    bool is_keyword = tables->abi->keyword_lex(&self->abi, 0);
    finish(self);
    uint16_t symbol = self->abi.result_symbol;
    return is_keyword && self->token_end == end && !tables->banned_keyword[symbol] ? symbol : 0;
}

/* Whether that keyword is one here, or an ordinary word. */
static void decide_keyword(Tables *tables, uint16_t state, uint16_t spelled, Token *token) {
    token->keyword = spelled && (tables_row(tables, state)[spelled] || tables_is_reserved(tables, state, spelled));
    if (token->keyword) token->symbol = spelled;
}

/* Same order as tree-sitter: external scanner, then the main lexer, then once more both in the mode of the error
 * state, whose token may turn out valid. Characters are never skipped: such a token is an error by definition. */
static Token read_in_view(Lexer *self, Tables *tables, Arena *arena, uint16_t state, uint32_t offset, uint32_t scan) {
    const AbiLanguage *abi = tables->abi;
    AbiLexMode mode = tables_lex_mode(tables, state);
    Token token = {.scan = scan};
    self->touched = self->scanner_touched = self->main_touched = false;
    self->looked_at = 0;
    self->spelled = 0;
    uint32_t furthest = UNDEFINED;
    bool is_decided = false; /* that no token of the state's own mode begins here */
    for (int attempt = 0; attempt < 2; attempt++) {
        bool in_error_mode = attempt == 1;
        if (in_error_mode) {
            is_decided = !self->touched && !self->hides_tokens;
            mode = tables_lex_mode(tables, ABI_ERROR_STATE);
            furthest = self->furthest;
        }
        if (mode.external_lex_state != 0 && !self->is_quiet[attempt]) {
            token.external = scan_external(self, tables, arena, mode.external_lex_state, offset, scan, &token);
            self->scanner_touched |= self->touched;
            /* It hung, or memory ran out: what the main lexer finds says nothing. */
            if (arena->failed) return (Token){.scan = scan, .touched = true};
            /* Empty tokens that change nothing would be read for ever. */
            if (token.external && self->token_end <= offset && token.scan == scan) {
                self->asked_state |= !in_error_mode;
                token.external = !in_error_mode && tables_next_state(tables, state, token.symbol) != state;
            }
            /* Behind `a=` in brackets the scanner does not see that they are open. What the layout then allows is told later. */
            if (token.external && tables->layout.enabled && token.symbol == tables->layout.dedent && !in_error_mode &&
                !tables_row(tables, state)[token.symbol]) {
                self->asked_state = true;
                token.external = false;
            }
            if (token.external) {
                token.found = true;
                break;
            }
            token.scan = scan;
        }
        /* Nothing the state takes was found up to the end of the text: what else begins here would be refused. */
        if (in_error_mode && self->main_touched && mode.external_lex_state == 0 && !self->seen) break;
        if (is_decided && self->wants_taken) break;
        bool touched = self->touched;
        self->touched = false;
        go_to(self, offset);
        token.found = abi->lex(&self->abi, mode.lex_state);
        finish(self);
        self->main_touched = self->touched;
        self->touched |= touched;
        token.symbol = self->abi.result_symbol;
        if (token.found) break;
    }
    token.start = self->token_start;
    token.end = self->token_end;
    if (token.found && !token.external && token.symbol == abi->keyword_capture && token.symbol != 0) {
        self->spelled = keyword_at(self, tables, token.start, token.end);
        decide_keyword(tables, state, self->spelled, &token);
    }
    /* All tokens that the state takes are in its own mode: no more text makes one of the error state's token. */
    if (is_decided && !(token.found && tables_row(tables, state)[token.symbol])) {
        self->asked_state |= self->touched;
        self->touched = false;
    }
    token.touched = self->touched;
    /* Whatever may come next in the error state says nothing about this one. */
    if (furthest != UNDEFINED) self->furthest = furthest;
    return token;
}

/* With a horizon the text is seen through views that double until one tells, so that the token does not depend on how
 * much text there is by chance: where only the scanner looks further, it is taken as it is once it ends in the first half of
 * its view. The views that end before `undecided` bytes have not told. */
static Token read_in_views(Lexer *self, Tables *tables, Arena *arena, uint16_t state, uint32_t offset, uint32_t scan,
                           uint32_t undecided) {
    uint32_t length = self->text.length;
    uint64_t view = self->horizon ? self->horizon : UINT32_MAX;
    Token token;
    while (offset + view <= undecided) view *= 2;
    for (;; view *= 2) {
        bool is_whole = offset + view > length;
        self->text.length = is_whole ? length : offset + (uint32_t)view;
        token = read_in_view(self, tables, arena, state, offset, scan);
        bool is_far = !is_whole && token.found && !self->main_touched && token.end - offset <= view / 2;
        /* A scanner that remembers a word looks for it, and will find it. */
        if (is_far && token.touched && !arena_scan_has(arena, scan, begins_word)) token.touched = false;
        if (is_whole || !token.touched) break;
    }
    self->text.length = length;
    self->touched = token.touched;
    self->touched_ever |= token.touched;
    return token;
}

/* The same, and what that token alone was asked for. */
static Token read_asked(Lexer *self, Tables *tables, Arena *arena, uint16_t state, uint32_t offset, uint32_t scan,
                        uint32_t undecided, bool *asked_state, bool *asked_column) {
    bool was_state = self->asked_state, was_column = self->asked_column;
    self->asked_state = self->asked_column = false;
    Token token = read_in_views(self, tables, arena, state, offset, scan, undecided);
    *asked_state = self->asked_state;
    *asked_column = self->asked_column;
    self->asked_state |= was_state;
    self->asked_column |= was_column;
    return token;
}

/* The same for the long token, which is read once. */
static Token read_long(Lexer *self, Tables *tables, Arena *arena, uint16_t state, uint32_t offset, uint32_t scan) {
    LongToken *it = &self->long_token;
    if (!it->is_read) {
        it->token = read_asked(self, tables, arena, state, offset, scan, it->n_undecided, &it->asked_state, &it->asked_column);
        it->is_read = it->token.found && !it->token.touched && self->looked_at < it->n_shared;
        it->spelled = self->spelled;
        it->looked_at = self->looked_at;
        it->scanner_touched = self->scanner_touched;
        return it->token;
    }
    self->spelled = it->spelled;
    self->looked_at = it->looked_at;
    self->scanner_touched = it->scanner_touched;
    self->asked_state |= it->asked_state;
    self->asked_column |= it->asked_column;
    self->touched = false;
    return it->token;
}

/* Whether the token is the same in a text of this length: nothing of it lies beyond the end, or that is the same, too. */
static bool holds(const SeenToken *it, uint32_t length) {
    return it->token.touched ? it->length == length : it->looked_at + UTF8_LONGEST <= length;
}

/* The same from memory. Whoever lends `seen` must not ask what else the lexer found. */
static Token read_seen(Lexer *self, Tables *tables, Arena *arena, uint16_t state, uint32_t offset, uint32_t scan) {
    AbiLexMode mode = tables_lex_mode(tables, state);
    uint64_t place = (uint64_t)offset << 32 | scan, where = (uint64_t)mode.lex_state << 16 | mode.external_lex_state;
    SeenToken *it = &self->seen[hash_mix(place ^ hash_mix(where + (uintptr_t)self->text.bytes)) & (SEEN_TOKENS - 1)];
    if (it->bytes == self->text.bytes && it->offset == offset && it->scan == scan && it->lex_state == mode.lex_state &&
        it->external_lex_state == mode.external_lex_state && holds(it, self->text.length)) {
        Token token = it->token;
        self->spelled = it->spelled;
        self->looked_at = it->looked_at;
        self->touched = token.touched;
        self->scanner_touched = it->scanner_touched;
        self->touched_ever |= token.touched;
        if (it->spelled) decide_keyword(tables, state, it->spelled, &token);
        return token;
    }
    bool asked_state, asked_column;
    Token token = read_asked(self, tables, arena, state, offset, scan, 0, &asked_state, &asked_column);
    if (!asked_state && !asked_column && !arena->failed) {
        *it = (SeenToken){.bytes = self->text.bytes, .length = self->text.length, .offset = offset, .scan = scan,
                          .lex_state = mode.lex_state, .external_lex_state = mode.external_lex_state, .token = token,
                          .looked_at = self->looked_at, .spelled = self->spelled, .scanner_touched = self->scanner_touched};
        if (self->spelled) it->token.symbol = tables->abi->keyword_capture, it->token.keyword = false;
    }
    return token;
}

Token lexer_read(Lexer *self, Tables *tables, Arena *arena, uint16_t state, uint32_t offset, uint32_t scan) {
    const LongToken *it = &self->long_token;
    if (self->seen) return read_seen(self, tables, arena, state, offset, scan);
    if (it->is_begun && it->state == state && it->offset == offset && it->scan == scan)
        return read_long(self, tables, arena, state, offset, scan);
    return read_in_views(self, tables, arena, state, offset, scan, 0);
}

bool lexer_has_hung(const Lexer *self, Arena *arena, uint64_t n_hangs) {
    if (self->n_hangs == n_hangs) return false;
    arena->failed = false;
    return true;
}

bool lexer_finds_nothing(Lexer *self, Tables *tables, Arena *arena, uint16_t state, uint32_t offset, uint32_t scan) {
    AbiLexMode mode = tables_lex_mode(tables, state);
    Token token;
    self->touched = false;
    return mode.external_lex_state == 0 ||
           (!scan_external(self, tables, arena, mode.external_lex_state, offset, scan, &token) && !self->touched &&
            !arena->failed);
}

bool lexer_reads_word(Lexer *self, const Tables *tables, uint16_t state, uint32_t offset, uint32_t start) {
    uint16_t word = tables->abi->keyword_capture;
    if (word == 0) return false;
    self->touched = false;
    go_to(self, offset);
    bool found = tables->abi->lex(&self->abi, tables_lex_mode(tables, state).lex_state);
    finish(self);
    return found && self->abi.result_symbol == word && self->token_start == start;
}

bool lexer_reads_letter(Lexer *self, Tables *tables, Arena *arena, uint16_t state, uint32_t scan, bool is_behind_blank,
                        uint8_t letter) {
    uint8_t bytes[] = {' ', letter, '!', 'a'};
    uint32_t start = is_behind_blank ? 0 : 1;
    Text text = {.bytes = bytes, .length = 2, .column = 1};
    uint64_t n_hangs = self->n_hangs;
    lexer_set_text(self, text);
    bool is_quiet = lexer_finds_nothing(self, tables, arena, state, start, scan), is_word_always = true; /* it looks no further */
    text.length = sizeof bytes;
    for (uint8_t sign = '!'; sign < 0x7F && is_word_always; sign++) {
        if (is_word(sign)) continue;
        bytes[2] = sign;
        lexer_set_text(self, text);
        is_word_always = lexer_reads_word(self, tables, state, start, 1) &&
                         (is_quiet || lexer_finds_nothing(self, tables, arena, state, start, scan));
    }
    return !lexer_has_hung(self, arena, n_hangs) && is_word_always;
}

/* Keywords are many, ASCII and short: they need none of what a document needs. */
typedef struct {
    AbiLexer abi; /* first, as in `Lexer` */
    const uint8_t *at, *end, *token_end;
} Spelling;

static void spelling_advance(AbiLexer *abi, bool skip) {
    (void)skip;
    Spelling *self = (Spelling *)abi;
    if (self->at < self->end) self->at++;
    self->abi.lookahead = self->at < self->end ? *self->at : 0;
}

static void spelling_mark_end(AbiLexer *abi) {
    Spelling *self = (Spelling *)abi;
    self->token_end = self->at;
}

static bool spelling_eof(const AbiLexer *abi) {
    const Spelling *self = (const Spelling *)abi;
    return self->at == self->end;
}

uint16_t keyword_spelled(const AbiLanguage *abi, const uint8_t *data, uint32_t length, bool *advanced) {
    Spelling self = {.abi = {.lookahead = *data, .advance = spelling_advance, .mark_end = spelling_mark_end, .eof = spelling_eof},
                     .at = data, .end = data + length};
    bool found = abi->keyword_lex(&self.abi, 0);
    *advanced = self.at == self.end;
    return found && self.token_end == self.end ? self.abi.result_symbol : 0;
}

uint16_t lexer_terminal(Lexer *self, const Tables *tables, const uint8_t *data, uint32_t length) {
    lexer_set_text(self, (Text){.bytes = data, .length = length});
    go_to(self, 0);
    bool found = tables->abi->lex(&self->abi, tables_lex_mode(tables, ABI_ERROR_STATE).lex_state);
    finish(self);
    return found && self->token_start == 0 && self->token_end == length ? self->abi.result_symbol : 0;
}
