/* The embedded law's arithmetic: the fold over the sources of evidence, and the network that tilts its best candidates.
 *
 * What the sources are is in `mixture.py`, what the network is for in `tilt.py`. Numbers only; no memory of its own. */
#ifndef TREEGRAFT_MIXING_H
#define TREEGRAFT_MIXING_H

#include <stdbool.h>
#include <stdint.h>

/* Candidates; tokens before the cursor that are looked at; sources at most; what `kinds` tells apart. */
enum { N_BEST = 24, N_LAST = 5, MOST_SLOTS = 48, N_KINDS = 11, N_LANGUAGES = 10, HIDDEN = 64, SECOND = 32 };
enum { NEVER = 65535 };
#define N_CANDIDATE(n_slots) (5 + 3 * (n_slots) + 4 + N_LAST + 4 + N_KINDS + 1)
#define N_PLACE(n_slots) (2 * (n_slots) + 4 * N_KINDS + 3 * 4 + N_LANGUAGES + 5)

/* What one source, or several with the same tokens, put next. */
typedef struct {
    const int64_t *slots, *buckets; /* [n_slots] */
    const int64_t *ids;             /* [n_ids]; NULL for all of the vocabulary */
    const double *shares;           /* [n_slots, n_ids] */
    int64_t n_slots, n_ids;
} Evidence;

typedef struct {
    int64_t n_vocabulary, n_slots, n_buckets;
    const double *base;    /* [n_vocabulary], all above 0 */
    const double *weights; /* [n_slots, n_buckets] */
    const Evidence *evidence;
    int64_t n_evidence;
} Sources;

/* p [n_vocabulary] becomes the mixture, trust [n_slots] the weight of each source, 0 where it is silent. */
void mix(const Sources *sources, double *p, double *trust);

/* Of each token [n_vocabulary]: its kind, which bracket it closes (1 to 3, 0 for none), its length / 8. */
typedef struct {
    const uint8_t *kinds, *closes;
    const float *lengths;
} Tokens;

/* Where a law is asked for; see `tilt.Line` and `tilt.Below`. */
typedef struct {
    const uint16_t *before, *after; /* [n_vocabulary]: tokens from the cursor to the nearest in the document, or NEVER */
    int64_t last[N_LAST], first, below;
    int deeper, bracket, depth, quote, n_tokens, language, has_siblings; /* language: -1 for none */
} Place;

/* What the network is given. */
typedef struct {
    int n_best; /* N_BEST, or the vocabulary when it is smaller */
    int64_t ids[N_BEST];
    double log_p[N_BEST], log_rest; /* of the candidates, and of everything else together */
    float candidates[N_BEST][N_CANDIDATE(MOST_SLOTS)];
    float place[N_PLACE(MOST_SLOTS)];
} Sight;

void see(const Sources *sources, const Tokens *tokens, const Place *place, const double *p, const double *trust, Sight *sight);

typedef struct {
    const float *candidate;            /* [N_CANDIDATE, HIDDEN] */
    const float *place, *bias;         /* [N_PLACE, HIDDEN], [HIDDEN] */
    const float *second, *second_bias; /* [HIDDEN, SECOND], [SECOND] */
    const float *out;                  /* [SECOND] */
    const float *rest, *rest_bias;     /* [HIDDEN], [1] */
} Network;

/* p is tilted by the network's scores; its sum stays. */
void tilt(const Network *network, const Sources *sources, const Sight *sight, double *p);

#endif
