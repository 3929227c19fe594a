#include "run.h"

#include <string.h>

#include "ascii.h"

enum { MAX_BASES = 128 };

void run_begin(Run *self, RunMode mode, Text text, uint32_t mark) {
    self->text = text;
    self->mode = mode;
    self->mark = mark;
    self->queue.n = self->pending.n = self->dead.n = self->reached.n = 0;
    self->keeps_reached = false;
    self->witness = self->accepted = self->exhausted = false;
    self->died_at = self->died_token = self->n_denied = 0;
    self->denied_beyond = false;
    self->trace.n = 0;
    self->long_start = self->long_end = 0;
    self->n_steps = 0;
    self->lenient_from = UINT32_MAX;
    self->between = NULL;
    self->trail = NULL;
    lexer_set_text(self->lexer, text);
}

void versions_add(VersionSet *self, Arena *arena, Version version) {
    uint16_t state = arena->nodes[version.node].state;
    for (uint32_t i = 0; i < self->n; i++) {
        Version *it = &self->at[i];
        if (it->offset != version.offset || it->scan != version.scan || it->guessing != version.guessing ||
            it->last != version.last)
            continue;
        if (arena->nodes[it->node].state != state) continue;
        if (version.height < it->height) it->height = version.height;
        if (it->node == version.node) return;
        it->node = arena_merge(arena, it->node, version.node);
        return;
    }
    if (self->n < RUN_MAX_VERSIONS) self->at[self->n++] = version;
    else arena->failed = true;
}

void run_add(Run *self, Version version) {
    version.guessing = self->mode != RUN_READ;
    versions_add(&self->queue, self->arena, version);
}

/* Places below `count` entries of the stack; merged stacks have several. Returns how many. */
static uint32_t find_bases(const Arena *arena, uint32_t node, uint8_t count, uint32_t *bases, uint32_t cap) {
    while (count && arena->nodes[node].n_links == 1) {
        node = arena->nodes[node].below;
        count--;
    }
    bases[0] = node;
    uint32_t n = 1;
    while (count--) {
        uint32_t below[MAX_BASES];
        uint32_t n_below = 0;
        for (uint32_t i = 0; i < n; i++) {
            const uint32_t *links = arena_links(arena, bases[i]);
            for (uint32_t j = 0; j < arena->nodes[bases[i]].n_links; j++) {
                uint32_t k = 0;
                while (k < n_below && below[k] != links[j]) k++;
                if (k == n_below && n_below < cap) below[n_below++] = links[j];
            }
        }
        n = n_below;
        memcpy(bases, below, n * sizeof *bases);
    }
    return n;
}

/* The name that the `count` topmost entries hold together. */
static uint32_t joined_notes(Run *self, uint32_t node, uint32_t count) {
    Arena *arena = self->arena;
    char bytes[RUN_LONGEST_NAME];
    uint32_t at = sizeof bytes;
    for (; count && arena->nodes[node].n_links; count--, node = arena_links(arena, node)[0]) {
        uint32_t note = arena->nodes[node].note;
        if (note == 0) continue;
        if (note == ARENA_ANY || arena->nodes[node].n_links > 1 || arena->scans[note].length > at) return ARENA_ANY;
        at -= arena->scans[note].length;
        memcpy(bytes + at, arena->scan_bytes + arena->scans[note].start, arena->scans[note].length);
    }
    return arena_scan(arena, bytes + at, sizeof bytes - at);
}

/* The kinds of items and of lists up to an item, as notes of phrases; plain ones have none. */
enum { KIND_PLAIN = 0, KIND_NAMED = '=', KIND_STARRED = '*', KIND_UNPACKED = '%', KIND_FREE = '|', KIND_UNKNOWN = '?' };

static char kind_of(const Arena *arena, uint32_t node) {
    uint32_t note = arena->nodes[node].note;
    return note == 0 ? KIND_PLAIN : note == ARENA_ANY ? KIND_UNKNOWN : arena->scan_bytes[arena->scans[note].start];
}

/* The kind of the list that `kind` and the item on top of it make. */
static char kind_behind(char kind, char item) {
    if (kind == KIND_FREE || kind == KIND_UNKNOWN || item == KIND_PLAIN) return kind;
    if (item == KIND_STARRED && kind != KIND_PLAIN) return kind;
    return item == KIND_UNPACKED ? KIND_NAMED : item;
}

