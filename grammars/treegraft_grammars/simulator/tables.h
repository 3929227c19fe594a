/* LR and lexing tables of one grammar, decompressed row by row, with the overlay's marks.
 *
 * Shared by everything that runs the grammar; only rows are filled in lazily, under the simulator's lock.
 */
#ifndef TREEGRAFT_TABLES_H
#define TREEGRAFT_TABLES_H

#include <stddef.h>

#include "abi.h"

/* What an overlay forbids. Symbols are 0 where a kind needs fewer. */
typedef enum {
    RULE_PAIR,      /* terminal `b` never follows `a` */
    RULE_IN_FRAME,  /* in a bracket frame that `a` opened, terminal `b` is never followed by `c` */
    RULE_STANDS_ON, /* terminal `b` is never shifted onto what stands on terminal `a` */
    RULE_BASE,      /* nonterminal `b` never stands on terminal `a` */
    RULE_UNFINISHED, /* phrase `a` does not end nonterminal `c`, save where what opened it stands before a cursor */
    RULE_REDUCE,    /* after terminal `a`, nothing is reduced to nonterminal `c` when `b` (0: whatever) comes next */
    RULE_ONLY,      /* behind terminal `a` that stands where nonterminal `c` may come, only terminal `b` follows */
    RULE_ALONE,     /* what ends in terminal `a` is never all of nonterminal `b` */
    RULE_STATEMENT, /* `a` alone, before `b` (0: whatever comes), is never statement `c`, save behind an arrow */
    RULE_DECIDED,   /* terminal `b` never follows `a`, once no later text can change it */
    RULE_RESERVED,  /* keyword `a` is no ordinary word where terminal `b` may come (0: anywhere), save right behind terminal `c` */
    RULE_APART,     /* behind terminal `a`, where `b` may come, a word begins after a blank only */
    RULE_GLUED,     /* terminal `b` never follows `a` without a blank between */
    RULE_BARRED,    /* terminal `a` is never shifted where symbol `b` may come (0: anywhere) */
} RuleKind;

typedef struct {
    RuleKind kind;
    uint16_t a, b, c;
    uint32_t next; /* another that the same symbol calls up, plus one; 0 if there is none */
} Rule;

/* Marks of single symbols. */
enum {
    MARK_CLOSED = 1,     /* nothing is shifted onto this nonterminal */
    MARK_FIRST = 2,      /* may begin the document */
    MARK_TOP = 4,        /* may begin what stands at the top of the document, after the first */
    MARK_TOP_WORD = 1 << 20, /* may begin it if one marked MARK_TOP_REST comes next */
    MARK_TOP_REST = 1 << 21,
    MARK_TOP_LIST = 8,   /* on this nonterminal what stands at the top is collected */
    MARK_ENDS_LINE = 16, /* after this terminal a line break is a token of its own */
    MARK_DECIMAL = 32,   /* a number: decimal integers do not begin with 0, and _ stands between digits */
    MARK_JSON_NUMBER = 64,
    MARK_ARROW = 128,
    MARK_NAME = 256,     /* of letters, digits and _, as far as ASCII goes */
    MARK_TAG_NAME = 512, /* a name, if it stands in a tag */
    MARK_TAG_JOINT = 1024, /* a terminal between names, if they stand in a tag */
    MARK_TAG_PART = 2048,  /* a phrase that hands on the name that it holds */
    MARK_NAMED = 1 << 12,      /* an item behind which no plain one comes */
    MARK_STARRED = 1 << 13,    /* an item that may come behind a named one */
    MARK_UNPACKED = 1 << 14,   /* a named item, in such a list only */
    MARK_BARRIER = 1 << 15,    /* an item behind which any may come */
    MARK_ORDERED = 1 << 16,    /* a list of such items, or a phrase that is of the kind that it holds */
    MARK_ITEM_WORD = 1 << 17,  /* a terminal that a named item may begin with */
    MARK_ITEM_START = 1 << 18, /* another that may come behind a named item and its separator */
    MARK_ITEM_REST = 1 << 19,  /* one that may come behind such a word */
    MARK_OPENS = 1 << 22,      /* a terminal of a statement that is unfinished */
    MARK_SETTLES = 1 << 23,    /* till one of these follows */
    MARK_ESCAPE = 1 << 24,     /* behind a backslash it has one of `escapes` */
    MARKS_OF_ORDER = MARK_NAMED | MARK_STARRED | MARK_UNPACKED | MARK_BARRIER | MARK_ORDERED,
    /* Those that are no matter of one token alone. */
    MARKS_OF_STACKS = MARK_TAG_NAME | MARK_TAG_JOINT | MARK_TAG_PART | MARKS_OF_ORDER | MARK_ITEM_WORD | MARK_ITEM_START |
                      MARK_ITEM_REST | MARK_OPENS | MARK_SETTLES,
};

