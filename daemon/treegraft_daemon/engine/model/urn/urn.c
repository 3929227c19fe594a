#include "urn.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#if defined(__x86_64__) && defined(__GLIBC__) && defined(__GNUC__) && !defined(__clang__)
#define FOR_ANY_CPU __attribute__((target_clones("avx2", "default")))
#else
#define FOR_ANY_CPU
#endif

enum { GROUP = 64 };
/* What is left of a law after taking out what was drawn: below this share it is rounding error, to be added up anew. */
static const double TRUSTED = 1e-6;

struct Urn {
    const void *values;
    int64_t n, n_groups, n_blocks; /* a block is GROUP groups */
    Kind kind;
    bool by_probability, is_law;
    int64_t n_left, n_drawn;
    uint8_t *drawn; /* [n_groups * GROUP] */
    float *masses;  /* [n_groups * GROUP], in units of the greatest; 0 once drawn. NULL for draws by probability */
    double *groups; /* [n_groups] sums of masses, or greatest values */
    double *blocks; /* [n_blocks] the same of groups */
    double full;    /* all masses when they were last counted */
    union {
        float floats[GROUP];
        double doubles[GROUP];
    } tail;
    double log_unit, log_total;
};

static inline double value_at(const Urn *urn, int64_t i) {
    return urn->kind == LOGS_32 ? (double)((const float *)urn->values)[i] : ((const double *)urn->values)[i];
}

/* Vectors of 32 bytes, which a CPU without them works on in halves. */
typedef float Floats __attribute__((vector_size(32)));
typedef int32_t Ints __attribute__((vector_size(32)));
typedef double Doubles __attribute__((vector_size(32)));
typedef int64_t Longs __attribute__((vector_size(32)));
enum { N_FLOATS = 8, N_DOUBLES = 4 };
#define INLINE __attribute__((always_inline)) static inline

/* exp(x) for x <= 0 within 2e-7 of itself, 0 below -87: the polynomial of Cephes' expf. */
INLINE Floats exp_below_0(Floats x) {
    Ints counts = x > -87.0f;
    x = (Floats)((Ints)x & counts);
    Floats shift = {0}, halves;
    shift += 12582912.0f; /* adding 1.5 * 2^23 rounds to an integer, which then stands in the last bits */
    halves = x * 1.44269504f + shift;
    Floats k = halves - shift;
    Floats f = x - k * 0.693359375f - k * -2.12194440e-4f;
    Floats p = f * 1.9875691500e-4f + 1.3981999507e-3f;
    p = p * f + 8.3334519073e-3f;
    p = p * f + 4.1665795894e-2f;
    p = p * f + 1.6666665459e-1f;
    p = p * f + 5.0000001201e-1f;
    p = p * f * f + f + 1.0f;
    Floats power = (Floats)(((Ints)halves - (Ints)shift + 127) << 23);
    return (Floats)((Ints)(p * power) & counts);
}

/* All of these read whole groups: `values` [n_groups * GROUP]. Masses are in units of exp(top), or of top. */

FOR_ANY_CPU static void exp_floats(const float *logs, float top, float *masses, int64_t n_groups) {
    for (int64_t i = 0; i < n_groups * GROUP; i += N_FLOATS) {
        Floats x;
        memcpy(&x, logs + i, sizeof x);
        x = exp_below_0(x - top);
        memcpy(masses + i, &x, sizeof x);
    }
}

FOR_ANY_CPU static void exp_doubles(const double *logs, double top, float *masses, int64_t n_groups) {
    for (int64_t i = 0; i < n_groups * GROUP; i += N_FLOATS) {
        Floats x;
        for (int j = 0; j < N_FLOATS; j++)
            x[j] = (float)(logs[i + j] - top);
        x = exp_below_0(x);
        memcpy(masses + i, &x, sizeof x);
    }
}

FOR_ANY_CPU static void scale_doubles(const double *values, double top, float *masses, int64_t n_groups) {
    for (int64_t i = 0; i < n_groups * GROUP; i++)
        masses[i] = (float)(values[i] / top); /* one over a top below 1e-308 would be infinite */
}

/* Of each group the greatest value; how many values are possible; whether all are those of a law. */
#define SURVEY(NAME, TYPE, VECTOR, MASK, LANES)                                                                  \
    FOR_ANY_CPU static void NAME(const TYPE *values, int64_t n_groups, TYPE none, double *greatest, Urn *urn) {  \
        MASK n_possible = {0}, wrong = {0};                                                                      \
        for (int64_t group = 0; group < n_groups; group++) {                                                     \
            VECTOR most = {0};                                                                                   \
            most += none;                                                                                        \
            for (int i = 0; i < GROUP; i += LANES) {                                                             \
                VECTOR value;                                                                                    \
                memcpy(&value, values + group * GROUP + i, sizeof value);                                        \
                MASK more = value > most;                                                                        \
                most = (VECTOR)(((MASK)value & more) | ((MASK)most & ~more));                                    \
                n_possible -= value > none; /* true is -1 */                                                     \
                wrong |= (value < none) | ~(value < (TYPE)INFINITY);                                             \
            }                                                                                                    \
            TYPE one = most[0];                                                                                  \
            for (int j = 1; j < LANES; j++)                                                                      \
                one = most[j] > one ? most[j] : one;                                                             \
            greatest[group] = one;                                                                               \
        }                                                                                                        \
        for (int j = 0; j < LANES; j++) {                                                                        \
            urn->n_left += n_possible[j];                                                                        \
            urn->is_law &= !wrong[j];                                                                            \
        }                                                                                                        \
    }

