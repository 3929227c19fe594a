/* Continuations to try when the text alone does not show that it can go on. */
#ifndef TREEGRAFT_PROBE_H
#define TREEGRAFT_PROBE_H

#include "lexer.h"
#include "tables.h"

typedef struct {
    const uint8_t *bytes;
    uint32_t length;
    uint16_t symbol; /* the terminal that is spelled like this; 0 if unknown */
} Piece;

enum { LONGEST_CLOSER = 32, MOST_ENDLESS = 8 };

typedef struct {
    Piece *literals; /* spellings of terminals and keywords, sorted by bytes */
    uint32_t n_literals, cap_literals;
    uint32_t max_literal;
    uint16_t endless[MOST_ENDLESS]; /* terminals with more spellings than there are literals of them */
    uint32_t n_endless;             /* more than MOST_ENDLESS: there are too many to tell */
    bool folds_case; /* some keywords may be written in capitals; their literals have small letters */
    Piece *suffixes; /* general continuations: among them each printable character alone */
    uint32_t n_suffixes, cap_suffixes;
    uint32_t n_chosen;    /* single characters at the front of `suffixes` that were not added for completeness */
    uint32_t n_single;    /* all single characters there */
    uint32_t n_general;   /* those of every grammar; behind them the grammar's own */
    uint16_t single[128]; /* of each printable character: which suffix it is, alone */
    uint16_t *order; /* indices of suffixes; the one that helped last comes first */
    uint8_t closer[LONGEST_CLOSER]; /* what a long undecided text could end with last */
    uint32_t n_closer;
    uint32_t cap_order;
} Probes;

/* Collects the spellings of the grammar: names of terminals and the keywords that its keyword lexer knows. */
bool probes_init(Probes *self, Lexer *lexer, const Tables *tables);
void probes_free(Probes *self);

/* Adds a general continuation (copied). */
bool probes_add_suffix(Probes *self, const uint8_t *bytes, uint32_t length);
void probes_prefer(Probes *self, uint32_t place); /* in `order` */

/* Remembers what a long text could end with, if it is not too long itself. */
void probes_close_with(Probes *self, const uint8_t *bytes, uint32_t length);

/* Literals that begin with these bytes: [*from, *to). */
void probes_range(const Probes *self, const uint8_t *bytes, uint32_t length, uint32_t *from, uint32_t *to);

/* The same for the bytes in small letters; none where that is no other spelling of them. */
void probes_range_small(const Probes *self, const uint8_t *bytes, uint32_t length, uint32_t *from, uint32_t *to);

#endif
