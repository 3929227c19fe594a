#include "memo.h"

#include <string.h>

#include "ascii.h"

/* Longer texts are rare (a token of many bytes), and searches on them end early for want of budget, not of witnesses. */
enum { MAX_BYTES = 1024, MIN_WORD = 4, MAX_DEPTH = 1000, MAX_FRAMES = 4 };

/* Whether one of the scanners remembers such characters, which may be a word that must come. */
static bool remembers(const Arena *arena, const VersionSet *pending, bool is_one(uint8_t)) {
    for (uint32_t i = 0; i < pending->n; i++)
        if (arena_scan_has(arena, pending->at[i].scan, is_one)) return true;
    return false;
}

static bool are_blanks(const uint8_t *bytes, uint32_t n) {
    while (n && (bytes[n - 1] == ' ' || bytes[n - 1] == '\t' || bytes[n - 1] == '\n')) n--;
    return n == 0;
}

/* Bytes of the word at the end; 0 if there is none. */
static uint32_t last_word(const uint8_t *bytes, uint32_t length) {
    uint32_t n = 0;
    while (n < length && is_word(bytes[length - n - 1])) n++;
    return n && begins_word(bytes[length - n]) ? n : 0;
}

/* Whether that word is an ordinary one: it begins no keyword or other spelling of the grammar, alone or with what stands
 * before it. Such words differ in nothing that a grammar tells apart but the kinds of their characters. */
static bool is_ordinary(const Probes *probes, const uint8_t *bytes, uint32_t length, uint32_t n) {
    /* Behind these a word may be digits of a colour or of a character, a few of which are taken apart from the rest. */
    uint8_t before = n < length ? bytes[length - n - 1] : ' ';
    if (before >= 0x80 || before == '#' || before == '\\') return false;
    for (uint32_t k = n; k <= length && k <= probes->max_literal; k++) {
        uint32_t from, to;
        probes_range(probes, bytes + length - k, k, &from, &to);
        if (from < to) return false;
        probes_range_small(probes, bytes + length - k, k, &from, &to);
        if (from < to) return false;
    }
    return true;
}

/* Whether `letter` is read as a word in the mode of `state`, whatever sign follows: others may begin a string. */
static bool is_plain(Memo *self, Lexer *lexer, Tables *tables, Arena *arena, uint16_t state, uint32_t scan,
                     bool is_behind_blank, uint8_t letter) {
    AbiLexMode mode = tables_lex_mode(tables, state);
    uint64_t key = (uint64_t)mode.lex_state << 32 | (uint32_t)mode.external_lex_state << 16 | (uint32_t)letter << 8;
    key |= 4 | (uint64_t)is_behind_blank << 1;
    uint64_t *known = &self->letters[hash_mix(key) & (MEMO_LETTERS - 1)];
    if ((*known | 1) != (key | 1))
        *known = key | lexer_reads_letter(lexer, tables, arena, state, scan, is_behind_blank, letter);
    return *known & 1;
}

/* Whether the word at the end is a name or keyword and nothing else: in modes that read it as one and would see no more in
 * it behind a blank (end if), and with a letter that begins no string itself (rb"). */
static bool is_name(Memo *self, Lexer *lexer, Tables *tables, Arena *arena, const VersionSet *pending, Text text, uint32_t n) {
    uint8_t *end = (uint8_t *)text.bytes + text.length;
    const uint8_t *word = end - n;
    *end = ' ';
    text.length++;
    for (uint32_t i = 0; i < pending->n; i++) {
        const Version *version = &pending->at[i];
        uint16_t state = arena->nodes[version->node].state;
        lexer_set_text(lexer, text);
        bool is_read = lexer_reads_word(lexer, tables, state, version->offset, (uint32_t)(word - text.bytes));
        if (!is_read || lexer->touched) return false;
        bool is_behind_blank = text.bytes + version->offset < word;
        uint32_t k = 0;
        while (k < n && (is_digit(word[k]) || !is_plain(self, lexer, tables, arena, state, version->scan, is_behind_blank, word[k])))
            k++;
        if (k == n) return false;
    }
    return true;
}