SURVEY(survey_floats, float, Floats, Ints, N_FLOATS)
SURVEY(survey_doubles, double, Doubles, Longs, N_DOUBLES)

FOR_ANY_CPU static double sum_of_group(const float *masses) {
    Floats sums = {0}, next;
    for (int i = 0; i < GROUP; i += N_FLOATS) {
        memcpy(&next, masses + i, sizeof next);
        sums += next;
    }
    double sum = 0.0;
    for (int j = 0; j < N_FLOATS; j++)
        sum += sums[j];
    return sum;
}

static double sum_of(const double *values, int64_t n) {
    Doubles sums = {0}, next;
    int64_t i = 0;
    for (; i + N_DOUBLES <= n; i += N_DOUBLES) {
        memcpy(&next, values + i, sizeof next);
        sums += next;
    }
    for (; i < n; i++)
        sums[0] += values[i];
    return sums[0] + sums[1] + sums[2] + sums[3];
}

static int64_t least(int64_t a, int64_t b) {
    return a < b ? a : b;
}

static double none_of(const Urn *urn) {
    return urn->kind == MASSES_64 ? 0.0 : -INFINITY;
}

/* The greatest value of a group that is not drawn, and its place, -1 if there is none. */
static int64_t greatest_of_group(const Urn *urn, int64_t group, double *greatest) {
    int64_t end = least((group + 1) * GROUP, urn->n), place = -1;
    *greatest = none_of(urn);
    for (int64_t i = group * GROUP; i < end; i++) {
        double value = value_at(urn, i);
        if (value > *greatest && !urn->drawn[i]) {
            *greatest = value;
            place = i;
        }
    }
    return place;
}

static double greatest_of(const double *values, int64_t n, int64_t *place) {
    double greatest = -INFINITY;
    *place = -1;
    for (int64_t i = 0; i < n; i++)
        if (values[i] > greatest) {
            greatest = values[i];
            *place = i;
        }
    return greatest;
}

static double *groups_of(const Urn *urn, int64_t block, int64_t *n) {
    *n = least(GROUP, urn->n_groups - block * GROUP);
    return urn->groups + block * GROUP;
}

static void survey(Urn *urn, const void *values, int64_t n_groups, double *greatest) {
    if (urn->kind == LOGS_32)
        survey_floats(values, n_groups, -INFINITY, greatest, urn);
    else
        survey_doubles(values, n_groups, none_of(urn), greatest, urn);
}

static void weigh(const Urn *urn, const void *values, int64_t n_groups, double top, float *masses) {
    if (urn->kind == LOGS_32)
        exp_floats(values, (float)top, masses, n_groups);
    else if (urn->kind == LOGS_64)
        exp_doubles(values, top, masses, n_groups);
    else
        scale_doubles(values, top, masses, n_groups);
}

/* The values of the last group, when it is not whole, filled up with impossible tokens. */
static void fill_tail(Urn *urn) {
    int64_t start = urn->n / GROUP * GROUP;
    for (int64_t i = 0; i < GROUP; i++) {
        double value = start + i < urn->n ? value_at(urn, start + i) : none_of(urn);
        if (urn->kind == LOGS_32)
            urn->tail.floats[i] = (float)value;
        else
            urn->tail.doubles[i] = value;
    }
}

/* Masses in units of the greatest one left, which is among what the groups hold now, and their sums. */
static void count(Urn *urn) {
    int64_t n_whole = urn->n / GROUP, ignored;
    double top = greatest_of(urn->groups, urn->n_groups, &ignored);
    weigh(urn, urn->values, n_whole, top, urn->masses);
    weigh(urn, &urn->tail, urn->n_groups - n_whole, top, urn->masses + n_whole * GROUP);
    if (urn->n_drawn)
        for (int64_t i = 0; i < urn->n; i++)
            if (urn->drawn[i])
                urn->masses[i] = 0.0f;
    for (int64_t group = 0; group < urn->n_groups; group++)
        urn->groups[group] = sum_of_group(urn->masses + group * GROUP);
    for (int64_t block = 0; block < urn->n_blocks; block++) {
        int64_t n;
        const double *groups = groups_of(urn, block, &n);
        urn->blocks[block] = sum_of(groups, n);
    }
    urn->full = sum_of(urn->blocks, urn->n_blocks);
    urn->log_unit = urn->kind == MASSES_64 ? log(top) : top;
}

