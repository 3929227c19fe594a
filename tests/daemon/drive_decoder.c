/* Random models and steps of all kinds through the native decoder, for the sanitizers: see test_int8_network.py. */
#include "decoder.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define VOCAB 321
#define HIDDEN 192
#define INNER 128
#define LAYERS 3
#define CAPACITY 700
#define SLOTS 9
#define ROWS 11

static float *numbers(long n) {
    float *made = malloc(n * sizeof(float));
    for (long i = 0; i < n; i++)
        made[i] = (rand() % 2001 - 1000) / 3000.0f;
    return made;
}

static Matrix matrix(int rows, int columns, bool biased, Loops loops) {
    if (decoder_packs(loops)) {  /* any codes will do */
        long whole = (rows + 15) / 16 * 16;
        int8_t *codes = malloc(whole * columns);
        for (long i = 0; i < whole * columns; i++)
            codes[i] = (int8_t)(rand() % 255 + 1);
        float *scales = numbers(whole * columns / GROUP);
        for (long i = 0; i < whole * columns / GROUP; i++)
            scales[i] /= 127;
        return (Matrix){codes, scales, biased ? numbers(rows) : NULL, rows, columns};
    }
    float *wide = numbers((long)rows * columns);
    int8_t *codes = malloc((long)rows * columns);
    float *scales = malloc((long)rows * columns / GROUP * sizeof(float));
    quantise(wide, (long)rows * columns, codes, scales);
    free(wide);
    return (Matrix){codes, scales, biased ? numbers(rows) : NULL, rows, columns};
}

static void take(Decoder *decoder, const Part *parts, int n_parts, int tokens, int n_last) {
    int rows = 0;
    for (int i = 0; i < n_parts; i++)
        rows += parts[i].n_rows;
    int32_t *ids = malloc((long)rows * tokens * sizeof *ids);
    for (int i = 0; i < rows * tokens; i++)
        ids[i] = rand() % VOCAB;
    float *logits = malloc((long)rows * n_last * VOCAB * sizeof(float));
    Step one = {ids, rows, tokens, parts, n_parts, n_last, logits};
    if (!decoder_step(decoder, &one))
        exit(1);
    for (long i = 0; i < (long)rows * n_last * VOCAB; i++)
        if (!isfinite(logits[i]))
            exit(2);
    free(ids);
    free(logits);
}

static void step(
    Decoder *decoder, const Memory *memory, int rows, int tokens, int n_prefix, int n_before, int first_row, int n_last
) {
    Part part = {rows, memory, CAPACITY, SLOTS, n_prefix, n_before, first_row};
    take(decoder, &part, 1, tokens, n_last);
}

static void drive(int n_heads, int n_kv_heads, int head_dim, int n_threads, Loops loops) {
    int heads = n_heads * head_dim, kv = n_kv_heads * head_dim;
    Layer layers[LAYERS];
    Memory memory[LAYERS];
    for (int i = 0; i < LAYERS; i++) {
        layers[i] = (Layer){
            numbers(HIDDEN), numbers(HIDDEN), matrix(heads, HIDDEN, true, loops), matrix(kv, HIDDEN, true, loops),
            matrix(kv, HIDDEN, false, loops), matrix(HIDDEN, heads, false, loops), matrix(INNER, HIDDEN, false, loops),
            matrix(INNER, HIDDEN, false, loops), matrix(HIDDEN, INNER, false, loops),
        };
        long prefix = (long)CAPACITY * kv, tails = (long)ROWS * SLOTS * kv;
        memory[i] = (Memory){numbers(prefix), numbers(prefix), numbers(tails), numbers(tails)};
    }
    Matrix embedding = matrix(VOCAB, HIDDEN, false, loops);
    Model model = {
        VOCAB, HIDDEN, INNER, LAYERS, n_heads, n_kv_heads, head_dim, 1e-5f, numbers(head_dim / 2), numbers(HIDDEN),
        embedding, embedding, layers,
    };
    Decoder *decoder = decoder_new(&model, n_threads, loops);
    int n_prefix = 0, pieces[] = {1, 77, 256, 9, 12, 15};
    for (int i = 0; i < 6; i++) {
        step(decoder, memory, 1, pieces[i], n_prefix, -1, 0, i % 2 ? pieces[i] : 1);
        n_prefix += pieces[i];
    }
    for (int rows = 1; rows <= 9; rows++) {
        for (int n_before = 0; n_before < 4; n_before++)
            step(decoder, memory, rows, 1, n_prefix, n_before, 0, 1);
        step(decoder, memory, 2, 3, n_prefix, 4, rows, 1);
        Part parts[] = {
            {1, memory, CAPACITY, SLOTS, n_prefix / 2, 3, rows}, {rows, memory, CAPACITY, SLOTS, n_prefix, 4, 0},
            {2, memory, CAPACITY, SLOTS, 1, 0, ROWS - 2},
        };
        take(decoder, parts, 3, 1, 1);
    }
    decoder_free(decoder);
}

int main(void) {
    for (Loops loops = LOOPS_FOR_ANY; loops <= LOOPS_FOR_THIS; loops++) {
        drive(6, 2, 64, 1, loops);
        drive(6, 2, 32, 2, loops);
        drive(3, 1, 128, 3, loops);
        drive(4, 4, 48, 4, loops);
    }
    puts("done");
    return 0;
}
