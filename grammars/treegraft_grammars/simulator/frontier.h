/* Where a text stands: the versions that read it so far and the bytes whose tokens later text may still change.
 *
 * A frontier is a value: it is never changed after it was made, so branches share it. Functions that make one return
 * it to the caller, who releases it; NULL says that no continuation of the text could parse (or memory ran out).
 */
#ifndef TREEGRAFT_FRONTIER_H
#define TREEGRAFT_FRONTIER_H

#include <pthread.h>

#include "alike.h"
#include "memo.h"
#include "probe.h"
#include "run.h"

typedef struct {
    uint32_t node, scan, offset; /* offset into the tail */
    uint16_t last;
} Reading;

typedef struct {
    Arena *arena;
    uint64_t hash;
    uint32_t base;        /* place of the tail's first byte in the document */
    uint32_t column;      /* its column in code points */
    uint32_t n_readings;
    uint32_t n_tail;
    uint32_t n_token;     /* bytes at the tail's end that are one token of RUN_LONG_TOKEN or more, not yet at its end; or 0 */
    Reading *readings;
    uint8_t *tail;
} Frontier;

typedef struct {
    uint64_t n_steps, n_refused, n_hangs, n_exhausted, n_searches;
} Counters;

/* Everything that runs one grammar. Not thread-safe: `lock` guards all calls that take a Simulator. */
typedef struct {
    Tables tables;
    Lexer lexer;
    Probes probes;
    Memo memo;
    AlikeTable alike;
    Run run;
    uint8_t *buffer;      /* tail + new text + probe */
    uint32_t cap_buffer;
    Counters counters;
    pthread_mutex_t lock;
} Simulator;

typedef struct {
    Frontier *state;      /* NULL where repair is hopeless, and when memory ran out */
    uint32_t error;       /* the first place that cannot be read */
    uint32_t error_token; /* where its token begins */
    uint32_t seen;        /* the end of the text that repairs were chosen by */
    uint32_t last;        /* the last place that was repaired; this and the rest go on from what they were before */
    uint32_t n_repairs;
    uint64_t n_steps;
} Outcome;

/* NULL when memory ran out; `abi` must have been checked and must outlive the simulator. */
Simulator *simulator_new(const AbiLanguage *abi);
void simulator_free(Simulator *self);

/* After the overlay has marked the tables: finds the spellings to probe with. */
bool simulator_prepare(Simulator *self);

Frontier *frontier_start(Simulator *simulator);
void frontier_release(Frontier *self);
bool frontier_equal(const Simulator *simulator, const Frontier *left, const Frontier *right);

/* The frontier after `data`; NULL when nothing that may follow could parse. */
Frontier *frontier_step(Simulator *simulator, const Frontier *self, const uint8_t *data, uint32_t length);

/* Like frontier_step without making the frontier. */
bool frontier_reads(Simulator *simulator, const Frontier *self, const uint8_t *data, uint32_t length);

/* Bytes of `suffix` that read before the first error; length + 1 if the document may end after it. */
uint32_t frontier_reach(Simulator *simulator, const Frontier *self, const uint8_t *suffix, uint32_t length,
                        bool is_lenient);

/* Place of the first error of the document as it ends here, counted from its start; -1 if it may end here. */
int64_t frontier_end_error(Simulator *simulator, const Frontier *self, uint32_t *token);

/* Number of bracket frames that are open in every reading. */
uint32_t frontier_depth(Simulator *simulator, const Frontier *self);

/* Statements that lack what must follow, at least. */
uint32_t frontier_unfinished(Simulator *simulator, const Frontier *self);

/* The stack of one reading from its top, along first links: states; and the scanner's bytes. For people who debug. */
uint32_t frontier_stack(const Frontier *self, uint32_t idx, uint16_t *states, uint32_t cap);
const char *frontier_scan(const Frontier *self, uint32_t idx, uint32_t *length);

/* Marks in `symbols` (one byte per terminal) what may come next, as far as the tables know. */
void frontier_expected(Simulator *simulator, const Frontier *self, uint8_t *symbols);

/* Repairs what cannot be read in `data`, which goes to the end of the text. `outcome` tells what was repaired before. */
void frontier_repair(Simulator *simulator, const Frontier *from, const uint8_t *data, uint32_t length, Outcome *outcome);

#endif