/* The kind of a phrase made of the `count` topmost entries. */
static char kind_of_phrase(const Run *self, uint32_t node, uint32_t count, uint16_t symbol) {
    const Arena *arena = self->arena;
    uint32_t mark = self->tables->marks[symbol];
    if (mark & MARK_NAMED) return KIND_NAMED;
    if (mark & MARK_STARRED) return KIND_STARRED;
    if (mark & MARK_UNPACKED) return KIND_UNPACKED;
    if (mark & MARK_BARRIER) return KIND_FREE;
    char kinds[UINT8_MAX + 1], kind = KIND_PLAIN;
    uint32_t n = 0;
    for (;; node = arena_links(arena, node)[0]) {
        kinds[n++] = kind_of(arena, node);
        if (n > count || !arena->nodes[node].n_links) break;
    }
    while (n) kind = kind_behind(kind, kinds[--n]);
    return kind;
}

uint32_t run_reduce(Run *self, uint32_t node, uint8_t count, uint16_t symbol, bool end_of_extra, uint32_t *results,
                    uint32_t cap) {
    Arena *arena = self->arena;
    uint32_t bases[MAX_BASES];
    uint32_t n_bases = find_bases(arena, node, count, bases, MAX_BASES < cap ? MAX_BASES : cap);
    uint32_t mark = self->tables->marks[symbol];
    uint32_t note = mark & MARK_TAG_PART ? joined_notes(self, node, count) : 0;
    if (mark & MARKS_OF_ORDER) {
        char kind = kind_of_phrase(self, node, count, symbol);
        note = kind == KIND_UNKNOWN ? ARENA_ANY : arena_scan(arena, &kind, kind != KIND_PLAIN);
    }
    uint32_t n = 0;
    for (uint32_t i = 0; i < n_bases; i++) {
        uint16_t below = arena->nodes[bases[i]].state;
        uint16_t next = tables_row(self->tables, below)[symbol];
        if (next == 0) continue;
        /* Extras do not change the state and are never counted when entries are popped, so they are not pushed. */
        uint32_t result = end_of_extra && next == below ? bases[i] : arena_push(arena, bases[i], next, note);
        uint32_t j = 0;
        while (j < n && arena->nodes[results[j]].state != arena->nodes[result].state) j++;
        if (j < n) results[j] = arena_merge(arena, results[j], result);
        else results[n++] = result;
    }
    return n;
}

static void die(Run *self, Version version, uint32_t token_start) {
    if (version.offset > self->died_at) {
        self->died_at = version.offset;
        self->dead.n = 0;
        self->died_token = 0;
    }
    if (version.offset < self->died_at) return;
    if (token_start > self->died_token) self->died_token = token_start;
    version.guessing = false;
    versions_add(&self->dead, self->arena, version);
}

static bool has_line_break(const Text *text, uint32_t from, uint32_t to) {
    return memchr(text->bytes + from, '\n', to - from) != NULL;
}

/* A line break after a backslash joins lines; scanners skip it like a blank. */
static bool is_joined(const Text *text, uint32_t line_break) {
    uint32_t at = line_break;
    if (at > 0 && text->bytes[at - 1] == '\r') at--;
    return at > 0 && text->bytes[at - 1] == '\\';
}

/* Indentation on top of the scanner's stack as Python's scanner serialises it: a flag, a count of string delimiters,
 * one byte for each of them, then two bytes for each level but the first, which is 0. */
static uint32_t top_indent(const Arena *arena, uint32_t scan) {
    const Scan *it = &arena->scans[scan];
    if (it->length < 2) return 0;
    const uint8_t *bytes = (const uint8_t *)arena->scan_bytes + it->start;
    if (it->length < 2u + bytes[1] + 2u) return 0;
    return bytes[it->length - 2] | (uint32_t)bytes[it->length - 1] << 8;
}

/* Whether the innermost string that this scanner is in has triple quotes: a bit of its delimiter. */
static bool is_triple_quoted(const Arena *arena, uint32_t scan) {
    const Scan *it = &arena->scans[scan];
    const uint8_t *bytes = (const uint8_t *)arena->scan_bytes + it->start;
    return it->length >= 2 && bytes[1] && it->length > 1u + bytes[1] && bytes[1 + bytes[1]] & 1 << 5;
}

/* Column as that scanner counts it: a tab is 8, a form feed begins anew. */
static uint32_t layout_column(const Text *text, uint32_t offset) {
    uint32_t start = offset, column = 0;
    while (start > 0 && text->bytes[start - 1] != '\n') start--;
    if (start == 0 && text->at_file_start && offset >= 3 && !memcmp(text->bytes, "\xEF\xBB\xBF", 3)) start = 3;
    for (; start < offset; start++) {
        uint8_t c = text->bytes[start];
        if (c == '\t') column += 8;
        else if (c == '\f' || c == '\r') column = 0;
        else column++;
    }
    return column;
}

uint32_t stack_depth(const Tables *tables, const Arena *arena, uint32_t node, uint32_t cap) {
    uint32_t n_open = 0, n_closed = 0;
    for (; arena->nodes[node].n_links && n_open < cap; node = arena_links(arena, node)[0]) {
        int bracket = tables_bracket(tables, arena->nodes[node].state);
        if (bracket < 0) n_closed++;
        else if (bracket > 0 && n_closed) n_closed--;
        else if (bracket > 0) n_open++;
    }
    return n_open;
}

