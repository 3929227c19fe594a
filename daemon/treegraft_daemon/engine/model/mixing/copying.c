#include "copying.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { END = 0 };

void page_index(Page *self) {
    const uint32_t *tokens = self->tokens;
    int32_t *ends = self->starts + 1;
    memset(self->starts, 0, ((size_t)self->n_vocabulary + 1) * sizeof *self->starts);
    for (int64_t place = 1; place < self->n_tokens; place++)
        if (tokens[place] != END) ends[tokens[place - 1]]++;
    int32_t sum = 0;
    for (int64_t token = 0; token < self->n_vocabulary; token++) {
        int32_t n = ends[token];
        ends[token] = sum; /* where the next place of this token goes: in the end, where the list ends */
        sum += n;
    }
    for (int64_t place = 1; place < self->n_tokens; place++)
        if (tokens[place] != END) self->places[ends[tokens[place - 1]]++] = place;
}

void lengthen(const Page *page, const Matches *earlier, int64_t low, int64_t high, int64_t longest, int64_t *lengths) {
    int64_t at = earlier->low;
    for (int64_t i = low; i < high; i++) {
        int64_t before = page->places[i] - 1, length = 1;
        while (at < earlier->high && page->places[at] < before) at++;
        if (at < earlier->high && page->places[at] == before) length += earlier->lengths[at - earlier->low];
        lengths[i - low] = length < longest ? length : longest;
    }
}

int64_t skip_one(const Page *page, const Matches *earlier, int64_t *places) {
    int64_t n = 0;
    for (int64_t i = earlier->low; i < earlier->high; i++) {
        int64_t place = page->places[i] + 1;
        if (earlier->lengths[i - earlier->low] >= 2 && place < page->n_tokens && page->tokens[place] != END) places[n++] = place;
    }
    return n;
}

static int compare(const void *left, const void *right) {
    int64_t a = *(const int64_t *)left, b = *(const int64_t *)right;
    return (a > b) - (a < b);
}

int64_t ways_at(Page *page, const int64_t *places, int64_t n, int64_t *ids, int64_t *index) {
    int64_t n_ids = 0;
    for (int64_t i = 0; i < n; i++) {
        uint32_t token = page->tokens[places[i]];
        if (page->ranks[token]) continue;
        page->ranks[token] = 1;
        ids[n_ids++] = token;
    }
    qsort(ids, (size_t)n_ids, sizeof *ids, compare);
    for (int64_t k = 0; k < n_ids; k++) page->ranks[ids[k]] = (int32_t)k;
    for (int64_t i = 0; i < n; i++) index[i] = page->ranks[page->tokens[places[i]]];
    for (int64_t k = 0; k < n_ids; k++) page->ranks[ids[k]] = 0;
    return n_ids;
}

/* How near a place is to the cursor. */
static double weight_of(const Page *page, int64_t place) {
    if (page->cursor < 0) return 1;
    int64_t distance = llabs(place - page->cursor), last = page->n_weights - 1;
    return page->weight_at[distance < last ? distance : last];
}

/* Makes weights of tokens shares, and tells the kind of `count` places: how often, how many ways, how sure. */
static int64_t weigh(double *weights, int64_t n, int64_t count) {
    double sum = 0, most = 0;
    int64_t ways = 0, often = 0;
    for (int64_t i = 0; i < n; i++) {
        sum += weights[i];
        most = weights[i] > most ? weights[i] : most;
        ways += weights[i] > 0;
    }
    for (int64_t i = 0; i < n; i++) weights[i] /= sum;
    while (often < 5 && count >> (often + 1)) often++;
    int64_t sure = (int64_t)(most / sum * 4);
    return (often * 3 + (ways < 3 ? ways : 3) - 1) * 4 + (sure < 3 ? sure : 3);
}

int64_t follow(const Page *page, const Matches *matches, const int64_t *index, int64_t n_ids, const Around *around,
               const int64_t *level_of, int64_t n_levels, int64_t *slots, int64_t *buckets, double *shares) {
    int64_t n_slots = n_levels + N_EXTRA, counts[MOST_LEVELS + N_EXTRA] = {0};
    double *extra = shares + n_levels * n_ids;
    for (int64_t i = 0; i < matches->high - matches->low; i++) {
        int64_t place = page->places[matches->low + i], level = level_of[matches->lengths[i]];
        double weight = weight_of(page, place);
        counts[level]++;
        shares[level * n_ids + index[i]] += weight;
        const bool same[N_EXTRA] = {
            false,
            place >= 3 && page->tokens[place - 3] == around->third,
            page->line_keys[place - 1] == around->line_key,
            page->above[place] == around->line_above,
            page->below[place] == around->line_below,
        };
        for (int k = 1; k < N_EXTRA; k++)
            if (same[k]) {
                counts[n_levels + k]++;
                extra[k * n_ids + index[i]] += weight;
            }
    }
    /* A long match is a short one, too. */
    for (int64_t level = n_levels - 2; level >= 0; level--) {
        counts[level] += counts[level + 1];
        for (int64_t i = 0; i < n_ids; i++) shares[level * n_ids + i] += shares[(level + 1) * n_ids + i];
    }
    int64_t n_found = 0;
    for (int64_t slot = 0; slot < n_slots; slot++) {
        if (!counts[slot]) continue;
        buckets[n_found] = weigh(shares + slot * n_ids, n_ids, counts[slot]);
        slots[n_found] = slot;
        memmove(shares + n_found++ * n_ids, shares + slot * n_ids, (size_t)n_ids * sizeof *shares);
    }
    return n_found;
}

int64_t follow_skipped(const Page *page, const int64_t *places, const int64_t *index, int64_t n, int64_t n_ids, double *shares) {
    for (int64_t i = 0; i < n; i++) shares[index[i]] += weight_of(page, places[i]);
    return weigh(shares, n_ids, n);
}
