#include "decoder.h"

#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Codes are asked for so many bytes before they are used: rows are too short for the hardware to guess. */
#define AHEAD 4096
/* Up to so many vectors a matrix is widened in registers, for more in the cache. */
#define FEW 5
/* Rows of a matrix that a thread takes at a time, a multiple of 8; of wide ones as many as 128 KB hold. */
#define BAND 32
#define BAND_FLOATS 32768

/* A group of a vector as the loops of packed.h read it: `scale` times whole numbers. */
typedef struct {
    int8_t digits[3][GROUP];  /* of 256, the last first, from -128 to 127 */
    int32_t excess[3];        /* what 128 too much in each code adds to the sum of products with each digit */
    float scale;
} Group;

typedef struct {
    float *wide;   /* [count, columns] */
    Group *fixed;  /* [count, columns / GROUP], where the loops read that */
} Vectors;

#define JOINED(a, b) a##b
#define NAME(x) JOINED(plain_, x)
#include "kernels.h"
#undef NAME

#ifdef __x86_64__
#include <immintrin.h>
#pragma GCC push_options
#pragma GCC target("avx2,fma")
#define NAME(x) JOINED(avx2_, x)
#include "kernels.h"
#undef NAME
#pragma GCC pop_options
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512vl,avx512vnni")
#ifdef __AVX512VNNI__  /* not where the compiler does not know such pragmas */
#include "packed.h"
#define HAS_VNNI
#endif
#pragma GCC pop_options
#endif

/* Tokens whose queries meet a block of keys together, and the places of such a block: 16 KB of keys of 64 floats. */
#define QUERY_TOKENS 8
#define BLOCK 64

typedef struct {
    void (*fix)(const float *, int, Group *);  /* NULL: their vectors stay as they are, and their matrices */
    void (*band)(const Matrix *, int, int, const Vectors *, int, float *, float *);
    void (*widen)(const Matrix *, int, float *);
    void (*norm)(const float *, const float *, int, float, float *);
    void (*gated)(float *, const float *, int);
    void (*score)(const float *, int, const float *, int, int, float *, int);
    void (*gather)(const float *, int, int, const float *, int, int, float *);
    void (*softmax)(float *, int);
} Kernels;

static const Kernels PLAIN = {
    NULL, plain_band, plain_widen, plain_norm, plain_gated, plain_score_dims, plain_gather_dims, plain_softmax,
};
#ifdef __x86_64__
static const Kernels AVX2 = {
    NULL, avx2_band, avx2_widen, avx2_norm, avx2_gated, avx2_score_dims, avx2_gather_dims, avx2_softmax,
};
#endif
#ifdef HAS_VNNI
static const Kernels VNNI = {
    vnni_fix, vnni_band, vnni_widen, avx2_norm, avx2_gated, avx2_score_dims, avx2_gather_dims, avx2_softmax,
};
#endif

