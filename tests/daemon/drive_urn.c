/* Random laws of all kinds and sizes drawn to the end, for the sanitizers: see test_draws.py. */
#include "urn.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const int64_t SIZES[] = {0, 1, 2, 63, 64, 65, 1000, 4096, 4097, 9001};

static double uniform(void) {
    return rand() / (RAND_MAX + 1.0);
}

/* Draws a law to its end in portions; whether each possible token came once. */
static bool drive(int64_t n, Kind kind, bool by_probability) {
    double *doubles = malloc(n * sizeof(double)), *uniforms = malloc(n * sizeof(double)), *told = malloc(n * sizeof(double));
    float *floats = malloc(n * sizeof(float));
    int32_t *ids = malloc(n * sizeof(int32_t));
    char *came = calloc(n + 1, 1);
    for (int64_t i = 0; i < n; i++) {
        doubles[i] = -400.0 * uniform() * uniform();
        if (rand() % 5 == 0)
            doubles[i] = -INFINITY;
        floats[i] = (float)doubles[i];
        if (kind == MASSES_64)
            doubles[i] = exp(doubles[i]);
        uniforms[i] = rand() % 50 ? uniform() : 1.0 - 0x1p-53;
    }
    Urn *urn = urn_new(kind == LOGS_32 ? (void *)floats : (void *)doubles, n, kind, by_probability);
    bool right = urn && urn_is_law(urn);
    for (int64_t portion = 1; right && urn_left(urn); portion *= 2) {
        int64_t m = portion < urn_left(urn) ? portion : urn_left(urn);
        urn_draw(urn, uniforms, m, ids, told);
        for (int64_t i = 0; i < m; i++)
            right &= ids[i] >= 0 && ids[i] < n && told[i] > -INFINITY && !came[ids[i]]++;
    }
    urn_free(urn);
    free(doubles), free(uniforms), free(told), free(floats), free(ids), free(came);
    return right;
}

int main(void) {
    srand(7);
    for (int round = 0; round < 20; round++)
        for (unsigned size = 0; size < sizeof SIZES / sizeof *SIZES; size++)
            for (int kind = LOGS_32; kind <= MASSES_64; kind++)
                for (int by_probability = 0; by_probability < 2; by_probability++)
                    if (!drive(SIZES[size], kind, by_probability)) {
                        fprintf(stderr, "wrong: size %ld, kind %d, %d\n", (long)SIZES[size], kind, by_probability);
                        return 1;
                    }
    puts("done");
    return 0;
}