uint32_t stack_unfinished(const Tables *tables, const Arena *arena, uint32_t node) {
    uint32_t n = 0;
    bool is_settled = false;
    for (; arena->nodes[node].n_links; node = arena_links(arena, node)[0]) {
        uint32_t mark = tables->marks[tables->accessing[arena->nodes[node].state]];
        if (mark & MARK_OPENS) n += !is_settled;
        if (mark & (MARK_OPENS | MARK_SETTLES)) is_settled = mark & MARK_SETTLES;
    }
    return n;
}

/* Whether a token at `start` is the first of a line. `*is_continued`: of one that goes on the line before. */
static bool is_new_line(const Run *self, const Version *version, uint32_t start, bool *is_continued) {
    bool is_break = version->last == 0 && version->offset == 0 && self->text.at_file_start;
    *is_continued = false;
    for (uint32_t i = version->offset; i < start; i++) {
        if (self->text.bytes[i] != '\n') continue;
        *is_continued = is_joined(&self->text, i);
        is_break |= !*is_continued;
    }
    return is_break;
}

static bool begins_line(const LayoutRule *layout, const Version *version) {
    return version->last == 0 || version->last == layout->newline || version->last == layout->indent ||
           version->last == layout->dedent;
}

static bool layout_allows(const Run *self, const Version *version, const Token *token) {
    const LayoutRule *layout = &self->tables->layout;
    uint16_t symbol = token->symbol;
    if (symbol == layout->newline || symbol == layout->indent || symbol == layout->dedent) return true;
    if (symbol == ABI_SYMBOL_END) return true;
    if (symbol == layout->string && token->end > token->start && self->text.bytes[token->start] == '\n')
        return is_triple_quoted(self->arena, version->scan);
    bool is_continued;
    if (!is_new_line(self, version, token->start, &is_continued)) return true;
    if (stack_depth(self->tables, self->arena, version->node, 1)) return true;
    if (!begins_line(layout, version)) return false;
    if (symbol == layout->comment || is_continued) return true;
    return layout_column(&self->text, token->start) == top_indent(self->arena, version->scan);
}

/* Whether layout allows no token here, although later text may still change what the next one is. */
static bool is_out_of_place(Run *self, const Version *version) {
    const LayoutRule *layout = &self->tables->layout;
    const Text *text = &self->text;
    uint32_t start = version->offset;
    for (; start < text->length; start++) {
        uint8_t c = text->bytes[start];
        bool is_joint = c == '\\' && start + 1 < text->length && (text->bytes[start + 1] == '\n' || text->bytes[start + 1] == '\r');
        if (c != ' ' && c != '\t' && c != '\f' && c != '\r' && c != '\n' && !is_joint) break;
    }
    bool is_continued;
    if (!is_new_line(self, version, start, &is_continued)) return false;
    if (stack_depth(self->tables, self->arena, version->node, 1)) return false;
    if (begins_line(layout, version)) {
        if (is_continued || self->lexer->scanner_touched || start == text->length) return false;
        if (text->bytes[start] == '#' || text->bytes[start] == '\\') return false;
        return layout_column(text, start) != top_indent(self->arena, version->scan);
    }
    const uint16_t *row = tables_row(self->tables, self->arena->nodes[version->node].state);
    if (row[layout->newline] || row[layout->indent] || row[layout->dedent] || row[ABI_SYMBOL_END]) return false;
    return !row[layout->string] || !is_triple_quoted(self->arena, version->scan);
}

/* Whether a quoted string holds a line break already, however it goes on. */
static bool is_broken(const Run *self, const Token *token) {
    for (uint32_t i = 0; i < self->tables->n_one_line && token->found; i++)
        if (self->tables->one_line[i] == token->symbol) return has_line_break(&self->text, token->start, token->end);
    return false;
}

/* Height of the entry below the `count` topmost ones, which is looked at now. Extras that are not pushed make the true
 * height greater: then more is taken for looked at than was. */
static int16_t look_below(Run *self, int16_t height, uint32_t count) {
    int32_t below = (int32_t)height - (int32_t)count;
    if (below < self->lowest) self->lowest = below;
    return below < INT16_MIN ? INT16_MIN : (int16_t)below;
}