static const Kernels *kernels_for(Loops loops) {
#ifdef __x86_64__
    bool has_avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#ifdef HAS_VNNI
    if (loops >= LOOPS_FOR_THIS && has_avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vnni"))
        return &VNNI;
#endif
    if (loops >= LOOPS_FOR_AVX2 && has_avx2)
        return &AVX2;
#endif
    return &PLAIN;
}

bool decoder_packs(Loops loops) {
    return kernels_for(loops)->fix != NULL;
}

typedef struct {
    float *room;    /* wide rows */
    float *band;    /* [tokens, BAND] */
    float *scores;  /* [QUERY_TOKENS * heads of a group, places] */
    float *queries, *gathered;  /* [QUERY_TOKENS * heads of a group, head_dim] */
} Scratch;

struct Decoder {
    Model model;
    const Kernels *kernels;

    /* Activations of a step, [tokens, ...]. */
    int64_t n_tokens, n_places;  /* what there is room for */
    float *x, *q, *k, *v, *up, *turns;
    Vectors normed, attended, gate;
    Scratch *scratch;  /* of each thread */

    /* The threads; the caller is number 0. */
    int n_threads, n_started;
    pid_t process;  /* that started them */
    pthread_t *threads;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    unsigned round;  /* under the lock: a new step began */
    bool ends;
    const Step *step;
    atomic_int arrived;
    atomic_uint turn;
    atomic_int *taken;  /* of each phase of a step: pieces of work that somebody has begun */
};

/* ---- threads ---- */

static void pause_a_little(void) {
#ifdef __x86_64__
    __builtin_ia32_pause();
#endif
}

/* All threads are here before any goes on. Whoever waits for long gives its core to others. */
static void meet(Decoder *decoder) {
    if (decoder->n_threads == 1)
        return;
    unsigned turn = atomic_load(&decoder->turn);
    if (atomic_fetch_add(&decoder->arrived, 1) + 1 == decoder->n_threads) {
        atomic_store(&decoder->arrived, 0);
        atomic_fetch_add(&decoder->turn, 1);
        return;
    }
    for (int n = 0; atomic_load(&decoder->turn) == turn; n++) {
        if (n < 2000)
            pause_a_little();
        else
            sched_yield();
    }
}

/* ---- the parts of a step; each is called by all threads, which share its pieces of work ---- */

typedef struct {
    Decoder *decoder;
    const Step *step;
    Scratch *scratch;
    int phase;
} Worker;

/* The next piece of [0, n) in pieces of `size`, or false. */
static bool take(Worker *worker, int64_t n, int size, int64_t *first, int64_t *last) {
    int64_t piece = atomic_fetch_add(&worker->decoder->taken[worker->phase], 1);
    *first = piece * size;
    *last = *first + size < n ? *first + size : n;
    return *first < n;
}

static void done(Worker *worker) {
    worker->phase++;
    meet(worker->decoder);
}

static int count_of(const Worker *worker) {
    return worker->step->n_rows * worker->step->n_tokens;
}

/* The part that a row of the step is of; `row` becomes its number there. */
static const Part *part_of(const Step *step, int64_t *row) {
    const Part *part = step->parts;
    for (; *row >= part->n_rows; part++)
        *row -= part->n_rows;
    return part;
}

static void read_ids(Worker *worker) {
    Decoder *decoder = worker->decoder;
    const Model *model = &decoder->model;
    int64_t first, last;
    while (take(worker, count_of(worker), 8, &first, &last))
        for (int64_t m = first; m < last; m++) {
            decoder->kernels->widen(&model->embedding, worker->step->ids[m], decoder->x + m * model->hidden);
            int64_t row = m / worker->step->n_tokens;
            const Part *part = part_of(worker->step, &row);
            int before = part->n_before < 0 ? 0 : part->n_before;
            int position = part->n_prefix + before + (int)(m % worker->step->n_tokens);
            for (int i = 0; i < model->head_dim / 2; i++) {
                float angle = position * model->frequencies[i];
                decoder->turns[m * model->head_dim + i] = cosf(angle);
                decoder->turns[m * model->head_dim + model->head_dim / 2 + i] = sinf(angle);
            }
        }
    done(worker);
}

/* The norm of number `from` of x becomes vector `to` of those that are multiplied. */
static void norm_of(Decoder *decoder, const float *weight, int64_t from, int64_t to) {
    int64_t n = decoder->model.hidden;
    float *normed = decoder->normed.wide + to * n;
    decoder->kernels->norm(decoder->x + from * n, weight, (int)n, decoder->model.eps, normed);
    if (decoder->kernels->fix)
        decoder->kernels->fix(normed, (int)n, decoder->normed.fixed + to * (n / GROUP));
}

static void normalise(Worker *worker, const float *weight) {
    int64_t first, last;
    while (take(worker, count_of(worker), 8, &first, &last))
        for (int64_t m = first; m < last; m++)
            norm_of(worker->decoder, weight, m, m);
    done(worker);
}

/* Vectors [count, n] are there: as they are read from now on. */
static void fix(Worker *worker, const Vectors *x, int64_t n) {
    const Kernels *kernels = worker->decoder->kernels;
    int64_t first, last;
    if (!kernels->fix)
        return;
    while (take(worker, count_of(worker), 8, &first, &last))
        for (int64_t m = first; m < last; m++)
            kernels->fix(x->wide + m * n, (int)n, x->fixed + m * (n / GROUP));
    done(worker);
}

/* Rows [first, last) of out [count, rows] = x [count, columns] times the matrix, + bias; added to what is there or not. */
static void multiply_rows(
    Worker *worker, const Matrix *matrix, int first, int last, const Vectors *x, int count, float *out, bool adds
) {
    const float *band = worker->scratch->band;
    for (int start = first; start < last; start += BAND) {
        int end = start + BAND < last ? start + BAND : last;
        worker->decoder->kernels->band(matrix, start, end, x, count, worker->scratch->room, worker->scratch->band);
        for (int m = 0; m < count; m++)
            for (int row = start; row < end; row++) {
                float *to = out + (int64_t)m * matrix->rows + row;
                float found = band[(int64_t)m * BAND + row - start] + (matrix->bias ? matrix->bias[row] : 0);
                *to = adds ? *to + found : found;
            }
    }
}

/* How many of a matrix's rows a thread takes at a time. With few vectors it waits for memory, which brings long stretches
 * faster than short ones. */
static int stretch(const Worker *worker, int64_t n_rows, int count) {
    int64_t n_bands = count > FEW ? 1 : n_rows / BAND / (2 * worker->decoder->n_threads);
    return (int)(n_bands < 1 ? 1 : n_bands) * BAND;
}

static void multiply(Worker *worker, const Matrix *matrix, const Vectors *x, int count, float *out, bool adds) {
    int64_t first, last;
    while (take(worker, matrix->rows, stretch(worker, matrix->rows, count), &first, &last))
        multiply_rows(worker, matrix, (int)first, (int)last, x, count, out, adds);
}

static void turn(float *vector, const float *turns, int dim, float scale) {
    for (int i = 0; i < dim / 2; i++) {
        float left = vector[i], right = vector[i + dim / 2];
        vector[i] = (left * turns[i] - right * turns[dim / 2 + i]) * scale;
        vector[i + dim / 2] = (right * turns[i] + left * turns[dim / 2 + i]) * scale;
    }
}

/* Where keys (or values) of a row's head begin in the tails. */
static int64_t tail_of(const Worker *worker, const Part *part, int64_t row, int head) {
    const Model *model = &worker->decoder->model;
    return ((part->first_row + row) * model->n_kv_heads + head) * part->slots * model->head_dim;
}

/* Turn queries and keys by their positions, and store keys and values. */
static void store(Worker *worker, int layer) {
    Decoder *decoder = worker->decoder;
    const Step *step = worker->step;
    int dim = decoder->model.head_dim, n_heads = decoder->model.n_heads, n_kv = decoder->model.n_kv_heads;
    int64_t first, last;
    while (take(worker, count_of(worker), 8, &first, &last))
        for (int64_t m = first; m < last; m++) {
            int64_t row = m / step->n_tokens, place = m % step->n_tokens;
            const Part *part = part_of(step, &row);
            const Memory *memory = &part->layers[layer];
            const float *turns = decoder->turns + m * dim;
            for (int head = 0; head < n_heads; head++)
                turn(decoder->q + (m * n_heads + head) * dim, turns, dim, 1 / sqrtf((float)dim));
            for (int head = 0; head < n_kv; head++) {
                float *key = decoder->k + (m * n_kv + head) * dim;
                turn(key, turns, dim, 1);
                bool in_prefix = part->n_before < 0;
                int64_t at = in_prefix ? (head * part->capacity + part->n_prefix + place) * dim
                                       : tail_of(worker, part, row, head) + (part->n_before + place) * dim;
                memcpy((in_prefix ? memory->prefix_k : memory->tail_k) + at, key, dim * sizeof(float));
                memcpy(
                    (in_prefix ? memory->prefix_v : memory->tail_v) + at, decoder->v + (m * n_kv + head) * dim,
                    dim * sizeof(float)
                );
            }
        }
    done(worker);
}

static int smaller(int a, int b) {
    return a < b ? a : b;
}

/* `n_each` queries, from number `query` on, of tokens [first, last) of a part, whose tokens begin with number `start`:
 * each sees the prefix, and its row up to itself.
 *
 * They share the key head `head`, so that a block of its keys is brought once for all of them. */
static void attend_together(
    Worker *worker, const Part *part, int layer, int64_t start, int head, int query, int n_each, int first, int last
) {
    Decoder *decoder = worker->decoder;
    const Kernels *kernels = decoder->kernels;
    const Memory *memory = &part->layers[layer];
    Scratch *scratch = worker->scratch;
    int n_tokens = worker->step->n_tokens;
    int dim = decoder->model.head_dim, n_heads = decoder->model.n_heads;
    int n_queries = (last - first) * n_each;
    int stride = (int)decoder->n_places;
    bool in_prefix = part->n_before < 0;
    int n_shared = in_prefix ? part->n_prefix + last : part->n_prefix;  /* a token of the prefix sees less, below */
    for (int m = first; m < last; m++)
        memcpy(
            scratch->queries + (int64_t)(m - first) * n_each * dim,
            decoder->q + ((start + m) * n_heads + query) * dim, n_each * dim * sizeof(float)
        );
    memset(scratch->gathered, 0, (size_t)n_queries * dim * sizeof(float));
    const float *keys = memory->prefix_k + head * part->capacity * dim;
    for (int at = 0; at < n_shared; at += BLOCK)
        kernels->score(
            scratch->queries, n_queries, keys + (int64_t)at * dim, smaller(BLOCK, n_shared - at), dim,
            scratch->scores + at, stride
        );
    for (int m = first; m < last; m++) {
        int own = in_prefix ? 0 : part->n_before + m % n_tokens + 1;
        int seen = in_prefix ? part->n_prefix + m + 1 : n_shared;
        float *scores = scratch->scores + (int64_t)(m - first) * n_each * stride;
        if (own)
            kernels->score(
                scratch->queries + (int64_t)(m - first) * n_each * dim, n_each,
                memory->tail_k + tail_of(worker, part, m / n_tokens, head), own, dim, scores + seen, stride
            );
        for (int q = 0; q < n_each; q++) {
            kernels->softmax(scores + (int64_t)q * stride, seen + own);
            for (int place = seen + own; place < n_shared; place++)
                scores[(int64_t)q * stride + place] = 0;
        }
        if (own)
            kernels->gather(
                scores + seen, stride, n_each, memory->tail_v + tail_of(worker, part, m / n_tokens, head), own, dim,
                scratch->gathered + (int64_t)(m - first) * n_each * dim
            );
    }
    const float *values = memory->prefix_v + head * part->capacity * dim;
    for (int at = 0; at < n_shared; at += BLOCK)
        kernels->gather(
            scratch->scores + at, stride, n_queries, values + (int64_t)at * dim, smaller(BLOCK, n_shared - at), dim,
            scratch->gathered
        );
    for (int m = first; m < last; m++)
        memcpy(
            decoder->attended.wide + ((start + m) * n_heads + query) * dim,
            scratch->gathered + (int64_t)(m - first) * n_each * dim, n_each * dim * sizeof(float)
        );
}

static int64_t blocks_of(const Step *step, const Part *part) {
    return ((int64_t)part->n_rows * step->n_tokens + QUERY_TOKENS - 1) / QUERY_TOKENS;
}

static void attend(Worker *worker, int layer) {
    const Model *model = &worker->decoder->model;
    const Step *step = worker->step;
    int count = count_of(worker), group = model->n_heads / model->n_kv_heads;
    /* With few tokens there are few key heads for threads to share, and their keys are in the cache: then a query at a time. */
    int n_each = count <= FEW && worker->decoder->n_threads > 1 ? 1 : group, n_heads = model->n_heads / n_each;
    int64_t n_blocks = 0, piece, unused;
    for (int i = 0; i < step->n_parts; i++)
        n_blocks += blocks_of(step, &step->parts[i]);
    while (take(worker, n_blocks * n_heads, 1, &piece, &unused)) {
        int64_t block = piece / n_heads, start = 0;
        const Part *part = step->parts;
        for (; block >= blocks_of(step, part); part++) {
            block -= blocks_of(step, part);
            start += (int64_t)part->n_rows * step->n_tokens;
        }
        int first = (int)block * QUERY_TOKENS, query = (int)(piece % n_heads) * n_each;
        int last = smaller(first + QUERY_TOKENS, part->n_rows * step->n_tokens);
        attend_together(worker, part, layer, start, query / group, query, n_each, first, last);
    }
    done(worker);
}

static void feed_forward(Worker *worker, const Layer *layer) {
    Decoder *decoder = worker->decoder;
    int count = count_of(worker);
    int64_t first, last, inner = decoder->model.inner;
    float *gate = decoder->gate.wide;
    while (take(worker, inner, stretch(worker, inner, count), &first, &last)) {
        multiply_rows(worker, &layer->gate, (int)first, (int)last, &decoder->normed, count, gate, false);
        multiply_rows(worker, &layer->up, (int)first, (int)last, &decoder->normed, count, decoder->up, false);
        for (int m = 0; m < count; m++)
            decoder->kernels->gated(gate + m * inner + first, decoder->up + m * inner + first, (int)(last - first));
    }
    done(worker);
    fix(worker, &decoder->gate, inner);
    multiply(worker, &layer->down, &decoder->gate, count, decoder->x, true);
    done(worker);
}

static void say(Worker *worker) {
    Decoder *decoder = worker->decoder;
    const Step *step = worker->step;
    int64_t n_wanted = (int64_t)step->n_rows * step->n_last, first, last;
    while (take(worker, n_wanted, 8, &first, &last))
        for (int64_t i = first; i < last; i++)
            norm_of(
                decoder, decoder->model.norm,
                i / step->n_last * step->n_tokens + step->n_tokens - step->n_last + i % step->n_last, i
            );
    done(worker);
    multiply(worker, &decoder->model.head, &decoder->normed, (int)n_wanted, step->logits, false);
    done(worker);
}

#define PHASES_OF_LAYER 12

static void run(Decoder *decoder, int number) {
    Worker worker = {decoder, decoder->step, &decoder->scratch[number], 0};
    int count = count_of(&worker);
    read_ids(&worker);
    for (int i = 0; i < decoder->model.n_layers; i++) {
        const Layer *layer = &decoder->model.layers[i];
        normalise(&worker, layer->attention_norm);
        multiply(&worker, &layer->q, &decoder->normed, count, decoder->q, false);
        worker.phase++;  /* nobody waits between these three */
        multiply(&worker, &layer->k, &decoder->normed, count, decoder->k, false);
        worker.phase++;
        multiply(&worker, &layer->v, &decoder->normed, count, decoder->v, false);
        done(&worker);
        store(&worker, i);
        attend(&worker, i);
        fix(&worker, &decoder->attended, (int64_t)decoder->model.n_heads * decoder->model.head_dim);
        multiply(&worker, &layer->o, &decoder->attended, count, decoder->x, true);
        done(&worker);
        normalise(&worker, layer->mlp_norm);
        feed_forward(&worker, layer);
    }
    say(&worker);
}

/* ---- life ---- */

typedef struct {
    Decoder *decoder;
    int number;
} Start;

static void *work(void *given) {
    Start start = *(Start *)given;
    free(given);
    Decoder *decoder = start.decoder;
    unsigned seen = 0;
    for (;;) {
        pthread_mutex_lock(&decoder->lock);
        while (decoder->round == seen && !decoder->ends)
            pthread_cond_wait(&decoder->wake, &decoder->lock);
        seen = decoder->round;
        bool ends = decoder->ends;
        pthread_mutex_unlock(&decoder->lock);
        if (ends)
            return NULL;
        run(decoder, start.number);
        meet(decoder);
    }
}

static float *floats(int64_t n) {
    /* Vectors of 8 may be read from any place before the end. */
    return aligned_alloc(64, ((size_t)n * sizeof(float) + 127) / 64 * 64);
}

static bool reserve(Decoder *decoder, int64_t n_tokens, int64_t n_places) {
    const Model *model = &decoder->model;
    if (n_tokens > decoder->n_tokens) {
        int64_t heads = (int64_t)model->n_heads * model->head_dim, kv = (int64_t)model->n_kv_heads * model->head_dim;
        struct {
            float **buffer;
            int64_t width;
        } wanted[] = {
            {&decoder->x, model->hidden}, {&decoder->normed.wide, model->hidden}, {&decoder->q, heads},
            {&decoder->k, kv}, {&decoder->v, kv}, {&decoder->attended.wide, heads}, {&decoder->gate.wide, model->inner},
            {&decoder->up, model->inner}, {&decoder->turns, model->head_dim},
        };
        struct {
            Group **buffer;
            int64_t width;
        } fixed[] = {
            {&decoder->normed.fixed, model->hidden}, {&decoder->attended.fixed, heads}, {&decoder->gate.fixed, model->inner},
        };
        decoder->n_tokens = 0;
        for (size_t i = 0; i < sizeof fixed / sizeof *fixed && decoder->kernels->fix; i++) {
            free(*fixed[i].buffer);
            *fixed[i].buffer = malloc((size_t)(n_tokens * fixed[i].width / GROUP) * sizeof(Group));
            if (*fixed[i].buffer == NULL)
                return false;
        }
        for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
            free(*wanted[i].buffer);
            *wanted[i].buffer = floats(n_tokens * wanted[i].width);
            if (*wanted[i].buffer == NULL)
                return false;
        }
        for (int i = 0; i < decoder->n_threads; i++) {
            free(decoder->scratch[i].band);
            decoder->scratch[i].band = floats(BAND * n_tokens);
            if (decoder->scratch[i].band == NULL)
                return false;
        }
        decoder->n_tokens = n_tokens;
    }
    if (n_places > decoder->n_places) {
        n_places = (n_places + 255) / 256 * 256;
        int64_t group = model->n_heads / model->n_kv_heads;
        decoder->n_places = 0;
        for (int i = 0; i < decoder->n_threads; i++) {
            free(decoder->scratch[i].scores);
            decoder->scratch[i].scores = floats(QUERY_TOKENS * group * n_places + 8);
            if (decoder->scratch[i].scores == NULL)
                return false;
        }
        decoder->n_places = n_places;
    }
    return true;
}