/* Digits at the end that are an ordinary number: nothing but blanks before it, and not 0 first. Such numbers differ in
 * their length, and in the digits that days, hours and minutes begin with; those of two digits are all told apart. */
static uint32_t ordinary_number(const uint8_t *bytes, uint32_t length) {
    uint32_t n = 0;
    while (n < length && is_digit(bytes[length - n - 1])) n++;
    if (n == 0 || n == 2 || bytes[length - n] == '0') return 0;
    return are_blanks(bytes, length - n) ? n : 0;
}

/* Tells apart what differs among ordinary words and numbers. */
static uint32_t kinds_of(const uint8_t *word, uint32_t n) {
    if (is_digit(*word)) return n << 2 | (*word == '1' ? 1 : *word == '2' ? 2 : 3);
    uint32_t kinds = 0;
    for (uint32_t i = 0; i < n; i++) {
        uint8_t c = word[i];
        uint32_t kind = c == '_' ? 1 : c <= '9' ? 2 : c <= 'F' ? 4 : c <= 'Z' ? 8 : c <= 'f' ? 16 : 32;
        kinds |= i == 0 ? kind << 6 : kind;
    }
    return 0x8000 | kinds;
}

bool memo_text_key(Text text, uint32_t from, Ordinary ordinary, uint32_t n_after, uint64_t *key) {
    uint32_t length = text.length - from, n = ordinary.n;
    const uint8_t *bytes = text.bytes + from;
    if (length > MAX_BYTES || utf8_partial(text.bytes, text.length)) return false;
    if (length < n + n_after) n = 0; /* reading begins inside the word */
    uint64_t hash = hash_bytes(bytes, n ? length - n - n_after : length);
    if (n) {
        uint32_t kinds = ordinary.is_name ? 0x20000u : 0x10000u | kinds_of(bytes + length - n - n_after, n);
        hash = hash_mix(hash_mix(hash ^ kinds) ^ hash_bytes(bytes + length - n_after, n_after));
    }
    bool at_line_start = from > 0 ? bytes[-1] == '\n' : text.column == 0;
    *key = hash_mix(hash ^ ((uint64_t)at_line_start << 1 | (from == 0 && text.at_file_start)));
    return true;
}

/* Whether a word at the end may be the name of a closing tag, where it matters which word it is. */
static bool may_be_tag_name(const Tables *tables, const Arena *arena, const VersionSet *pending, const uint8_t *bytes,
                            uint32_t length) {
    if (!tables->tags.closer) return false;
    for (uint32_t i = 0; i < pending->n; i++) {
        const Node *top = &arena->nodes[pending->at[i].node];
        if (top->note || tables->accessing[top->state] == tables->tags.closer) return true;
    }
    return memchr(bytes, '<', length) != NULL;
}

bool memo_ask(Memo *self, Lexer *lexer, Tables *tables, const Probes *probes, Arena *arena, const VersionSet *pending,
              Text text, MemoQuestion *question) {
    uint32_t from = text.length;
    for (uint32_t i = 0; i < pending->n; i++)
        if (pending->at[i].offset < from) from = pending->at[i].offset;
    *question = (MemoQuestion){.tables = tables, .arena = arena, .pending = pending};
    const uint8_t *bytes = text.bytes + from;
    uint32_t length = text.length - from;
    uint32_t n_word = last_word(bytes, length);
    Ordinary *ordinary = &question->ordinary;
    if (n_word && are_blanks(bytes, length - n_word) && is_name(self, lexer, tables, arena, pending, text, n_word))
        question->n_name = n_word;
    if ((n_word >= MIN_WORD || question->n_name) && !remembers(arena, pending, begins_word) &&
        !may_be_tag_name(tables, arena, pending, bytes, length) && is_ordinary(probes, bytes, length, n_word))
        *ordinary = (Ordinary){n_word, question->n_name};
    if (length && !ordinary->n && is_digit(bytes[length - 1]) && !remembers(arena, pending, is_digit))
        ordinary->n = ordinary_number(bytes, length);
    if (!memo_text_key(text, from, *ordinary, 0, &question->text)) return false;
    question->column = text_column(&text, from);
    uint64_t offsets = 0;
    for (uint32_t i = 0; i < pending->n; i++) offsets += hash_mix(pending->at[i].offset - from + 1);
    question->text = hash_mix(question->text ^ offsets);
    return true;
}

