#include "ngrams.h"

uint64_t extend(uint64_t key, uint64_t token) {
    uint64_t mixed = (key * 0x9E3779B97F4A7C15u + token + 1) * 0xC2B2AE3D27D4EB4Fu;
    return mixed ^ (mixed >> 29);
}

static int64_t size_of(const Order *self, int64_t context) {
    return self->is_wide ? ((const uint16_t *)self->sizes)[context] : ((const uint8_t *)self->sizes)[context];
}

bool order_find(const Order *self, uint64_t key, int64_t *bucket, int64_t *start, int64_t *n) {
    uint64_t top = key >> (64 - self->n_bits);
    uint16_t tag = (uint16_t)(key >> (48 - self->n_bits));
    int64_t at = self->offsets[top], high = self->offsets[top + 1];
    *start = self->starts[top];
    /* About eight contexts share an offset. */
    for (; at < high && self->tags[at] < tag; at++) *start += size_of(self, at);
    if (at == high || self->tags[at] != tag) return false;
    *bucket = self->buckets[at];
    *n = size_of(self, at);
    return true;
}

void order_read(const Order *self, int64_t start, int64_t n, int64_t *ids, double *shares) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++) {
        uint16_t entry = self->entries[start + i];
        ids[i] = entry >> 3;
        sum += shares[i] = self->ratios[entry & 7];
    }
    for (int64_t i = 0; i < n; i++) shares[i] /= sum;
}