/* What opened the innermost bracket frame; 0 outside of all. `*depth`: how many entries above were looked at. */
static uint16_t innermost_frame(const Tables *tables, const Arena *arena, uint32_t node, uint32_t *depth) {
    uint32_t n_closed = 0;
    for (*depth = 0; arena->nodes[node].n_links; node = arena_links(arena, node)[0], ++*depth) {
        int bracket = tables_bracket(tables, arena->nodes[node].state);
        if (bracket < 0) n_closed++;
        else if (bracket > 0 && n_closed) n_closed--;
        else if (bracket > 0) return tables->accessing[arena->nodes[node].state];
    }
    return 0;
}

/* The symbol of the entry `n` below the top; 0 at the bottom. Merged stacks agree on it nearly always. */
static uint16_t symbol_below(const Run *self, uint32_t node, uint32_t n) {
    const Arena *arena = self->arena;
    while (n-- && arena->nodes[node].n_links) node = arena_links(arena, node)[0];
    return arena->nodes[node].n_links ? self->tables->accessing[arena->nodes[node].state] : 0;
}

/* 09 and 1_ are no numbers; 00, 0x09 and 09.5 are. */
static bool is_decimal(const uint8_t *at, uint32_t n) {
    bool is_plain = true, is_zero = true;
    for (uint32_t i = 0; i < n; i++) {
        if (at[i] == '_' && (i + 1 == n || at[i + 1] == '_')) return false;
        is_plain = is_plain && (is_digit(at[i]) || at[i] == '_');
        is_zero = is_zero && (at[i] == '0' || at[i] == '_');
    }
    return !(is_plain && n > 1 && at[0] == '0' && !is_zero);
}

static bool is_json_number(const uint8_t *at, uint32_t n) {
    uint32_t i = n && at[0] == '-';
    if (i < n && at[i] == '0') i++;
    else if (i < n && is_digit(at[i])) while (i < n && is_digit(at[i])) i++;
    else return false;
    if (i < n && at[i] == '.') {
        if (++i == n || !is_digit(at[i])) return false;
        while (i < n && is_digit(at[i])) i++;
    }
    if (i < n && (at[i] | 32) == 'e') {
        if (++i < n && (at[i] == '+' || at[i] == '-')) i++;
        if (i == n) return false;
        while (i < n && is_digit(at[i])) i++;
    }
    return i == n;
}

static bool is_escape(const Tables *tables, const uint8_t *at, uint32_t n) {
    const uint8_t *backslash = memchr(at, '\\', n);
    return !backslash || backslash + 1 == at + n || (backslash[1] < 0x80 && tables->escapes[backslash[1]]);
}

static bool is_name(const uint8_t *at, uint32_t n) {
    for (uint32_t i = 0; i < n; i++)
        if (at[i] < 0x80 && !is_word(at[i])) return false;
    return true;
}

/* Whether the entry `n` below the top is the bottom of the stack, or the list of what stands at the top of the document. */
static bool is_at_top(Run *self, const Version *version, uint32_t n) {
    uint16_t symbol = symbol_below(self, version->node, n);
    look_below(self, version->height, n);
    if (symbol == 0 || !(self->tables->marks[symbol] & MARK_TOP_LIST)) return symbol == 0;
    look_below(self, version->height, n + 1);
    return symbol_below(self, version->node, n + 1) == 0; /* blocks may have the same lists */
}

/* The marks' opinion of a token that is no extra, shifted onto `version`, which was `before` it was read. */
static bool marks_allow(Run *self, const Version *before, const Version *version, const Token *token) {
    const Tables *tables = self->tables;
    const uint32_t *marks = tables->marks;
    const uint8_t *bytes = self->text.bytes + token->start;
    uint32_t used = tables->marks_used, mark = marks[token->symbol];
    if (token->symbol == ABI_SYMBOL_END) return true;
    uint16_t top = symbol_below(self, version->node, 0);
    if (marks[top] & MARK_CLOSED && top) return false;
    if (used & MARK_FIRST && top == 0 && !(mark & MARK_FIRST)) return false;
    if (used & MARK_TOP && top && marks[top] & MARK_TOP_LIST && !(mark & MARK_TOP) && is_at_top(self, version, 0)) return false;
    if (marks[before->last] & MARK_TOP_WORD && !(mark & MARK_TOP_REST) && symbol_below(self, before->node, 0) == before->last) {
        /* The word may be the last of a path, of which the rest is a word, too. */
        uint16_t joint = symbol_below(self, before->node, 1), path = symbol_below(self, before->node, 2);
        bool is_joint = joint && marks[joint] & MARK_TOP_REST, is_path = is_joint && path && marks[path] & MARK_TOP_WORD;
        look_below(self, before->height, 2);
        if (is_at_top(self, before, 1 + is_joint + is_path)) return false;
    }
    if (marks[before->last] & MARK_ENDS_LINE && has_line_break(&self->text, before->offset, token->start)) return false;
    uint32_t length = token->end - token->start;
    self->denied_inside = (mark & MARK_DECIMAL && !is_decimal(bytes, length)) ||
                          (mark & MARK_JSON_NUMBER && !is_json_number(bytes, length)) ||
                          (mark & MARK_NAME && !is_name(bytes, length)) ||
                          (mark & MARK_ESCAPE && !is_escape(tables, bytes, length));
    return !self->denied_inside;
}

