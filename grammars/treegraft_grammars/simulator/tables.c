#include "tables.h"

#include <stdlib.h>
#include <string.h>

/* Where the table's values lead, each of which stands in many places: a state, or NOWHERE for what only reduces. */
enum { N_VALUES = 1 << 16, UNKNOWN = 0, NOWHERE = 0xFFFF };

static uint16_t find_target(const AbiLanguage *abi, uint16_t value) {
    const AbiActionEntry *entry = &abi->actions[value];
    for (uint32_t i = entry->head.count; i > 0; i--) {
        const AbiAction *action = &entry[i].action;
        if (action->type == ABI_SHIFT && !action->shift.extra) return action->shift.state;
    }
    return NOWHERE;
}

static inline void note_accessing(Tables *self, uint16_t *targets, uint32_t from, uint32_t symbol, uint16_t value) {
    uint16_t target = value;
    if (symbol < self->abi->n_tokens) {
        if (targets[value] == UNKNOWN) targets[value] = find_target(self->abi, value);
        target = targets[value];
    } else if (value == from) {
        return; /* a phrase that leads back may be an extra, such as a comment made of tokens: it leads nowhere */
    }
    if (target < self->abi->n_states) self->accessing[target] = (uint16_t)symbol;
}

/* One symbol leads into each state, those that stand for it in a unit reduction aside: the last in the table speaks. */
static bool find_accessing(Tables *self) {
    const AbiLanguage *abi = self->abi;
    uint16_t *targets = calloc(N_VALUES, sizeof *targets);
    if (!targets) return false;
    for (uint32_t state = 0; state < abi->n_large_states; state++) {
        const uint16_t *row = abi->large_table + (size_t)state * abi->n_symbols;
        for (uint32_t symbol = 0; symbol < abi->n_symbols; symbol++)
            if (row[symbol]) note_accessing(self, targets, state, symbol, row[symbol]);
    }
    for (uint32_t state = abi->n_large_states; state < abi->n_states; state++) {
        const uint16_t *data = &abi->small_table[abi->small_table_map[state - abi->n_large_states]];
        uint16_t n_groups = *data++;
        while (n_groups--) {
            uint16_t value = *data++;
            uint16_t n = *data++;
            /* All of a group are terminals, or none is, and lead to the same state. */
            note_accessing(self, targets, state, data[n - 1], value);
            data += n;
        }
    }
    free(targets);
    return true;
}

/* Terminals that open a frame are those spelled with an opening bracket at their end, like `(`, `${`, `#[`. */
static void find_brackets(Tables *self) {
    for (uint32_t symbol = 1; symbol < self->abi->n_tokens; symbol++) {
        const char *name = self->abi->symbol_names[symbol];
        size_t length = name ? strlen(name) : 0;
        if (length == 0 || length > 3) continue;
        if (strchr("([{", name[length - 1])) self->bracket[symbol] = 1;
        else if (length == 1 && strchr(")]}", name[0])) self->bracket[symbol] = -1;
    }
}

bool tables_init(Tables *self, const AbiLanguage *abi) {
    memset(self, 0, sizeof *self);
    self->abi = abi;
    self->rows = calloc(abi->n_states, sizeof *self->rows);
    self->accessing = calloc(abi->n_states, sizeof *self->accessing);
    self->banned_keyword = calloc(abi->n_symbols, 1);
    self->bracket = calloc(abi->n_symbols, 1);
    self->marks = calloc(abi->n_symbols, sizeof *self->marks);
    self->called = calloc(abi->n_symbols, sizeof *self->called);
    if (!self->called || !self->marks || !self->rows || !self->accessing || !self->banned_keyword || !self->bracket) return false;
    find_brackets(self);
    return find_accessing(self);
}

void tables_free(Tables *self) {
    if (self->rows)
        for (uint32_t state = self->abi->n_large_states; state < self->abi->n_states; state++) free(self->rows[state]);
    free(self->rows);
    free(self->accessing);
    free(self->banned_keyword);
    free(self->bracket);
    free(self->rules);
    free(self->called);
    free(self->marks);
    memset(self, 0, sizeof *self);
}

bool tables_add_rule(Tables *self, RuleKind kind, uint16_t a, uint16_t b, uint16_t c) {
    Rule *rules = realloc(self->rules, (self->n_rules + 1) * sizeof *rules);
    if (!rules) return false;
    /* Asked for where this symbol is shifted, is what was shifted last, or is what is made by a reduction. */
    bool is_first = kind == RULE_APART || kind == RULE_ONLY || kind == RULE_STATEMENT || kind == RULE_BARRED || kind == RULE_RESERVED;
    uint16_t symbol = is_first ? a : kind == RULE_IN_FRAME || kind == RULE_REDUCE || kind == RULE_UNFINISHED ? c : b;
    rules[self->n_rules] = (Rule){kind, a, b, c, self->called[symbol]};
    self->rules = rules;
    self->called[symbol] = ++self->n_rules;
    return true;
}

const uint16_t *tables_fill_row(Tables *self, uint16_t state) {
    const AbiLanguage *abi = self->abi;
    if (state < abi->n_large_states) {
        /* Large states are stored as whole rows already; the cast only drops const for the shared array type. */
        self->rows[state] = (uint16_t *)(abi->large_table + (size_t)state * abi->n_symbols);
        return self->rows[state];
    }
    uint16_t *row = calloc(abi->n_symbols, sizeof *row);
    if (!row) abort();
    const uint16_t *data = &abi->small_table[abi->small_table_map[state - abi->n_large_states]];
    uint16_t n_groups = *data++;
    while (n_groups--) {
        uint16_t value = *data++;
        uint16_t n = *data++;
        while (n--) row[*data++] = value;
    }
    self->rows[state] = row;
    return row;
}

bool tables_is_reserved(Tables *self, uint16_t state, uint16_t symbol) {
    for (const Rule *rule = tables_rule(self, self->called[symbol]); rule; rule = tables_rule(self, rule->next)) {
        if (rule->kind != RULE_RESERVED || (rule->c && rule->c == self->accessing[state])) continue;
        if (!rule->b || tables_row(self, state)[rule->b]) return true;
    }
    if (self->abi->version < ABI_RESERVED_WORDS) return false;
    uint16_t set = tables_lex_mode(self, state).reserved_set;
    if (set == 0) return false;
    const uint16_t *words = self->abi->reserved_words + (size_t)set * self->abi->reserved_set_size;
    for (uint16_t i = 0; i < self->abi->reserved_set_size && words[i]; i++)
        if (words[i] == symbol) return true;
    return false;
}

uint16_t tables_next_state(Tables *self, uint16_t state, uint16_t symbol) {
    uint16_t value = tables_row(self, state)[symbol];
    if (symbol >= self->abi->n_tokens) return value;
    const AbiActionEntry *entry = &self->abi->actions[value];
    if (entry->head.count == 0) return 0;
    const AbiAction *last = &entry[entry->head.count].action;
    if (last->type != ABI_SHIFT) return 0;
    return last->shift.extra ? state : last->shift.state;
}
