#include "arena.h"

#include <stdlib.h>
#include <string.h>

uint64_t hash_mix(uint64_t value) {
    value ^= value >> 30;
    value *= 0xbf58476d1ce4e5b9u;
    value ^= value >> 27;
    value *= 0x94d049bb133111ebu;
    return value ^ (value >> 31);
}

uint64_t hash_bytes(const void *bytes, size_t length) {
    const uint8_t *at = bytes;
    uint64_t hash = 0x9e3779b97f4a7c15u * (length + 1); /* not xor: "\t" would be "\n\0" */
    for (; length >= 8; length -= 8, at += 8) {
        uint64_t word;
        memcpy(&word, at, 8);
        hash = hash_mix(hash ^ word) + 0x9e3779b97f4a7c15u;
    }
    uint64_t rest = 0;
    memcpy(&rest, at, length);
    return hash_mix(hash ^ rest);
}

/* Room for one more element; doubles. An arena that cannot grow is marked failed and keeps its old block. */
static bool grow(Arena *self, void **block, uint32_t *capacity, uint32_t needed, size_t size) {
    if (needed <= *capacity) return true;
    uint32_t wanted = *capacity ? *capacity : 64;
    while (wanted < needed) wanted *= 2;
    void *larger = realloc(*block, wanted * size);
    if (!larger) {
        self->failed = true;
        return false;
    }
    *block = larger;
    *capacity = wanted;
    return true;
}

Arena *arena_new(uint16_t start_state) {
    Arena *self = calloc(1, sizeof *self);
    if (!self) return NULL;
    self->n_owners = 1;
    self->n_buckets = 256;
    self->buckets = malloc(self->n_buckets * sizeof *self->buckets);
    if (!self->buckets || !grow(self, (void **)&self->nodes, &self->cap_nodes, 1, sizeof *self->nodes) ||
        !grow(self, (void **)&self->scans, &self->cap_scans, 1, sizeof *self->scans)) {
        arena_release(self);
        return NULL;
    }
    memset(self->buckets, 0xFF, self->n_buckets * sizeof *self->buckets);
    self->nodes[0] = (Node){.state = start_state, .chain = ARENA_NONE, .hash = hash_mix(start_state)};
    self->n_nodes = 1;
    self->scans[0] = (Scan){0};
    self->n_scans = 1;
    return self;
}

/* Atomic: states die under the interpreter's lock, but are born under the simulator's. */
void arena_retain(Arena *self) { __atomic_add_fetch(&self->n_owners, 1, __ATOMIC_RELAXED); }

void arena_release(Arena *self) {
    if (__atomic_sub_fetch(&self->n_owners, 1, __ATOMIC_ACQ_REL)) return;
    free(self->nodes);
    free(self->buckets);
    free(self->links);
    free(self->scans);
    free(self->scan_slots);
    free(self->scan_bytes);
    free(self->verdicts);
    free(self->suffix);
    free(self);
}

static void rehash(Arena *self) {
    uint32_t n_buckets = self->n_buckets * 2;
    uint32_t *buckets = malloc(n_buckets * sizeof *buckets);
    if (!buckets) return; /* longer chains, nothing worse */
    memset(buckets, 0xFF, n_buckets * sizeof *buckets);
    for (uint32_t id = 1; id < self->n_nodes; id++) {
        uint32_t slot = (uint32_t)(self->nodes[id].hash & (n_buckets - 1));
        self->nodes[id].chain = buckets[slot];
        buckets[slot] = id;
    }
    free(self->buckets);
    self->buckets = buckets;
    self->n_buckets = n_buckets;
}

static uint32_t intern(Arena *self, Node node, const uint32_t *links) {
    uint32_t slot = (uint32_t)(node.hash & (self->n_buckets - 1));
    for (uint32_t id = self->buckets[slot]; id != ARENA_NONE; id = self->nodes[id].chain) {
        const Node *it = &self->nodes[id];
        if (it->hash != node.hash || it->state != node.state || it->note != node.note || it->n_links != node.n_links) continue;
        if (memcmp(arena_links(self, id), links, node.n_links * sizeof *links) == 0) return id;
    }
    if (!grow(self, (void **)&self->nodes, &self->cap_nodes, self->n_nodes + 1, sizeof *self->nodes)) return ARENA_ROOT;
    if (node.n_links == 1) {
        node.below = links[0];
    } else {
        if (!grow(self, (void **)&self->links, &self->cap_links, self->n_links + node.n_links, sizeof *self->links))
            return ARENA_ROOT;
        node.below = self->n_links;
        memcpy(self->links + self->n_links, links, node.n_links * sizeof *links);
        self->n_links += node.n_links;
    }
    if (self->n_nodes > self->n_buckets) {
        rehash(self);
        slot = (uint32_t)(node.hash & (self->n_buckets - 1));
    }
    node.chain = self->buckets[slot];
    uint32_t id = self->n_nodes++;
    self->nodes[id] = node;
    self->buckets[slot] = id;
    return id;
}