Urn *urn_new(const void *values, int64_t n, Kind kind, bool by_probability) {
    Urn *urn = calloc(1, sizeof(Urn));
    if (!urn)
        return NULL;
    urn->values = values;
    urn->n = n;
    urn->kind = kind;
    urn->by_probability = by_probability;
    urn->n_groups = (n + GROUP - 1) / GROUP;
    urn->n_blocks = (urn->n_groups + GROUP - 1) / GROUP;
    urn->drawn = calloc(urn->n_groups + 1, GROUP);
    urn->groups = calloc(urn->n_groups + 1, sizeof(double));
    urn->blocks = calloc(urn->n_blocks + 1, sizeof(double));
    urn->masses = by_probability ? NULL : malloc((urn->n_groups + 1) * GROUP * sizeof(float));
    if (!urn->drawn || !urn->groups || !urn->blocks || (!by_probability && !urn->masses)) {
        urn_free(urn);
        return NULL;
    }
    int64_t n_whole = n / GROUP;
    fill_tail(urn);
    urn->is_law = true;
    survey(urn, values, n_whole, urn->groups);
    survey(urn, &urn->tail, urn->n_groups - n_whole, urn->groups + n_whole);
    urn->log_total = -INFINITY;
    if (!urn->is_law || urn->n_left == 0)
        return urn;
    if (!by_probability) {
        count(urn);
        urn->log_total = urn->log_unit + log(urn->full);
        return urn;
    }
    for (int64_t block = 0; block < urn->n_blocks; block++) {
        int64_t n_of_block, ignored;
        const double *groups = groups_of(urn, block, &n_of_block);
        urn->blocks[block] = greatest_of(groups, n_of_block, &ignored);
    }
    return urn;
}

void urn_free(Urn *urn) {
    if (!urn)
        return;
    free(urn->drawn);
    free(urn->groups);
    free(urn->blocks);
    free(urn->masses);
    free(urn);
}

bool urn_is_law(const Urn *urn) {
    return urn->is_law;
}

int64_t urn_left(const Urn *urn) {
    return urn->n_left;
}

double urn_log_total(const Urn *urn) {
    return urn->log_total;
}

/* Where `*share` of the running sums falls, and what of it falls inside; never an entry of mass 0. */
static int64_t pick(const double *sums, int64_t n, double *share) {
    int64_t last = -1;
    for (int64_t i = 0; i < n; i++) {
        if (sums[i] <= 0.0)
            continue;
        last = i;
        if (*share < sums[i])
            return i;
        *share -= sums[i];
    }
    *share = INFINITY; /* rounding may carry a share past the end; the last entry that adds anything is the right one */
    return last;
}

static int64_t pick_in_group(const float *masses, double share) {
    int64_t last = -1;
    for (int64_t i = 0; i < GROUP; i++) {
        if (masses[i] <= 0.0f)
            continue;
        last = i;
        if (share < masses[i])
            return i;
        share -= masses[i];
    }
    return last;
}

static int64_t draw_at_random(Urn *urn, double uniform) {
    double left = sum_of(urn->blocks, urn->n_blocks);
    if (left < TRUSTED * urn->full) {
        for (int64_t group = 0; group < urn->n_groups; group++)
            greatest_of_group(urn, group, &urn->groups[group]);
        count(urn);
        left = urn->full;
    }
    double share = uniform * left;
    int64_t n, block = pick(urn->blocks, urn->n_blocks, &share);
    double *groups = groups_of(urn, block, &n);
    int64_t group = block * GROUP + pick(groups, n, &share);
    int64_t place = group * GROUP + pick_in_group(urn->masses + group * GROUP, share);
    urn->drawn[place] = 1;
    urn->masses[place] = 0.0f;
    /* Added up anew, never subtracted: a small mass beside a great one would be lost. */
    urn->groups[group] = sum_of_group(urn->masses + group * GROUP);
    urn->blocks[block] = sum_of(groups, n);
    return place;
}

/* Equal ones by id. */
static int64_t draw_greatest(Urn *urn) {
    int64_t n, block, group;
    greatest_of(urn->blocks, urn->n_blocks, &block);
    double *groups = groups_of(urn, block, &n), greatest;
    greatest_of(groups, n, &group);
    int64_t place = greatest_of_group(urn, block * GROUP + group, &greatest);
    urn->drawn[place] = 1;
    greatest_of_group(urn, block * GROUP + group, &groups[group]);
    urn->blocks[block] = greatest_of(groups, n, &group);
    return place;
}

void urn_draw(Urn *urn, const double *uniforms, int64_t n, int32_t *ids, double *logprobs) {
    for (int64_t i = 0; i < n; i++) {
        int64_t place = urn->by_probability ? draw_greatest(urn) : draw_at_random(urn, uniforms[i]);
        urn->n_drawn++;
        urn->n_left--;
        double value = value_at(urn, place);
        ids[i] = (int32_t)place;
        logprobs[i] = urn->kind == MASSES_64 ? log(value) : value;
    }
}
