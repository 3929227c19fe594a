/* Look-up in packed n-gram counts; see `ngram.py`. */
#ifndef TREEGRAFT_NGRAMS_H
#define TREEGRAFT_NGRAMS_H

#include <stdbool.h>
#include <stdint.h>

/* All contexts of one length; see `ngram.Order`. `sizes` are bytes, or 16 bits wide. */
typedef struct {
    const uint32_t *offsets;
    const uint16_t *tags;
    const void *sizes;
    const uint8_t *buckets;
    const uint16_t *entries;
    const int64_t *starts;
    const double *ratios; /* [8]: what an entry is less than the best by so many steps */
    int n_bits;
    bool is_wide;
} Order;

/* The hash of a context made one token longer on its left. */
uint64_t extend(uint64_t key, uint64_t token);

/* Where the entries of the context with this hash begin; false if there is none. */
bool order_find(const Order *self, uint64_t key, int64_t *bucket, int64_t *start, int64_t *n);

/* Tokens and shares [n] of so many entries. */
void order_read(const Order *self, int64_t start, int64_t n, int64_t *ids, double *shares);

#endif
