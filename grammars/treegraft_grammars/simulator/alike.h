/* Which continuations read alike: behind the same undecided text many of them give the same first token. Where one has
 * failed, those that every lexer reads like it need not be tried. Belongs to one simulator, under its lock.
 */
#ifndef TREEGRAFT_ALIKE_H
#define TREEGRAFT_ALIKE_H

#include "probe.h"
#include "run.h"

/* Probes beyond the first ALIKE_PROBES are alike to nothing. */
enum { ALIKE_PROBES = 192, ALIKE_ENTRIES = 1 << 13, ALIKE_NOTHING = 0xFF };

/* One place to begin a token at: a mode of the lexers, a state of the scanner, the bytes up to the end of the text. */
typedef struct {
    uint64_t key;
    uint16_t state;              /* not 0: holds in this LR state only */
    uint8_t kinds[ALIKE_PROBES]; /* equal for probes that are read as equal tokens */
} Alike;

typedef struct {
    Alike *entries; /* NULL until first used */
} AlikeTable;

void alike_free(AlikeTable *self);

/* Takes from `alive` (one byte per probe) those with which the run that `trace` is of would have been the same as with
 * probe `idx`: each of its reads gives an equal token. `text` is without probe, has room for one, and ends in a word of
 * `n_word` bytes that is like all others. */
void alike_strike(AlikeTable *self, Lexer *lexer, Tables *tables, Arena *arena, const Probes *probes, Text text,
                  uint32_t n_word, const Trace *trace, uint32_t idx, uint8_t *alive);

#endif