Decoder *decoder_new(const Model *model, int n_threads, Loops loops) {
    Decoder *decoder = calloc(1, sizeof *decoder);
    if (decoder == NULL)
        return NULL;
    decoder->model = *model;
    decoder->kernels = kernels_for(loops);
    decoder->model.layers = calloc(model->n_layers, sizeof *model->layers);
    decoder->scratch = calloc(n_threads, sizeof *decoder->scratch);
    decoder->threads = calloc(n_threads, sizeof *decoder->threads);
    decoder->taken = calloc(model->n_layers * PHASES_OF_LAYER + 4, sizeof *decoder->taken);
    pthread_mutex_init(&decoder->lock, NULL);
    pthread_cond_init(&decoder->wake, NULL);
    decoder->n_threads = n_threads;
    decoder->process = getpid();
    if (!decoder->model.layers || !decoder->scratch || !decoder->threads || !decoder->taken) {
        decoder_free(decoder);
        return NULL;
    }
    memcpy(decoder->model.layers, model->layers, model->n_layers * sizeof *model->layers);
    int64_t queries = (int64_t)QUERY_TOKENS * (model->n_heads / model->n_kv_heads) * model->head_dim;
    int widest = model->hidden > model->inner ? model->hidden : model->inner;
    widest = model->n_heads * model->head_dim > widest ? model->n_heads * model->head_dim : widest;
    for (int i = 0; i < n_threads; i++) {
        Scratch *scratch = &decoder->scratch[i];
        scratch->room = floats(4 * (int64_t)widest > BAND_FLOATS ? 4 * (int64_t)widest : BAND_FLOATS);
        scratch->queries = floats(queries);
        scratch->gathered = floats(queries);
        if (!scratch->room || !scratch->queries || !scratch->gathered) {
            decoder_free(decoder);
            return NULL;
        }
    }
    for (int i = 1; i < n_threads; i++) {
        Start *start = malloc(sizeof *start);
        if (start == NULL || (*start = (Start){decoder, i}, pthread_create(&decoder->threads[i], NULL, work, start))) {
            free(start);
            decoder_free(decoder);
            return NULL;
        }
        decoder->n_started++;
    }
    return decoder;
}