uint32_t run_open_tag(Run *self, uint32_t node, bool *is_closing, uint32_t *typed) {
    const TagRule *tags = &self->tables->tags;
    uint32_t top = node;
    *typed = 0;
    *is_closing = false;
    for (uint32_t n = 0; n < RUN_TAG_ENTRIES; n++) {
        uint16_t symbol = symbol_below(self, node, 0);
        if (symbol == tags->closer) *typed = joined_notes(self, top, n), *is_closing = true;
        if (symbol == tags->opening) return self->arena->nodes[node].note;
        if (self->arena->nodes[node].n_links != 1) return ARENA_ANY;
        node = self->arena->nodes[node].below;
    }
    return ARENA_ANY;
}

/* Whether this terminal, shifted onto that stack, is of a tag's name. */
static bool is_in_tag(const Run *self, uint32_t node, uint16_t symbol) {
    const Tables *tables = self->tables;
    uint32_t mark = tables->marks[symbol];
    uint16_t top = symbol_below(self, node, 0);
    if (mark & MARK_TAG_NAME && top && (top == tables->tags.opener || top == tables->tags.closer)) return true;
    if (!self->arena->nodes[node].note) return false;
    return mark & MARK_TAG_JOINT || (mark & MARK_TAG_NAME && tables->marks[top] & MARK_TAG_JOINT);
}

static bool goes_on(uint8_t c) { return is_word(c) || c == '-' || c == '$' || c >= 0x80; }

/* A closing tag has the name of the one that is open: so has each part of it, as far as it goes. */
static bool tags_allow(Run *self, const Version *version, const Token *token) {
    const TagRule *tags = &self->tables->tags;
    Arena *arena = self->arena;
    bool is_end = token->symbol == tags->end;
    if (!is_end && !is_in_tag(self, version->node, token->symbol)) return true;
    look_below(self, version->height, RUN_TAG_ENTRIES);
    bool is_closing;
    uint32_t typed, open = run_open_tag(self, version->node, &is_closing, &typed);
    if (!is_closing || open == ARENA_ANY || typed == ARENA_ANY) return true;
    if (is_end) return open == typed;
    const Scan *name = &arena->scans[open];
    uint32_t before = arena->scans[typed].length, length = token->end - token->start, end = before + length;
    const char *at = arena->scan_bytes + name->start;
    self->denied_inside = end > name->length || memcmp(at + before, self->text.bytes + token->start, length) ||
                          (self->tables->marks[token->symbol] & MARK_TAG_NAME && end < name->length && goes_on((uint8_t)at[end]));
    return !self->denied_inside;
}

/* Behind a named item and a separator begins nothing that can only be a plain one. */
static bool order_allows(Run *self, const Version *before, uint16_t symbol) {
    const Tables *tables = self->tables;
    const Arena *arena = self->arena;
    uint32_t node = before->node, mark = tables->marks[symbol];
    bool is_behind_word = tables->marks[before->last] & MARK_ITEM_WORD && arena->nodes[node].n_links;
    if (is_behind_word) node = arena_links(arena, node)[0];
    look_below(self, before->height, is_behind_word);
    if (symbol_below(self, node, 0) != tables->separator) return true;
    look_below(self, before->height, is_behind_word + 1u);
    if (kind_of(arena, arena_links(arena, node)[0]) != KIND_NAMED) return true;
    return mark & (is_behind_word ? MARK_ITEM_REST : MARK_ITEM_WORD | MARK_ITEM_START);
}

