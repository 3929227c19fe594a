/* One run of the GLR automaton over a text: from a set of versions to where they end, wait or die. */
#ifndef TREEGRAFT_RUN_H
#define TREEGRAFT_RUN_H

#include <string.h>

#include "arena.h"
#include "lexer.h"
#include "tables.h"

/* One reading of the text so far: a stack, the scanner's state, and where its next token begins to be read. */
typedef struct {
    uint32_t node, scan, offset;
    uint16_t last; /* the terminal that was shifted last, extras aside; 0 at the start */
    int16_t height; /* entries on the stack, counted from where `run.lowest` was set to 0; at least, where stacks merged */
    bool guessing; /* beyond what later text can still change */
} Version;

enum { RUN_MAX_VERSIONS = 96, RUN_LONG_TOKEN = 8, RUN_LONGEST_NAME = 256, RUN_TAG_ENTRIES = 8 };

typedef struct {
    uint32_t n;
    Version at[RUN_MAX_VERSIONS];
} VersionSet;

/* Where a run asked for tokens that what lies at `mark - 1` or beyond may change; more than RUN_MAX_READS are counted only. */
typedef struct {
    uint32_t offset, scan;
    uint16_t state;
} Read;

enum { RUN_MAX_READS = 12 };

typedef struct {
    uint32_t n;
    Read at[RUN_MAX_READS];
} Trace;

/* The versions that were read from last, oldest first; a ring once it is full. */
enum { RUN_TRAIL = 512 };

typedef struct {
    uint32_t n;
    Version at[RUN_TRAIL];
} Trail;

typedef enum {
    RUN_READ,    /* collect versions whose next token is not decided yet, and look for a witness beyond them */
    RUN_WITNESS, /* the text is complete: stop at the first token that reaches `mark` */
    RUN_WHOLE,   /* the text is complete: does the document end here? */
} RunMode;

typedef struct Run Run;
struct Run {
    Tables *tables;
    Lexer *lexer;
    Arena *arena;
    Text text;
    RunMode mode;
    uint32_t mark;
    VersionSet queue;
    VersionSet pending; /* RUN_READ: what the text leaves undecided */
    bool witness, accepted;
    uint32_t long_start, long_end; /* the last token of at least RUN_LONG_TOKEN bytes; 0 if there was none */
    bool keeps_reached;
    uint32_t died_at;   /* greatest place where a version died */
    uint32_t died_token; /* where the token begins that it died of */
    VersionSet reached;  /* RUN_READ: where guesses that reach the end of the text stand */
    VersionSet dead;    /* the versions that died there, as they were before reading that token */
    int32_t lowest;      /* height of the lowest entry that was looked at */
    uint32_t n_denied;   /* tokens that the grammar shifts and the overlay does not */
    bool denied_beyond;  /* one of them for what it holds or where it begins, which is not decided before `mark` */
    bool denied_inside;  /* the last of them for what it holds */
    Trace trace;
    Trail *trail; /* what is read is noted here; may be NULL */
    uint64_t n_steps, max_steps;
    bool exhausted;
    uint32_t lenient_from; /* what begins there or beyond may stand where an unfinished statement is still to be finished */
    /* Called with the only version between two tokens; returns true to stop the run. May be NULL. */
    bool (*between)(Run *, const Version *);
    void *listener;
};

/* Empties the run; `text` must stay. */
void run_begin(Run *self, RunMode mode, Text text, uint32_t mark);
void run_add(Run *self, Version version);

/* Runs until nothing is left to do, or a witness was found (RUN_WITNESS), or the document was accepted (RUN_WHOLE). */
void run_go(Run *self);

/* The name of the innermost open tag whose contents or closing tag is on top, whether it is the latter, and what stands
 * there already; ARENA_ANY where the stack does not tell. */
uint32_t run_open_tag(Run *self, uint32_t node, bool *is_closing, uint32_t *typed);

/* The stacks that reducing `count` entries and going by `symbol` leads to; returns how many, up to `cap`. */
uint32_t run_reduce(Run *self, uint32_t node, uint8_t count, uint16_t symbol, bool end_of_extra, uint32_t *results,
                    uint32_t cap);

/* Whether `symbol` can be shifted after the reductions it asks for; the text is not looked at. */
bool run_can_shift(Run *self, uint32_t node, uint16_t symbol);

/* The stack after `symbol`, read without a text; ARENA_NONE if it does not fit. */
uint32_t run_shift(Run *self, uint32_t node, uint16_t symbol);

/* Bracket frames open on the stack, up to `cap`. Merged stacks agree on them nearly always: the first link speaks for all. */
uint32_t stack_depth(const Tables *tables, const Arena *arena, uint32_t node, uint32_t cap);

/* Statements on the stack that lack what must follow. */
uint32_t stack_unfinished(const Tables *tables, const Arena *arena, uint32_t node);

/* A copy of the versions that there are, not of the room for more. */
static inline void versions_copy(VersionSet *self, const VersionSet *from) {
    self->n = from->n;
    memcpy(self->at, from->at, from->n * sizeof *from->at);
}

/* Adds a version to a set, merging it with one that differs in its past only. */
void versions_add(VersionSet *self, Arena *arena, Version version);

#endif
