/* Which continuations read alike: behind the same undecided text many of them give the same first token. Where one has
 * failed, those that every lexer reads like it need not be tried. Belongs to one simulator, under its lock.
 */
#ifndef TREEGRAFT_ALIKE_H
#define TREEGRAFT_ALIKE_H

#include "memo.h"
#include "probe.h"
#include "run.h"

/* Probes beyond the first ALIKE_PROBES are alike to nothing. */
enum { ALIKE_PROBES = 192, ALIKE_ENTRIES = 1 << 11, ALIKE_PLACES = 1 << 14, ALIKE_KINDS = 64, ALIKE_NOTHING = 0xFF, ALIKE_NO_TOKEN = 0xFFFF };

/* What the lexers make of all probes behind the same bytes. */
typedef struct {
    uint64_t key;
    uint32_t column;             /* not 0: holds in this column only, counted from 1 */
    uint16_t state;              /* not 0: holds in this LR state only */
    uint16_t n_kinds;            /* of `tokens` */
    uint8_t kinds[ALIKE_PROBES]; /* equal for probes that are read as equal tokens */
    bool decided[ALIKE_PROBES];  /* whatever follows the probe */
    struct {
        uint16_t symbol, spelled; /* the terminal, or ALIKE_NO_TOKEN, and the keyword that it may be, too, or 0 */
        bool takes_all;           /* the lexers went through all of the probe */
    } tokens[ALIKE_KINDS];
} Alike;

/* A place to begin a token at: a mode of the lexers, a state of the scanner, the bytes up to the end of the text. Where
 * the scanner finds nothing, places that differ in what only it looks at share an entry. */
typedef struct {
    uint64_t key, entry;
} AlikePlace;

typedef struct {
    Alike *entries; /* NULL until first used, as are the places */
    AlikePlace *places;
} AlikeTable;

void alike_free(AlikeTable *self);

/* What is about to be followed by probes. */
typedef struct {
    Text text;        /* without probe, with room for one */
    Ordinary ordinary; /* before the last `n_after` bytes, see memo.h */
    uint32_t n_after;
} Beginning;

/* Of each probe, whether all versions die of their first token; whether it is then one that all of the probe went into,
 * so that more may make another of it; and which are alike in this. */
typedef struct {
    bool is_refused[ALIKE_PROBES], takes_all[ALIKE_PROBES];
    uint16_t group[ALIKE_PROBES];
} Refusals;

/* False if that is not known, and not to be learnt or impossible to. Otherwise the refused are taken from `alive`, and
 * `dead` is told as below. */
bool alike_refuse(AlikeTable *self, Lexer *lexer, Tables *tables, Arena *arena, const Probes *probes,
                  const Beginning *beginning, const VersionSet *pending, bool learns, Refusals *refusals,
                  bool alive[ALIKE_PROBES], bool dead[256]);

/* Takes from `alive` those probes with which the run that `trace` is of would have been the same as with probe `idx`: each
 * of its reads gives an equal token. `dead` is told of first bytes of which that is true whatever follows them. */
void alike_strike(AlikeTable *self, Lexer *lexer, Tables *tables, Arena *arena, const Probes *probes,
                  const Beginning *beginning, const Trace *trace, uint32_t idx, bool alive[ALIKE_PROBES], bool dead[256]);

#endif