/* One rule's opinion of shifting `token` onto `version`. What it looks at is looked at: verdicts depend on it. */
static bool rule_allows_shift(Run *self, const Rule *rule, const Version *before, const Version *version, const Token *token) {
    Tables *tables = self->tables;
    const Arena *arena = self->arena;
    uint32_t node = version->node, depth;
    switch (rule->kind) {
    case RULE_PAIR:
        return rule->a != before->last || rule->b != token->symbol;
    case RULE_IN_FRAME: {
        if (rule->c != token->symbol || rule->b != before->last) return true;
        uint16_t frame = innermost_frame(tables, arena, node, &depth);
        look_below(self, version->height, depth);
        return frame != rule->a;
    }
    case RULE_DECIDED: {
        bool is_decided = self->mode == RUN_WHOLE || (self->mode == RUN_READ && !before->guessing && !token->touched);
        return rule->a != before->last || rule->b != token->symbol || !is_decided;
    }
    case RULE_GLUED:
        return rule->a != before->last || rule->b != token->symbol || token->start != before->offset;
    case RULE_APART:
        return rule->a != before->last || token->start != before->offset || token->start == self->text.length ||
               memchr(" \t\r\n;&|()<>", self->text.bytes[token->start], 11) ||
               !tables_row(tables, arena->nodes[before->node].state)[rule->b];
    case RULE_ONLY: {
        if (rule->a != before->last || rule->b == token->symbol || symbol_below(self, before->node, 0) != rule->a) return true;
        look_below(self, before->height, 1);
        uint32_t below = arena_links(arena, before->node)[0];
        return !tables_row(tables, arena->nodes[below].state)[rule->c];
    }
    case RULE_BARRED:
        return rule->a != token->symbol || (rule->b && !tables_row(tables, arena->nodes[node].state)[rule->b]);
    case RULE_STANDS_ON: {
        if (rule->b != token->symbol) return true;
        look_below(self, version->height, 1);
        if (symbol_below(self, node, 1) != rule->a) return true;
        /* A phrase or a name: `x = lambda: 1` has neither on its `=`. */
        uint16_t top = symbol_below(self, node, 0);
        return top < tables->abi->n_tokens && top != tables->abi->keyword_capture;
    }
    default:
        return true;
    }
}

static bool rules_allow_shift(Run *self, const Version *before, const Version *version, const Token *token) {
    const Tables *tables = self->tables;
    const Rule *rule;
    for (rule = tables_rule(tables, tables->called[token->symbol]); rule; rule = tables_rule(tables, rule->next))
        if (!rule_allows_shift(self, rule, before, version, token)) return false;
    for (rule = tables_rule(tables, tables->called[before->last]); rule; rule = tables_rule(tables, rule->next))
        if (!rule_allows_shift(self, rule, before, version, token)) return false;
    return true;
}

/* One rule's opinion of a reduction with `lookahead` next (ABI_NO_LOOKAHEAD: none was read). */
static bool rule_allows_reduce(const Run *self, const Rule *rule, const Version *before, uint32_t node, uint8_t count,
                               uint16_t symbol, uint16_t lookahead, bool is_lenient) {
    Tables *tables = self->tables;
    switch (rule->kind) {
    case RULE_BASE:
        return rule->b != symbol || symbol_below(self, node, count) != rule->a;
    case RULE_REDUCE:
        return rule->c != symbol || (rule->b && rule->b != lookahead) || rule->a != before->last;
    case RULE_UNFINISHED:
        return rule->c != symbol || is_lenient || rule->a != symbol_below(self, node, 0);
    case RULE_ALONE:
        return rule->b != symbol || count != 1 || rule->a != before->last;
    case RULE_STATEMENT: {
        /* The state behind a phrase may be that of another: the tables leave out reductions of one phrase to another. So a
         * phrase is known while it is made, and only a terminal by the top of the stack. */
        bool is_made = rule->a == symbol, is_word = count == 1 && symbol_below(self, node, 0) == rule->a;
        if ((rule->b && rule->b != lookahead) || !(is_made || (is_word && rule->a < tables->abi->n_tokens))) return true;
        for (uint32_t n = count; n && self->arena->nodes[node].n_links; n--) node = arena_links(self->arena, node)[0];
        uint16_t on = symbol_below(self, node, 0);
        bool is_arrow = on && tables->marks[on] & MARK_ARROW;
        return is_arrow || !tables_row(tables, self->arena->nodes[node].state)[rule->c];
    }
    default:
        return true;
    }
}

static bool rules_allow_reduce(const Run *self, const Version *before, uint32_t node, uint8_t count, uint16_t symbol,
                               uint16_t lookahead, bool is_lenient) {
    const Tables *tables = self->tables;
    const Rule *rule;
    if (tables->marks[symbol] & MARK_ORDERED && count > 1 && kind_of(self->arena, node) == KIND_PLAIN &&
        kind_of_phrase(self, node, count, symbol) == KIND_NAMED)
        return false;
    for (rule = tables_rule(tables, tables->called[symbol]); rule; rule = tables_rule(tables, rule->next))
        if (!rule_allows_reduce(self, rule, before, node, count, symbol, lookahead, is_lenient)) return false;
    for (rule = tables_rule(tables, tables->called[before->last]); rule; rule = tables_rule(tables, rule->next))
        if (!rule_allows_reduce(self, rule, before, node, count, symbol, lookahead, is_lenient)) return false;
    return true;
}

/* The overlay's opinion of shifting `token` onto `reduced`, which was `version` before reductions: false where the grammar
 * is looser than the language. */
