/* Random packed tables and contexts they hold, or do not, for the sanitizers: see test_ngram.py. */
#include "ngrams.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* Contexts at every tag that is a multiple of 3; whether just these are found, with a law each. */
static bool drive(int n_bits, int per_top, bool is_wide) {
    int64_t n_tops = (int64_t)1 << n_bits, n = n_tops * per_top, n_entries = 0;
    uint32_t *offsets = malloc((n_tops + 1) * sizeof *offsets);
    int64_t *starts = malloc((n_tops + 1) * sizeof *starts);
    uint16_t *tags = malloc((n + 1) * sizeof *tags), *wide = malloc((n + 1) * sizeof *wide);
    uint8_t *narrow = malloc(n + 1), *buckets = malloc(n + 1);
    for (int64_t top = 0, at = 0; top <= n_tops; top++) {
        offsets[top] = (uint32_t)at;
        starts[top] = n_entries;
        for (int k = 0; top < n_tops && k < per_top; k++, at++) {
            tags[at] = (uint16_t)(3 * k);
            narrow[at] = wide[at] = (uint16_t)(1 + rand() % 9);
            buckets[at] = rand() % 128;
            n_entries += wide[at];
        }
    }
    uint16_t *entries = malloc((n_entries + 1) * sizeof *entries);
    for (int64_t i = 0; i < n_entries; i++)
        entries[i] = rand() % 65536;
    static const double ratios[8] = {1, .5, .3, .2, .1, .05, .03, .02};
    Order order = {offsets, tags, is_wide ? (const void *)wide : narrow, buckets, entries, starts, ratios, n_bits, is_wide};
    bool is_well = true;
    for (int k = 0; k < 400 && is_well; k++) {
        uint64_t top = rand() % n_tops, tag = rand() % (3 * per_top + 3);
        uint64_t key = top << (64 - n_bits) | tag << (48 - n_bits) | (uint64_t)rand() % 1000;
        int64_t bucket, start, size;
        bool is_there = order_find(&order, key, &bucket, &start, &size);
        is_well = is_there == (tag % 3 == 0 && tag < (uint64_t)(3 * per_top));
        if (!is_there)
            continue;
        int64_t *ids = malloc(size * sizeof *ids);
        double *shares = malloc(size * sizeof *shares), sum = 0;
        order_read(&order, start, size, ids, shares);
        for (int64_t i = 0; i < size; i++)
            sum += shares[i];
        is_well = is_well && fabs(sum - 1) < 1e-9 && start + size <= n_entries && bucket < 128;
        free(ids), free(shares);
    }
    free(offsets), free(starts), free(tags), free(wide), free(narrow), free(buckets), free(entries);
    return is_well;
}

int main(void) {
    srand(7);
    for (int n_bits = 1; n_bits < 12; n_bits++)
        for (int per_top = 0; per_top < 12; per_top++)
            for (int is_wide = 0; is_wide < 2; is_wide++)
                if (!drive(n_bits, per_top, is_wide)) {
                    fprintf(stderr, "%d bits, %d contexts each\n", n_bits, per_top);
                    return 1;
                }
    puts("done");
    return 0;
}