/* The stack down to `depth` entries below its top, and whether brackets are open below that where layout asks for it. */
static uint64_t stack_key(const MemoQuestion *question, uint32_t node, uint32_t depth) {
    const Arena *arena = question->arena;
    uint64_t hash = 0x2545f4914f6cdd1du;
    for (uint32_t i = 0; i <= depth; i++) {
        const Node *it = &arena->nodes[node];
        if (it->n_links != 1) return hash_mix(hash ^ it->hash); /* the root, or merged stacks: all of it */
        hash = (hash ^ it->state ^ (it->note ? arena_note_hash(arena, it->note) : 0)) * 0x9e3779b97f4a7c15u;
        hash ^= hash >> 32;
        node = it->below;
    }
    if (question->tables->layout.enabled && depth)
        hash += stack_depth(question->tables, arena, node, MAX_FRAMES);
    return hash_mix(hash);
}

/* What was looked at, beyond the tops of the stacks. */
enum { LOOKED_COLUMN = 0x8000, LOOKED_DEPTH = 0x7FFF };

static uint64_t key_of(const MemoQuestion *question, uint32_t looked_at) {
    const VersionSet *pending = question->pending;
    uint64_t key = question->text + looked_at;
    if (looked_at & LOOKED_COLUMN) key = hash_mix(key ^ (uint64_t)question->column << 16);
    for (uint32_t i = 0; i < pending->n; i++) {
        const Version *version = &pending->at[i];
        uint64_t scan = question->arena->scans[version->scan].hash;
        /* A sum: versions have no order that matters. */
        uint64_t stack = stack_key(question, version->node, looked_at & LOOKED_DEPTH);
        key += hash_mix(stack ^ scan ^ ((uint64_t)version->last << 40));
    }
    return hash_mix(key);
}

int memo_recall(const Memo *self, const MemoQuestion *question) {
    uint64_t top = key_of(question, 0);
    uint64_t looked_at = self->depths[top & (MEMO_DEPTHS - 1)];
    if ((looked_at ^ top) >> 16) return -1;
    uint64_t key = key_of(question, (uint32_t)(looked_at & 0xFFFF));
    uint64_t found = self->verdicts[key & (MEMO_VERDICTS - 1)];
    /* The slot holds the low bits; the verdict takes the place of the topmost one. */
    if ((found ^ key) << 1 || found == 0) return -1;
    return (int)(found >> 63);
}

void memo_learn(Memo *self, const MemoQuestion *question, uint32_t depth, bool asked_column, bool verdict) {
    if (depth > MAX_DEPTH) return;
    uint64_t top = key_of(question, 0);
    uint64_t *slot = &self->depths[top & (MEMO_DEPTHS - 1)];
    uint32_t looked_at = depth | (asked_column ? LOOKED_COLUMN : 0);
    if ((*slot ^ top) >> 16 == 0) {
        /* In a place with the same top more was looked at: that much is looked at from now on. */
        uint32_t before = (uint32_t)(*slot & 0xFFFF);
        if ((before & LOOKED_DEPTH) > depth) looked_at += (before & LOOKED_DEPTH) - depth;
        looked_at |= before & LOOKED_COLUMN;
    }
    *slot = (top & ~(uint64_t)0xFFFF) | looked_at;
    uint64_t key = key_of(question, looked_at);
    self->verdicts[key & (MEMO_VERDICTS - 1)] = (key & ~((uint64_t)1 << 63)) | (uint64_t)verdict << 63;
}
