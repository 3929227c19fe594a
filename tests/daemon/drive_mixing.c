/* Random sources, places and networks mixed and tilted, for the sanitizers: see test_tilt.py. */
#include "mixing.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { MOST_TOKENS = 9000, MOST_EVIDENCE = 12, N_BUCKETS = 7 };

static double uniform(void) {
    return rand() / (RAND_MAX + 1.0);
}

static float *weights(int64_t n) {
    float *found = malloc(n * sizeof(float));
    for (int64_t i = 0; i < n; i++)
        found[i] = (float)(uniform() - 0.5);
    return found;
}

/* Shares of each slot that sum to 1. */
static double *shares(int64_t n_slots, int64_t n) {
    double *found = malloc(n_slots * n * sizeof(double));
    for (int64_t slot = 0; slot < n_slots; slot++) {
        double sum = 0;
        for (int64_t i = 0; i < n; i++)
            sum += found[slot * n + i] = uniform();
        for (int64_t i = 0; i < n; i++)
            found[slot * n + i] /= sum;
    }
    return found;
}

static int64_t *numbers(int64_t n, int64_t below) {
    int64_t *found = malloc(n * sizeof(int64_t));
    for (int64_t i = 0; i < n; i++)
        found[i] = rand() % below;
    return found;
}

/* One law of `n` tokens from `n_slots` sources; whether it is one after the fold and after the tilt. */
static bool drive(int64_t n, int64_t n_slots) {
    double *base = shares(1, n), *table = malloc(n_slots * N_BUCKETS * sizeof(double)), *p = malloc(n * sizeof(double));
    double trust[MOST_SLOTS];
    for (int64_t i = 0; i < n_slots * N_BUCKETS; i++)
        table[i] = uniform();
    Evidence evidence[MOST_EVIDENCE];
    int n_evidence = 0;
    for (int64_t slot = 0; slot < n_slots && n_evidence < MOST_EVIDENCE; n_evidence++) {
        int64_t width = 1 + rand() % 3, n_ids = 1 + rand() % n;
        if (width > n_slots - slot)
            width = n_slots - slot;
        bool whole = rand() % 4 == 0;
        int64_t *slots = numbers(width, 1);
        for (int64_t k = 0; k < width; k++)
            slots[k] = slot++;
        n_ids = whole ? n : n_ids;
        evidence[n_evidence] = (Evidence){
            slots, numbers(width, N_BUCKETS), whole ? NULL : numbers(n_ids, n), shares(width, n_ids), width, n_ids};
    }
    Sources sources = {n, n_slots, N_BUCKETS, base, table, evidence, n_evidence};
    mix(&sources, p, trust);
    double mixed = 0, tilted = 0;
    for (int64_t i = 0; i < n; i++)
        mixed += p[i];
    uint8_t *kinds = malloc(n), *closes = malloc(n);
    uint16_t *before = malloc(n * sizeof *before), *after = malloc(n * sizeof *after);
    for (int64_t i = 0; i < n; i++) {
        kinds[i] = rand() % N_KINDS, closes[i] = rand() % 4;
        before[i] = rand() % 3 ? NEVER : rand() % NEVER, after[i] = rand() % 3 ? NEVER : rand() % NEVER;
    }
    float *lengths = weights(n);
    Tokens tokens = {kinds, closes, lengths};
    Place place = {before, after, {rand() % n, 0, n - 1, rand() % n, rand() % n}, rand() % n, rand() % n, rand() % 4,
                   rand() % 4, rand() % 4, rand() % 4, rand() % 32, rand() % (N_LANGUAGES + 1) - 1, rand() % 2};
    Sight *sight = malloc(sizeof *sight);
    see(&sources, &tokens, &place, p, trust, sight);
    Network network = {weights(N_CANDIDATE(n_slots) * HIDDEN), weights(N_PLACE(n_slots) * HIDDEN), weights(HIDDEN),
                       weights(HIDDEN * SECOND), weights(SECOND), weights(SECOND), weights(HIDDEN), weights(1)};
    tilt(&network, &sources, sight, p);
    for (int64_t i = 0; i < n; i++)
        tilted += p[i];
    const void *all[] = {network.candidate, network.place, network.bias, network.second, network.second_bias,
                         network.out, network.rest, network.rest_bias, base, table, p, kinds, closes, before, after,
                         lengths, sight};
    for (unsigned k = 0; k < sizeof all / sizeof *all; k++)
        free((void *)all[k]);
    for (Evidence *one = evidence; one < evidence + n_evidence; one++)
        free((void *)one->slots), free((void *)one->buckets), free((void *)one->ids), free((void *)one->shares);
    return fabs(mixed - 1) < 1e-9 && fabs(tilted - 1) < 1e-9;
}

int main(void) {
    static const int64_t sizes[] = {1, 2, N_BEST - 1, N_BEST, N_BEST + 1, 400, MOST_TOKENS};
    srand(7);
    for (int round = 0; round < 40; round++)
        for (unsigned k = 0; k < sizeof sizes / sizeof *sizes; k++) {
            int64_t n_slots = 1 + rand() % MOST_SLOTS;
            if (!drive(sizes[k], n_slots)) {
                fprintf(stderr, "no law: %ld tokens, %ld sources\n", (long)sizes[k], (long)n_slots);
                return 1;
            }
        }
    puts("done");
    return 0;
}
