#include "mixing.h"

#include <math.h>
#include <string.h>

#if defined(__x86_64__) && defined(__GLIBC__) && defined(__GNUC__) && !defined(__clang__)
#define FOR_ANY_CPU __attribute__((target_clones("avx2", "default")))
#else
#define FOR_ANY_CPU
#endif

/* Shares below this are as good as none. */
static const double LEAST_SHARE = 1e-3;

FOR_ANY_CPU
static void add_scaled(double *restrict sum, const double *restrict values, double scale, int64_t n) {
    for (int64_t i = 0; i < n; i++) sum[i] += scale * values[i];
}

void mix(const Sources *sources, double *p, double *trust) {
    memset(trust, 0, (size_t)sources->n_slots * sizeof *trust);
    for (const Evidence *one = sources->evidence; one < sources->evidence + sources->n_evidence; one++)
        for (int64_t k = 0; k < one->n_slots; k++)
            trust[one->slots[k]] = sources->weights[one->slots[k] * sources->n_buckets + one->buckets[k]];
    /* p becomes (1 - w) p + w q, slot by slot: each slot's share of the end is w times what later slots leave. */
    double coefficients[MOST_SLOTS], left = 1;
    for (int64_t slot = sources->n_slots - 1; slot >= 0; slot--) {
        coefficients[slot] = trust[slot] * left;
        left *= 1 - trust[slot];
    }
    for (int64_t i = 0; i < sources->n_vocabulary; i++) p[i] = sources->base[i] * left;
    for (const Evidence *one = sources->evidence; one < sources->evidence + sources->n_evidence; one++)
        for (int64_t k = 0; k < one->n_slots; k++) {
            const double *shares = one->shares + k * one->n_ids, scale = coefficients[one->slots[k]];
            if (one->ids == NULL) {
                add_scaled(p, shares, scale, one->n_ids);
                continue;
            }
            for (int64_t i = 0; i < one->n_ids; i++) p[one->ids[i]] += scale * shares[i];
        }
}

/* The most probable tokens, best first, equal ones by id. */
static int best_of(const double *p, int64_t n, int64_t *ids) {
    int n_found = 0;
    for (int64_t i = 0; i < n; i++) {
        if (n_found == N_BEST && p[i] <= p[ids[N_BEST - 1]]) continue;
        int at = n_found < N_BEST ? n_found++ : N_BEST - 1;
        for (; at > 0 && p[ids[at - 1]] < p[i]; at--) ids[at] = ids[at - 1];
        ids[at] = i;
    }
    return n_found;
}

/* The mass of all tokens that are no candidates, added up: what is left of 1 may be less than its rounding error. */
static double mass_of_others(const double *p, int64_t n, const int64_t *ids, int n_ids) {
    int64_t sorted[N_BEST + 1];
    for (int c = 0; c < n_ids; c++) {
        int at = c;
        for (; at > 0 && sorted[at - 1] > ids[c]; at--) sorted[at] = sorted[at - 1];
        sorted[at] = ids[c];
    }
    sorted[n_ids] = n;
    double sum = 0;
    int64_t i = 0;
    for (int c = 0; c <= n_ids; c++, i++)
        for (; i < sorted[c]; i++) sum += p[i];
    return sum;
}

/* Each source's share for each candidate, [N_BEST][n_slots]. */
static void shares_of(const Sources *sources, const Sight *sight, float shares[N_BEST][MOST_SLOTS]) {
    /* Few of a source's tokens are candidates: by their last bits most are passed over. */
    enum { N_MARKS = 1024 };
    bool marked[N_MARKS] = {false};
    for (int c = 0; c < sight->n_best; c++) marked[sight->ids[c] % N_MARKS] = true;
    for (const Evidence *one = sources->evidence; one < sources->evidence + sources->n_evidence; one++) {
        if (one->ids == NULL) {
            for (int c = 0; c < sight->n_best; c++)
                for (int64_t k = 0; k < one->n_slots; k++)
                    shares[c][one->slots[k]] = (float)one->shares[k * one->n_ids + sight->ids[c]];
            continue;
        }
        for (int64_t i = 0; i < one->n_ids; i++)
            for (int c = 0; c < sight->n_best && marked[one->ids[i] % N_MARKS]; c++)
                if (sight->ids[c] == one->ids[i])
                    for (int64_t k = 0; k < one->n_slots; k++)
                        shares[c][one->slots[k]] = (float)one->shares[k * one->n_ids + i];
    }
}

static float *nearness(uint16_t distance, float *next) {
    *next++ = distance == NEVER ? 0 : 1 - log2f(distance + 1.0f) / 16;
    *next++ = distance == NEVER;
    return next;
}

static float *one_of(int chosen, int n, float *next) {
    memset(next, 0, (size_t)n * sizeof *next);
    if (chosen >= 0) next[chosen] = 1;
    return next + n;
}

