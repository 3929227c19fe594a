/* Random pages walked along random tokens, for the sanitizers: see test_copying.py. */
#include "copying.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LONGEST = 20, N_LEVELS = 9, N_STEPS = 60 };

static int64_t *numbers(int64_t n, int64_t below) {
    int64_t *found = malloc((n + 1) * sizeof *found);
    for (int64_t i = 0; i < n; i++)
        found[i] = rand() % below;
    return found;
}

/* Whether each row of shares is a law. */
static bool are_laws(const double *shares, int64_t n_rows, int64_t n) {
    for (int64_t row = 0; row < n_rows; row++) {
        double sum = 0;
        for (int64_t i = 0; i < n; i++)
            sum += shares[row * n + i];
        if (fabs(sum - 1) > 1e-9)
            return false;
    }
    return true;
}

static bool drive(int64_t n_tokens, int64_t n_vocabulary, bool has_cursor) {
    uint32_t *tokens = malloc((n_tokens + 1) * sizeof *tokens);
    for (int64_t i = 0; i < n_tokens; i++)
        tokens[i] = rand() % n_vocabulary;
    double weight_at[40];
    for (int k = 0; k < 40; k++)
        weight_at[k] = exp(-k);
    int64_t level_of[LONGEST + 1];
    for (int k = 0; k <= LONGEST; k++)
        level_of[k] = k * (N_LEVELS - 1) / LONGEST;
    Page page = {
        .tokens = tokens, .n_tokens = n_tokens, .n_vocabulary = n_vocabulary, .cursor = has_cursor ? n_tokens / 2 : -1,
        .line_keys = numbers(n_tokens, 5), .above = numbers(n_tokens, 5), .below = numbers(n_tokens, 5),
        .weight_at = weight_at, .n_weights = has_cursor ? 40 : 1, .places = malloc((n_tokens + 1) * sizeof(int64_t)),
        .starts = malloc((n_vocabulary + 1) * sizeof(int32_t)), .ranks = calloc(n_vocabulary, sizeof(int32_t))};
    page_index(&page);
    Matches matches = {0};
    bool is_well = true;
    for (int k = 0; k < N_STEPS && is_well; k++) {
        /* Along the page, so that matches grow long, and off it now and then. */
        uint32_t token = n_tokens && rand() % 5 ? tokens[k % n_tokens] : rand() % n_vocabulary;
        int64_t low = page.starts[token], high = page.starts[token + 1], n = high - low;
        int64_t *lengths = malloc((n + 1) * sizeof *lengths), *ids = malloc((n + 1) * sizeof *ids), *index = malloc((n + 1) * sizeof *index);
        lengthen(&page, &matches, low, high, LONGEST, lengths);
        int64_t n_earlier = matches.high - matches.low, *places = malloc((n_earlier + 1) * sizeof *places);
        int64_t *earlier_ids = malloc((n_earlier + 1) * sizeof *places), *earlier_index = malloc((n_earlier + 1) * sizeof *places);
        int64_t n_places = skip_one(&page, &matches, places);
        if (n_places) {
            int64_t n_ids = ways_at(&page, places, n_places, earlier_ids, earlier_index);
            double *shares = calloc(n_ids, sizeof *shares);
            int64_t bucket = follow_skipped(&page, places, earlier_index, n_places, n_ids, shares);
            is_well = bucket >= 0 && bucket < 72 && are_laws(shares, 1, n_ids);
            free(shares);
        }
        free(places), free(earlier_ids), free(earlier_index), free((void *)matches.lengths);
        matches = (Matches){low, high, lengths};
        if (n) {
            int64_t slots[N_LEVELS + N_EXTRA], buckets[N_LEVELS + N_EXTRA];
            int64_t n_ids = ways_at(&page, page.places + low, n, ids, index);
            double *shares = calloc((N_LEVELS + N_EXTRA) * n_ids, sizeof *shares);
            Around around = {rand() % n_vocabulary, rand() % 5, rand() % 5, rand() % 5};
            int64_t n_slots = follow(&page, &matches, index, n_ids, &around, level_of, N_LEVELS, slots, buckets, shares);
            is_well = is_well && n_slots > 0 && are_laws(shares, n_slots, n_ids);
            free(shares);
        }
        free(ids), free(index);
    }
    for (int64_t token = 0; token < n_vocabulary; token++)
        is_well = is_well && page.ranks[token] == 0;
    free((void *)matches.lengths);
    free(tokens), free((void *)page.line_keys), free((void *)page.above), free((void *)page.below), free(page.places);
    free(page.starts), free(page.ranks);
    return is_well;
}

int main(void) {
    static const int64_t sizes[] = {0, 1, 2, 3, 30, 400, 3000};
    srand(7);
    for (int round = 0; round < 60; round++)
        for (unsigned k = 0; k < sizeof sizes / sizeof *sizes; k++)
            if (!drive(sizes[k], 2 + rand() % (round < 30 ? 6 : 500), round % 2)) {
                fprintf(stderr, "no law: %ld tokens\n", (long)sizes[k]);
                return 1;
            }
    puts("done");
    return 0;
}
