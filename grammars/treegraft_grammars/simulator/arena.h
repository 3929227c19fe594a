/* Stacks and scanner states of one parse: hash-consed, immutable, freed together.
 *
 * A node is a stack seen from its top. Equal stacks have equal ids, so that two branches which read the same way
 * are recognised as one. A node with more than one link is several stacks merged: same state, different pasts.
 */
#ifndef TREEGRAFT_ARENA_H
#define TREEGRAFT_ARENA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct {
    uint32_t below;  /* the only link, or where the links begin in `links` */
    uint32_t chain;  /* next node of the same hash bucket */
    uint16_t state;
    uint16_t n_links; /* 0 for the root */
    uint32_t note;    /* the name in a tag, as the id of a `Scan`; 0 for none, ARENA_ANY for one of several */
    uint64_t hash;   /* of the structure, equal in every arena */
} Node;

typedef struct {
    uint64_t hash;
    uint32_t start, length;
} Scan; /* one state of the external scanner, as it serialised itself, or a name */

typedef struct {
    uint64_t key;
    uint32_t value;
    uint32_t epoch;
} Verdict;

typedef struct {
    Node *nodes;
    uint32_t n_nodes, cap_nodes;
    uint32_t *buckets;
    uint32_t n_buckets;
    uint32_t *links;
    uint32_t n_links, cap_links;
    Scan *scans;
    uint32_t n_scans, cap_scans;
    uint32_t *scan_slots; /* ids by hash, 0 where free; at least twice as many as there are scans, a power of two */
    uint32_t n_scan_slots;
    char *scan_bytes;
    uint32_t n_scan_bytes, cap_scan_bytes;
    /* What was learnt about the suffix asked for last: (versions, bytes left) -> how many are left at the first error, plus
     * one; 0 if there is none. Verdicts since `oldest_epoch` hold in its last `shared` bytes, those of `epoch` in all. */
    Verdict *verdicts;
    uint32_t n_verdicts; /* slots, a power of two */
    uint32_t epoch, oldest_epoch, shared;
    uint8_t *suffix;
    uint32_t suffix_length;
    uint32_t n_owners;
    bool failed;         /* memory ran out or a bound was hit: results are "refused" */
} Arena;

enum { ARENA_ROOT = 0, ARENA_NO_SCAN = 0, ARENA_NONE = 0xFFFFFFFF, ARENA_ANY = 0xFFFFFFFE, ARENA_MAX_LINKS = 128 };

/* A new arena with one owner and the root node in `start_state`; NULL when memory ran out. */
Arena *arena_new(uint16_t start_state);
void arena_retain(Arena *self);
void arena_release(Arena *self);

/* The stack `below` with `state` on top, and a note that belongs to it. */
uint32_t arena_push(Arena *self, uint32_t below, uint16_t state, uint32_t note);

/* The hash of a note, equal in every arena. */
static inline uint64_t arena_note_hash(const Arena *self, uint32_t note) {
    return note == 0 ? 0 : note == ARENA_ANY ? 1 : self->scans[note].hash;
}

/* Two stacks of the same state as one. */
uint32_t arena_merge(Arena *self, uint32_t left, uint32_t right);

/* Links of a node; writes up to one inline link through `single`. */
static inline const uint32_t *arena_links(const Arena *self, uint32_t node) {
    const Node *it = &self->nodes[node];
    return it->n_links == 1 ? &it->below : &self->links[it->below];
}

/* The id of a serialised scanner state; no bytes at all is ARENA_NO_SCAN. */
uint32_t arena_scan(Arena *self, const char *bytes, uint32_t length);

/* Whether a serialised scanner state holds such a byte. */
bool arena_scan_has(const Arena *self, uint32_t scan, bool is_one(uint8_t));

size_t arena_size(const Arena *self);

uint64_t hash_mix(uint64_t value);
uint64_t hash_bytes(const void *bytes, size_t length);

#endif