/* Tags: between terminals `closer` and `end` stands the name that the last phrase `opening` has, which begins with `opener`. */
typedef struct {
    uint16_t opener, closer, end, opening; /* 0 for a grammar without */
} TagRule;

/* Python's layout: outside brackets a line begins after one of these tokens only, in the column on top of the
 * scanner's indentation stack. Comments stand in any column. What a string holds begins with a line break in triple quotes
 * only. */
typedef struct {
    bool enabled;
    uint16_t newline, indent, dedent, comment, string;
} LayoutRule;

typedef struct {
    const AbiLanguage *abi;
    uint16_t **rows;         /* per state: symbol -> table value; NULL until first used */
    uint16_t *accessing;     /* per state: the symbol on top of the stack in that state */
    uint8_t *banned_keyword; /* per symbol: overlay says this keyword is an ordinary word */
    uint16_t unbroken[8];    /* where one of these terminals may come, a line break is never skipped */
    uint16_t n_unbroken;
    uint16_t one_line[8];    /* terminals that hold no line break */
    uint16_t n_one_line;
    Rule *rules;
    uint32_t n_rules;
    uint32_t *called; /* per symbol: the first rule that it calls up, plus one; 0 if there is none */
    uint32_t *marks;         /* per symbol */
    uint32_t marks_used;     /* all of them, or'ed */
    uint8_t escapes[128];    /* characters that may stand behind a backslash, where MARK_ESCAPE is */
    LayoutRule layout;
    TagRule tags;
    uint16_t separator;      /* between items that have an order; 0 for a grammar without */
    int8_t *bracket;         /* per symbol: 1 if it opens a frame, -1 if it closes one */
} Tables;

/* Returns false when memory ran out. `abi` is borrowed and must outlive the tables. */
bool tables_init(Tables *self, const AbiLanguage *abi);
void tables_free(Tables *self);

/* Returns false when memory ran out. */
bool tables_add_rule(Tables *self, RuleKind kind, uint16_t a, uint16_t b, uint16_t c);

const uint16_t *tables_fill_row(Tables *self, uint16_t state);

static inline const uint16_t *tables_row(Tables *self, uint16_t state) {
    const uint16_t *row = self->rows[state];
    return row ? row : tables_fill_row(self, state);
}

static inline const AbiActionEntry *tables_actions(Tables *self, uint16_t state, uint16_t symbol) {
    return &self->abi->actions[tables_row(self, state)[symbol]];
}

/* The rule that `number` stands for, as it is in `called` and `next`; NULL for 0. */
static inline const Rule *tables_rule(const Tables *self, uint32_t number) {
    return number ? &self->rules[number - 1] : NULL;
}

static inline AbiLexMode tables_lex_mode(const Tables *self, uint16_t state) {
    if (self->abi->version < ABI_RESERVED_WORDS) {
        AbiLexModeOld old = ((const AbiLexModeOld *)self->abi->lex_modes)[state];
        return (AbiLexMode){old.lex_state, old.external_lex_state, 0};
    }
    return ((const AbiLexMode *)self->abi->lex_modes)[state];
}

bool tables_is_reserved(Tables *self, uint16_t state, uint16_t symbol);

/* State after `symbol` in `state` as tree-sitter computes it; 0 if there is none. */
uint16_t tables_next_state(Tables *self, uint16_t state, uint16_t symbol);

/* Whether the stack's entry in this state is an opening (1) or closing (-1) bracket. */
static inline int tables_bracket(const Tables *self, uint16_t state) { return self->bracket[self->accessing[state]]; }

#endif
