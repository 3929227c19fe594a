/* A decoder of the Llama and Qwen2 family on a CPU, with weights of 8 bits: see `decoder.py`, whose diagram this follows.
 *
 * A step at a time is bound by how fast weights come from memory, so they are kept in a quarter of the bytes and widened
 * row by row in the cache; sums, activations and the memory of keys and values are float32. All of a step runs in one
 * call on a few threads that sleep between steps. Knows numbers only; who owns the memory is in `int8_network.py`. */
#ifndef TREEGRAFT_DECODER_H
#define TREEGRAFT_DECODER_H

#include <stdbool.h>
#include <stdint.h>

/* Columns that share one scale. */
#define GROUP 64

/* w[row][column] = codes * scale of the column's group. For some loops packed: see packed.h. */
typedef struct {
    const int8_t *codes;  /* [rows, columns] */
    const float *scales;  /* [rows, columns / GROUP] */
    const float *bias;    /* [rows] or NULL */
    int rows, columns;    /* columns: a multiple of GROUP */
} Matrix;

typedef struct {
    const float *attention_norm, *mlp_norm;  /* [hidden] */
    Matrix q, k, v, o, gate, up, down;
} Layer;

typedef struct {
    int vocab, hidden, inner, n_layers, n_heads, n_kv_heads, head_dim;
    float eps;
    const float *frequencies;  /* radians per position, [head_dim / 2] */
    const float *norm;         /* [hidden] */
    Matrix embedding, head;
    Layer *layers;
} Model;

/* Keys and values of one layer: a prefix that all rows share, and a tail of each row. */
typedef struct {
    float *prefix_k, *prefix_v;  /* [kv_heads, capacity, head_dim] */
    float *tail_k, *tail_v;      /* [rows, kv_heads, slots, head_dim] */
} Memory;

/* Rows of one step that share a prefix. */
typedef struct {
    int n_rows;
    const Memory *layers;
    int64_t capacity, slots;
    int n_prefix;     /* tokens of the prefix before these */
    int n_before;     /* tokens of the tails before these; -1: these go into the prefix, in one row */
    int first_row;    /* of the tails */
} Part;

typedef struct {
    const int32_t *ids;  /* [n_rows, n_tokens], each below vocab */
    int n_rows, n_tokens;  /* rows of all parts, one part's after the other's */
    const Part *parts;
    int n_parts;
    int n_last;       /* logits are wanted after the last so many tokens of each row */
    float *logits;    /* [n_rows, n_last, vocab] */
} Step;

typedef struct Decoder Decoder;

/* How much of what a CPU can is used, where it can. */
typedef enum { LOOPS_FOR_ANY, LOOPS_FOR_AVX2, LOOPS_FOR_THIS } Loops;

/* Whether these loops read packed matrices, here. */
bool decoder_packs(Loops loops);

/* NULL for lack of memory or threads. The model's arrays must outlive it. */
Decoder *decoder_new(const Model *model, int n_threads, Loops loops);
void decoder_free(Decoder *decoder);

/* Whether there was memory for it. Not for two threads at once. */
bool decoder_step(Decoder *decoder, const Step *step);

/* float32 [n] to codes [n] and scales [n / GROUP], rounding to the nearest; n is a multiple of GROUP. */
void quantise(const float *weights, int64_t n, int8_t *codes, float *scales);

#endif