static bool overlay_allows(Run *self, const Version *version, const Version *reduced, const Token *token, bool is_extra) {
    Tables *tables = self->tables;
    self->denied_inside = false;
    if (tables->marks_used & ~MARKS_OF_STACKS && !is_extra && !marks_allow(self, version, reduced, token)) return false;
    if (tables->n_rules && !is_extra && !rules_allow_shift(self, version, reduced, token)) return false;
    if (tables->tags.closer && !is_extra && !tags_allow(self, reduced, token)) return false;
    if (tables->separator && !is_extra && !order_allows(self, version, token->symbol)) return false;
    if (tables->n_unbroken && has_line_break(&self->text, version->offset, token->start)) {
        const uint16_t *row = tables_row(tables, self->arena->nodes[version->node].state);
        for (uint32_t i = 0; i < tables->n_unbroken; i++)
            if (row[tables->unbroken[i]]) return false;
    }
    if (is_broken(self, token)) {
        self->denied_inside = true;
        return false;
    }
    return !tables->layout.enabled || layout_allows(self, version, token);
}

static void shift(Run *self, Version version, const Token *token, const AbiAction *action) {
    if (!action->shift.extra) {
        uint32_t note = 0;
        if (self->tables->tags.closer && is_in_tag(self, version.node, token->symbol))
            note = token->end - token->start > RUN_LONGEST_NAME
                       ? ARENA_ANY
                       : arena_scan(self->arena, (const char *)self->text.bytes + token->start, token->end - token->start);
        version.node = arena_push(self->arena, version.node, action->shift.state, note);
        version.last = token->symbol;
        if (version.height < INT16_MAX) version.height++;
    }
    if (token->external) version.scan = token->scan;
    version.offset = token->end;
    if (token->end - token->start >= RUN_LONG_TOKEN) self->long_start = token->start, self->long_end = token->end;
    if (version.guessing && self->mode != RUN_WHOLE && token->end > token->start && token->end >= self->mark) {
        self->witness = true;
        if (self->keeps_reached) versions_add(&self->reached, self->arena, version);
        return;
    }
    versions_add(&self->queue, self->arena, version);
}

/* One version reads one token: reductions until it is shifted, as in ts_parser__advance. Reductions other than the
 * last become versions of their own, which read the token again in their own state. */
static void read_token(Run *self, Version version) {
    Tables *tables = self->tables;
    Arena *arena = self->arena;
    Token token = {0};
    Version before = version;
    const AbiActionEntry *entry = NULL;
    bool needs_token = true, has_token = false;
    for (;;) {
        uint16_t state = arena->nodes[version.node].state;
        if (++self->n_steps > self->max_steps) {
            self->exhausted = true;
            return;
        }
        if (needs_token) {
            needs_token = false;
            has_token = tables_lex_mode(tables, state).lex_state != ABI_NO_LOOKAHEAD;
            before = version;
            if (has_token) {
                uint64_t n_hangs = self->lexer->n_hangs;
                token = lexer_read(self->lexer, tables, arena, state, version.offset, version.scan);
                if (self->mode == RUN_READ && lexer_has_hung(self->lexer, arena, n_hangs)) {
                    /* More text may let it go on. */
                    if (!version.guessing) versions_add(&self->pending, arena, version);
                    die(self, before, token.start);
                    return;
                }
                if (self->lexer->looked_at + 1 >= self->mark) {
                    if (self->trace.n < RUN_MAX_READS)
                        self->trace.at[self->trace.n] = (Read){version.offset, version.scan, state};
                    self->trace.n++;
                }
                if (token.touched && !version.guessing) {
                    if ((tables->layout.enabled && is_out_of_place(self, &version)) ||
                        is_broken(self, &token)) {
                        die(self, before, token.start);
                        return;
                    }
                    versions_add(&self->pending, arena, version);
                    if (self->witness && !self->keeps_reached) return;
                    version.guessing = true;
                }
                if (!token.found) {
                    die(self, before, token.start);
                    return;
                }
                entry = tables_actions(tables, state, token.symbol);
            } else {
                /* The end of an extra made of several tokens: reduce whatever comes, then read in the state below. */
                entry = tables_actions(tables, state, ABI_SYMBOL_END);
            }
        }
        uint32_t carried = ARENA_NONE;
        int16_t carried_height = 0;
        bool did_reduce = false, was_denied = false;
        for (uint32_t i = 0; i < entry->head.count; i++) {
            const AbiAction *action = &entry[1 + i].action;
            if (action->type == ABI_SHIFT) {
                if (action->shift.repetition || !has_token) continue;
                if (carried != ARENA_NONE) {
                    Version fork = version;
                    fork.node = carried;
                    fork.height = carried_height;
                    versions_add(&self->queue, arena, fork);
                }
                if (overlay_allows(self, &before, &version, &token, action->shift.extra)) {
                    shift(self, version, &token, action);
                    return;
                }
                self->n_denied++;
                if (token.end >= self->mark && (token.start >= self->mark || self->denied_inside)) self->denied_beyond = true;
                if (carried == ARENA_NONE) die(self, before, token.start);
                return;
            }
            if (action->type == ABI_REDUCE && tables->n_rules &&
                !rules_allow_reduce(self, &before, version.node, action->reduce.child_count, action->reduce.symbol,
                                    has_token ? token.symbol : ABI_NO_LOOKAHEAD,
                                    has_token && token.start >= self->lenient_from)) {
                was_denied = true;
                look_below(self, version.height, action->reduce.child_count + 1);
            } else if (action->type == ABI_REDUCE) {
                uint32_t results[MAX_BASES];
                uint32_t n = run_reduce(self, version.node, action->reduce.child_count, action->reduce.symbol,
                                        !has_token, results, MAX_BASES);
                did_reduce = true;
                int16_t height = look_below(self, version.height, action->reduce.child_count) + has_token;
                for (uint32_t j = 0; j < n; j++) {
                    Version fork = version;
                    fork.node = results[j];
                    fork.height = height;
                    if (j == 0) {
                        fork.node = carried;
                        fork.height = carried_height;
                        carried = results[0];
                        carried_height = height;
                    }
                    if (fork.node != ARENA_NONE) versions_add(&self->queue, arena, fork);
                }
            } else if (action->type == ABI_ACCEPT) {
                self->accepted = true;
                if (version.guessing) self->witness = true;
                return;
            } else {
                die(self, before, token.start);
                return;
            }
        }
        if (carried != ARENA_NONE) {
            version.node = carried;
            version.height = carried_height;
            if (has_token) entry = tables_actions(tables, arena->nodes[carried].state, token.symbol);
            else needs_token = true;
            continue;
        }
        if (did_reduce) return;
        if (was_denied) {
            die(self, before, has_token ? token.start : version.offset);
            return;
        }
        /* A keyword that does not fit here may still be an ordinary word. */
        uint16_t word = tables->abi->keyword_capture;
        if (has_token && token.keyword && token.symbol != word && !tables_is_reserved(tables, state, token.symbol)) {
            entry = tables_actions(tables, state, word);
            if (entry->head.count) {
                token.symbol = word;
                continue;
            }
        }
        die(self, before, has_token ? token.start : version.offset);
        return;
    }
}