uint32_t arena_push(Arena *self, uint32_t below, uint16_t state, uint32_t note) {
    uint64_t hash = hash_mix(self->nodes[below].hash * 3 + state + 1);
    if (note) hash = hash_mix(hash ^ arena_note_hash(self, note));
    return intern(self, (Node){.state = state, .n_links = 1, .note = note, .hash = hash}, &below);
}

/* By what the stacks are: ids tell what was parsed before, and what is first of several must not depend on that. */
static bool comes_before(const Arena *self, uint32_t left, uint32_t right) {
    uint64_t a = self->nodes[left].hash, b = self->nodes[right].hash;
    return a < b || (a == b && left < right);
}

uint32_t arena_merge(Arena *self, uint32_t left, uint32_t right) {
    if (left == right) return left;
    uint32_t merged[ARENA_MAX_LINKS];
    uint32_t n = 0, i = 0, j = 0;
    uint32_t n_left = self->nodes[left].n_links, n_right = self->nodes[right].n_links;
    const uint32_t *a = arena_links(self, left), *b = arena_links(self, right);
    if (n_left == 0 || n_right == 0) return left; /* the root merges with nothing but itself */
    while (i < n_left || j < n_right) {
        if (n == ARENA_MAX_LINKS) {
            self->failed = true;
            break;
        }
        if (j < n_right && i < n_left && a[i] == b[j]) merged[n++] = a[i++], j++;
        else if (j == n_right || (i < n_left && comes_before(self, a[i], b[j]))) merged[n++] = a[i++];
        else merged[n++] = b[j++];
    }
    /* The sum makes the hash independent of ids, which differ between arenas. */
    uint64_t sum = 0;
    for (uint32_t k = 0; k < n; k++) sum += hash_mix(self->nodes[merged[k]].hash ^ 0x5851f42d4c957f2du);
    uint16_t state = self->nodes[left].state;
    uint32_t note = self->nodes[left].note == self->nodes[right].note ? self->nodes[left].note : ARENA_ANY;
    uint64_t hash = hash_mix(sum + state + arena_note_hash(self, note));
    return intern(self, (Node){.state = state, .n_links = (uint16_t)n, .note = note, .hash = hash}, merged);
}

/* The slot that holds this state, or the free one where it belongs. */
static uint32_t scan_slot(const Arena *self, uint64_t hash, const char *bytes, uint32_t length) {
    uint32_t mask = self->n_scan_slots - 1, slot = (uint32_t)hash & mask;
    for (;; slot = (slot + 1) & mask) {
        const Scan *scan = &self->scans[self->scan_slots[slot]];
        if (!self->scan_slots[slot]) return slot;
        if (scan->hash == hash && scan->length == length && !memcmp(self->scan_bytes + scan->start, bytes, length)) return slot;
    }
}

static bool grow_scan_slots(Arena *self) {
    if (2 * (self->n_scans + 1) <= self->n_scan_slots) return true;
    uint32_t wanted = self->n_scan_slots ? 2 * self->n_scan_slots : 64;
    uint32_t *slots = calloc(wanted, sizeof *slots);
    if (!slots) {
        self->failed = true;
        return false;
    }
    free(self->scan_slots);
    self->scan_slots = slots;
    self->n_scan_slots = wanted;
    for (uint32_t id = 1; id < self->n_scans; id++) {
        const Scan *scan = &self->scans[id];
        slots[scan_slot(self, scan->hash, self->scan_bytes + scan->start, scan->length)] = id;
    }
    return true;
}

uint32_t arena_scan(Arena *self, const char *bytes, uint32_t length) {
    if (length == 0) return ARENA_NO_SCAN;
    uint64_t hash = hash_bytes(bytes, length);
    if (!grow_scan_slots(self)) return ARENA_NO_SCAN;
    uint32_t slot = scan_slot(self, hash, bytes, length);
    if (self->scan_slots[slot]) return self->scan_slots[slot];
    if (!grow(self, (void **)&self->scans, &self->cap_scans, self->n_scans + 1, sizeof *self->scans) ||
        !grow(self, (void **)&self->scan_bytes, &self->cap_scan_bytes, self->n_scan_bytes + length, 1))
        return ARENA_NO_SCAN;
    memcpy(self->scan_bytes + self->n_scan_bytes, bytes, length);
    self->scans[self->n_scans] = (Scan){hash, self->n_scan_bytes, length};
    self->n_scan_bytes += length;
    self->scan_slots[slot] = self->n_scans;
    return self->n_scans++;
}

bool arena_scan_has(const Arena *self, uint32_t scan, bool is_one(uint8_t)) {
    const Scan *it = &self->scans[scan];
    for (uint32_t i = 0; i < it->length; i++)
        if (is_one((uint8_t)self->scan_bytes[it->start + i])) return true;
    return false;
}

size_t arena_size(const Arena *self) {
    return sizeof *self + self->cap_nodes * sizeof *self->nodes + self->n_buckets * sizeof *self->buckets +
           self->cap_links * sizeof *self->links + self->cap_scans * sizeof *self->scans +
           self->n_scan_slots * sizeof *self->scan_slots + self->cap_scan_bytes +
           self->n_verdicts * sizeof *self->verdicts + self->suffix_length;
}