void see(const Sources *sources, const Tokens *tokens, const Place *place, const double *p, const double *trust, Sight *sight) {
    int64_t n_slots = sources->n_slots;
    float shares[N_BEST][MOST_SLOTS], most[MOST_SLOTS] = {0};
    bool knows_all[MOST_SLOTS] = {false};
    memset(shares, 0, sizeof shares);
    for (const Evidence *one = sources->evidence; one < sources->evidence + sources->n_evidence; one++)
        for (int64_t k = 0; k < one->n_slots; k++) knows_all[one->slots[k]] = one->ids == NULL;
    sight->n_best = best_of(p, sources->n_vocabulary, sight->ids);
    shares_of(sources, sight, shares);
    double rest = mass_of_others(p, sources->n_vocabulary, sight->ids, sight->n_best), entropy = 0;
    for (int c = 0; c < sight->n_best; c++) {
        double mass = p[sight->ids[c]];
        sight->log_p[c] = log(mass);
        entropy -= mass * sight->log_p[c];
        for (int64_t slot = 0; slot < n_slots; slot++)
            if (shares[c][slot] > most[slot]) most[slot] = shares[c][slot];
    }
    sight->log_rest = log(rest > 1e-9 ? rest : 1e-9);
    for (int c = 0; c < sight->n_best; c++) {
        int64_t id = sight->ids[c];
        float *next = sight->candidates[c];
        *next++ = (float)fmax(sight->log_p[c], -14) / 4;
        *next++ = (float)fmax(sight->log_p[c] - sight->log_p[0], -14) / 4;
        *next++ = (float)c / N_BEST;
        *next++ = c == 0;
        *next++ = c == 1;
        for (int64_t slot = 0; slot < n_slots; slot++) {
            float share = shares[c][slot];
            /* Counts are small, and none says little; who speaks of all tokens tells a rare one from one out of place. */
            if (knows_all[slot]) next[slot] = (float)fmax(log(share), -14) / 4;
            else next[slot] = share > 0 ? (float)(log(share / LEAST_SHARE + 1) / 3.5) : 0;
            next[n_slots + slot] = share / (most[slot] + 1e-6f);
            next[2 * n_slots + slot] = share > 0;
        }
        next = nearness(place->before[id], next + 3 * n_slots);
        next = nearness(place->after[id], next);
        for (int k = 0; k < N_LAST; k++) *next++ = id == place->last[k];
        *next++ = id == place->first;
        *next++ = id == place->below;
        *next++ = tokens->closes[id] > 0 && tokens->closes[id] == place->bracket;
        *next++ = tokens->closes[id] > 0 && tokens->closes[id] != place->bracket;
        next = one_of(tokens->kinds[id], N_KINDS, next);
        *next++ = tokens->lengths[id];
    }
    float *next = sight->place;
    for (int64_t slot = 0; slot < n_slots; slot++) {
        next[slot] = (float)trust[slot];
        next[n_slots + slot] = trust[slot] > 0;
    }
    next = one_of(tokens->kinds[place->last[N_LAST - 1]], N_KINDS, next + 2 * n_slots);
    next = one_of(tokens->kinds[place->last[N_LAST - 2]], N_KINDS, next);
    next = one_of(tokens->kinds[place->first], N_KINDS, next);
    next = one_of(tokens->kinds[place->below], N_KINDS, next);
    next = one_of(place->deeper, 4, next);
    next = one_of(place->bracket, 4, next);
    next = one_of(place->quote, 4, next);
    next = one_of(place->language, N_LANGUAGES, next);
    *next++ = (float)place->depth / 3;
    *next++ = (float)place->n_tokens / 16;
    *next++ = (float)place->has_siblings;
    *next++ = (float)entropy;
    *next++ = (float)sight->log_rest / 4;
}

/* sum += values W; most values are 0. */
FOR_ANY_CPU
static void add_product(float *restrict sum, const float *restrict values, const float *restrict w, int64_t n) {
    for (int64_t i = 0; i < n; i++)
        if (values[i] != 0)
            for (int k = 0; k < HIDDEN; k++) sum[k] += values[i] * w[i * HIDDEN + k];
}

FOR_ANY_CPU
static void second_layer(const float *restrict hidden, const Network *network, float *restrict sum) {
    memcpy(sum, network->second_bias, SECOND * sizeof *sum);
    for (int i = 0; i < HIDDEN; i++)
        for (int k = 0; k < SECOND; k++) sum[k] += hidden[i] * network->second[i * SECOND + k];
}

static float silu(float x) { return x / (1 + expf(-x)); }

void tilt(const Network *network, const Sources *sources, const Sight *sight, double *p) {
    float there[HIDDEN], hidden[HIDDEN], second[SECOND];
    memcpy(there, network->bias, sizeof there);
    add_product(there, sight->place, network->place, N_PLACE(sources->n_slots));
    double logits[N_BEST + 1], most = -INFINITY, sum = 0;
    for (int c = 0; c < sight->n_best; c++) {
        memcpy(hidden, there, sizeof hidden);
        add_product(hidden, sight->candidates[c], network->candidate, N_CANDIDATE(sources->n_slots));
        for (int k = 0; k < HIDDEN; k++) hidden[k] = silu(hidden[k]);
        second_layer(hidden, network, second);
        double score = 0;
        for (int k = 0; k < SECOND; k++) score += silu(second[k]) * network->out[k];
        logits[c] = sight->log_p[c] + score;
    }
    double score = network->rest_bias[0];
    for (int k = 0; k < HIDDEN; k++) score += silu(there[k]) * network->rest[k];
    double others = mass_of_others(p, sources->n_vocabulary, sight->ids, sight->n_best), total = others;
    for (int c = 0; c < sight->n_best; c++) total += p[sight->ids[c]];
    logits[sight->n_best] = others > 0 ? sight->log_rest + score : -INFINITY;
    for (int c = 0; c <= sight->n_best; c++) most = fmax(most, logits[c]);
    for (int c = 0; c <= sight->n_best; c++) sum += exp(logits[c] - most);
    double unit = total / sum, scale = others > 0 ? exp(logits[sight->n_best] - most) * unit / others : 0;
    for (int64_t i = 0; i < sources->n_vocabulary; i++) p[i] *= scale;
    for (int c = 0; c < sight->n_best; c++) p[sight->ids[c]] = exp(logits[c] - most) * unit;
}