void decoder_free(Decoder *decoder) {
    if (decoder == NULL || decoder->process != getpid())
        return;  /* a copy goes with its process: what the threads waited for there cannot be taken down */
    pthread_mutex_lock(&decoder->lock);
    decoder->ends = true;
    pthread_cond_broadcast(&decoder->wake);
    pthread_mutex_unlock(&decoder->lock);
    for (int i = 1; i <= decoder->n_started; i++)
        pthread_join(decoder->threads[i], NULL);
    for (int i = 0; decoder->scratch && i < decoder->n_threads; i++) {
        Scratch *scratch = &decoder->scratch[i];
        float *owned[] = {scratch->room, scratch->band, scratch->scores, scratch->queries, scratch->gathered};
        for (size_t j = 0; j < sizeof owned / sizeof *owned; j++)
            free(owned[j]);
    }
    void *owned[] = {
        decoder->x, decoder->q, decoder->k, decoder->v, decoder->up, decoder->turns, decoder->normed.wide,
        decoder->normed.fixed, decoder->attended.wide, decoder->attended.fixed, decoder->gate.wide, decoder->gate.fixed,
    };
    for (size_t j = 0; j < sizeof owned / sizeof *owned; j++)
        free(owned[j]);
    pthread_cond_destroy(&decoder->wake);
    pthread_mutex_destroy(&decoder->lock);
    free(decoder->model.layers);
    free(decoder->scratch);
    free(decoder->threads);
    free(decoder->taken);
    free(decoder);
}