void run_go(Run *self) {
    VersionSet *queue = &self->queue;
    while (queue->n && !self->exhausted && !self->arena->failed) {
        uint32_t first = 0;
        for (uint32_t i = 1; i < queue->n; i++)
            if (queue->at[i].offset < queue->at[first].offset) first = i;
        Version version = queue->at[first];
        if (queue->n == 1 && self->between && self->between(self, &version)) return;
        queue->n--;
        memmove(&queue->at[first], &queue->at[first + 1], (queue->n - first) * sizeof *queue->at);
        /* Guesses are only there to find one witness. */
        if (version.guessing && self->witness && self->mode == RUN_READ && !self->keeps_reached) continue;
        if (self->trail && !version.guessing) self->trail->at[self->trail->n++ % RUN_TRAIL] = version;
        read_token(self, version);
        if (self->mode == RUN_WITNESS && self->witness) return;
        if (self->mode == RUN_WHOLE && self->accepted) return;
    }
}

uint32_t run_shift(Run *self, uint32_t node, uint16_t symbol) {
    uint32_t todo[MAX_BASES] = {node};
    uint32_t n = 1, n_done = 0;
    while (n_done < n) {
        uint32_t at = todo[n_done++];
        const AbiActionEntry *entry = tables_actions(self->tables, self->arena->nodes[at].state, symbol);
        for (uint32_t i = 0; i < entry->head.count; i++) {
            const AbiAction *action = &entry[1 + i].action;
            if (action->type == ABI_ACCEPT) return at;
            if (action->type == ABI_SHIFT && !action->shift.repetition)
                return action->shift.extra ? at
                                           : arena_push(self->arena, at, action->shift.state,
                                                        self->tables->tags.closer && is_in_tag(self, at, symbol) ? ARENA_ANY : 0);
            if (action->type != ABI_REDUCE) continue;
            uint32_t results[MAX_BASES];
            uint32_t n_results = run_reduce(self, at, action->reduce.child_count, action->reduce.symbol, false,
                                            results, MAX_BASES);
            for (uint32_t j = 0; j < n_results; j++) {
                uint32_t k = 0;
                while (k < n && todo[k] != results[j]) k++;
                if (k == n && n < MAX_BASES) todo[n++] = results[j];
            }
        }
    }
    return ARENA_NONE;
}

bool run_can_shift(Run *self, uint32_t node, uint16_t symbol) { return run_shift(self, node, symbol) != ARENA_NONE; }