bool decoder_step(Decoder *decoder, const Step *step) {
    if (decoder->n_threads > 1 && decoder->process != getpid())
        decoder->n_threads = 1;  /* threads do not come along when a process is forked off */
    int64_t n_places = 0;
    for (int i = 0; i < step->n_parts; i++) {
        const Part *part = &step->parts[i];
        int64_t wanted = (int64_t)part->n_prefix + (part->n_before < 0 ? 0 : part->n_before) + step->n_tokens + 8;
        n_places = wanted > n_places ? wanted : n_places;
    }
    if (!reserve(decoder, (int64_t)step->n_rows * step->n_tokens, n_places))
        return false;
    for (int i = 0; i < decoder->model.n_layers * PHASES_OF_LAYER + 4; i++)
        atomic_store_explicit(&decoder->taken[i], 0, memory_order_relaxed);
    decoder->step = step;
    if (decoder->n_threads > 1) {
        pthread_mutex_lock(&decoder->lock);
        decoder->round++;
        pthread_cond_broadcast(&decoder->wake);
        pthread_mutex_unlock(&decoder->lock);
    }
    run(decoder, 0);
    meet(decoder);
    return true;
}

void quantise(const float *weights, int64_t n, int8_t *codes, float *scales) {
    for (int64_t at = 0; at < n; at += GROUP) {
        float most = 0;
        for (int i = 0; i < GROUP; i++)
            most = fabsf(weights[at + i]) > most ? fabsf(weights[at + i]) : most;
        scales[at / GROUP] = most / 127;
        float inverse = most > 0 ? 127 / most : 0;
        for (int i = 0; i < GROUP; i++)
            codes[at + i] = (int8_t)lrintf(weights[at + i] * inverse);
    }
}
