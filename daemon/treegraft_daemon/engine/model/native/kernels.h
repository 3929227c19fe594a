/* The inner loops, compiled once for each instruction set: NAME(x) tells the copies apart. */

typedef float NAME(wide) __attribute__((vector_size(32), aligned(4), may_alias));
typedef int32_t NAME(ints) __attribute__((vector_size(32)));
typedef int8_t NAME(bytes) __attribute__((vector_size(8), aligned(1), may_alias));
#define WIDE NAME(wide)

static inline __attribute__((always_inline)) float NAME(sum)(WIDE x) {
    return ((x[0] + x[4]) + (x[2] + x[6])) + ((x[1] + x[5]) + (x[3] + x[7]));
}

static inline __attribute__((always_inline)) WIDE NAME(all)(float x) {
    return (WIDE){x, x, x, x, x, x, x, x};
}

static inline __attribute__((always_inline)) WIDE NAME(load)(const float *at) {
    return *(const WIDE *)at;
}

static inline __attribute__((always_inline)) WIDE NAME(load_codes)(const int8_t *at) {
#ifdef __AVX2__
    return (WIDE)_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)at)));
#else
    return __builtin_convertvector(*(const NAME(bytes) *)at, WIDE);
#endif
}

/* What `sum` makes of each of four, to the last bit, side by side: half the work. */
static inline __attribute__((always_inline)) void NAME(sum_four)(const WIDE *x, float *out) {
#ifdef __AVX2__
    WIDE even = (WIDE)_mm256_permute2f128_ps((__m256)x[0], (__m256)x[2], 0x20);
    WIDE odd = (WIDE)_mm256_permute2f128_ps((__m256)x[1], (__m256)x[3], 0x20);
    even += (WIDE)_mm256_permute2f128_ps((__m256)x[0], (__m256)x[2], 0x31);
    odd += (WIDE)_mm256_permute2f128_ps((__m256)x[1], (__m256)x[3], 0x31);
    __m256 quarters = (__m256)((WIDE)_mm256_shuffle_ps((__m256)even, (__m256)odd, 0x44) +
                               (WIDE)_mm256_shuffle_ps((__m256)even, (__m256)odd, 0xEE));
    WIDE sums = (WIDE)quarters + (WIDE)_mm256_permute_ps(quarters, 0xB1);
    out[0] = sums[0], out[1] = sums[2], out[2] = sums[4], out[3] = sums[6];
#else
    for (int i = 0; i < 4; i++)
        out[i] = NAME(sum)(x[i]);
#endif
}

static inline __attribute__((always_inline)) WIDE NAME(larger)(WIDE x, WIDE y) {
    NAME(ints) is_first = x > y;
    return (WIDE)(((NAME(ints))x & is_first) | ((NAME(ints))y & ~is_first));
}

/* e^x for x <= 88, in relative error 2e-7 (Cephes, expf.c). */
static inline __attribute__((always_inline)) WIDE NAME(exp)(WIDE x) {
    x = NAME(larger)(x, NAME(all)(-87.0f));
    WIDE n = x * 1.44269504f + 12582912.0f;  /* the low bits are now the nearest whole number */
    NAME(ints) exponent = ((NAME(ints))n) << 23;
    n -= 12582912.0f;
    WIDE r = x - n * 0.693359375f + n * 2.12194440e-4f;
    WIDE p = r * 1.9875691500e-4f + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * r * r + r + 1.0f;
    return (WIDE)((NAME(ints))p + exponent);
}

static void NAME(widen)(const Matrix *matrix, int row, float *out) {
    const int8_t *codes = matrix->codes + (int64_t)row * matrix->columns;
    const float *scales = matrix->scales + (int64_t)row * (matrix->columns / GROUP);
    for (int at = 0; at < matrix->columns; at += GROUP) {
        __builtin_prefetch(codes + at + AHEAD);
        WIDE scale = NAME(all)(scales[at / GROUP]);
        for (int i = at; i < at + GROUP; i += 8)
            *(WIDE *)(out + i) = NAME(load_codes)(codes + i) * scale;
    }
}

/* Rows `one` and `other` times `count` vectors [count, columns], widened on the way: into out[m * stride] and [.. + 1]. */
static inline __attribute__((always_inline)) void NAME(pair)(
    const Matrix *matrix, int one, int other, const float *x, int count, float *out, int stride
) {
    int n = matrix->columns;
    const int8_t *codes = matrix->codes + (int64_t)one * n, *other_codes = matrix->codes + (int64_t)other * n;
    const float *scales = matrix->scales + (int64_t)one * (n / GROUP);
    const float *other_scales = matrix->scales + (int64_t)other * (n / GROUP);
    const float *vector[FEW];
    WIDE sums[FEW][2];
    for (int m = 0; m < count; m++) {
        vector[m] = x + (int64_t)m * n;
        sums[m][0] = sums[m][1] = NAME(all)(0);
    }
    for (int at = 0; at < n; at += GROUP) {
        __builtin_prefetch(codes + at + AHEAD);
        __builtin_prefetch(other_codes + at + AHEAD);
        WIDE scale = NAME(all)(scales[at / GROUP]), other_scale = NAME(all)(other_scales[at / GROUP]);
        for (int i = at; i < at + GROUP; i += 8) {
            WIDE a = NAME(load_codes)(codes + i) * scale, b = NAME(load_codes)(other_codes + i) * other_scale;
            for (int m = 0; m < count; m++) {
                WIDE y = NAME(load)(vector[m] + i);
                sums[m][0] += a * y;
                sums[m][1] += b * y;
            }
        }
    }
    for (int m = 0; m < count; m++) {
        out[m * stride] = NAME(sum)(sums[m][0]);
        out[m * stride + 1] = NAME(sum)(sums[m][1]);
    }
}

/* Four rows of the matrix from `row` on, or the last one again, times x: into out[0] to out[3]. */
static void NAME(four)(const Matrix *matrix, int row, int last, const float *x, float *out) {
    int n = matrix->columns;
    const int8_t *codes[4];
    const float *scales[4];
    WIDE totals[4];
    for (int r = 0; r < 4; r++) {
        int64_t at = row + r < last ? row + r : last - 1;
        codes[r] = matrix->codes + at * n;
        scales[r] = matrix->scales + at * (n / GROUP);
        totals[r] = NAME(all)(0);
    }
    for (int at = 0; at < n; at += GROUP) {
        WIDE sums[4], y = NAME(load)(x + at);
        for (int r = 0; r < 4; r++) {
            __builtin_prefetch(codes[r] + at + AHEAD);
            sums[r] = NAME(load_codes)(codes[r] + at) * y;
        }
        for (int i = at + 8; i < at + GROUP; i += 8) {
            y = NAME(load)(x + i);
            for (int r = 0; r < 4; r++)
                sums[r] += NAME(load_codes)(codes[r] + i) * y;
        }
        for (int r = 0; r < 4; r++)
            totals[r] += sums[r] * scales[r][at / GROUP];
    }
    NAME(sum_four)(totals, out);
}

/* Four wide rows [4, n] times `count` vectors [count, n], count <= 3: into out[m * stride] and the three after it. */
static inline __attribute__((always_inline)) void NAME(tile)(
    const float *rows, int n, const float *x, int count, float *out, int stride
) {
    const float *row[4] = {rows, rows + n, rows + 2 * n, rows + 3 * n};
    const float *vector[3] = {x, x + n, x + 2 * (int64_t)n};
    WIDE sums[3][4];
    for (int m = 0; m < count; m++)
        for (int r = 0; r < 4; r++)
            sums[m][r] = NAME(all)(0);
    /* Twelve sums, three vectors and a row at a time: as many registers as there are. */
    for (int i = 0; i < n; i += 8) {
        WIDE y[3];
        for (int m = 0; m < count; m++)
            y[m] = NAME(load)(vector[m] + i);
        for (int r = 0; r < 4; r++) {
            WIDE w = NAME(load)(row[r] + i);
            for (int m = 0; m < count; m++)
                sums[m][r] += w * y[m];
        }
    }
    for (int m = 0; m < count; m++)
        NAME(sum_four)(sums[m], out + m * stride);
}

/* Alone: among other loops the compiler finds one register too few, and then it takes half as long again. */
static __attribute__((noinline)) void NAME(tile_of_three)(const float *rows, int n, const float *x, float *out) {
    NAME(tile)(rows, n, x, 3, out, BAND);
}

/* Rows [first, last) of the matrix, at most BAND, times the vectors x [count, columns].
 *
 * out [count, BAND]: may be written up to the next multiple of 4 rows. room: wide rows, BAND_FLOATS or four rows of them.
 * Few vectors meet the weights as they come from memory. For many the rows are widened once into the cache, and three
 * vectors at a time, which stay in the innermost, pass along them. */
static void NAME(band)(
    const Matrix *matrix, int first, int last, const Vectors *vectors, int count, float *room, float *out
) {
    int n = matrix->columns;
    const float *x = vectors->wide;
    if (count == 1) {
        for (int row = first; row < last; row += 4)
            NAME(four)(matrix, row, last, x, out + (row - first));
        return;
    }
    if (count <= FEW) {
        for (int row = first; row < last; row += 2) {
            int other = row + 1 < last ? row + 1 : row;
            float *to = out + (row - first);
            if (count == 2)
                NAME(pair)(matrix, row, other, x, 2, to, BAND);
            else if (count == 3)
                NAME(pair)(matrix, row, other, x, 3, to, BAND);
            else if (count == 4)
                NAME(pair)(matrix, row, other, x, 4, to, BAND);
            else
                NAME(pair)(matrix, row, other, x, 5, to, BAND);
        }
        return;
    }
    int fitting = BAND_FLOATS / n / 4 * 4;
    fitting = fitting < 4 ? 4 : fitting;
    for (int start = first; start < last; start += fitting) {
        int n_rows = last - start < fitting ? last - start : fitting;
        int whole = (n_rows + 3) / 4 * 4;
        for (int r = 0; r < whole; r++)
            NAME(widen)(matrix, start + (r < n_rows ? r : n_rows - 1), room + (int64_t)r * n);
        for (int m = 0; m < count; m += 3)
            for (int r = 0; r < whole; r += 4) {
                const float *rows = room + (int64_t)r * n, *three = x + (int64_t)m * n;
                float *to = out + (int64_t)m * BAND + (start - first) + r;
                if (count - m >= 3)
                    NAME(tile_of_three)(rows, n, three, to);
                else if (count - m == 2)
                    NAME(tile)(rows, n, three, 2, to, BAND);
                else
                    NAME(tile)(rows, n, three, 1, to, BAND);
            }
    }
}

static void NAME(norm)(const float *x, const float *weight, int n, float eps, float *out) {
    WIDE squares = NAME(all)(0);
    for (int i = 0; i < n; i += 8)
        squares += NAME(load)(x + i) * NAME(load)(x + i);
    WIDE scale = NAME(all)(1.0f / sqrtf(NAME(sum)(squares) / n + eps));
    for (int i = 0; i < n; i += 8)
        *(WIDE *)(out + i) = NAME(load)(x + i) * scale * NAME(load)(weight + i);
}

/* gate becomes silu(gate) * up. */
static void NAME(gated)(float *gate, const float *up, int n) {
    for (int i = 0; i < n; i += 8) {
        WIDE g = NAME(load)(gate + i);
        *(WIDE *)(gate + i) = g / (1.0f + NAME(exp)(-g)) * NAME(load)(up + i);
    }
}

/* Queries [n_queries, dim] against keys [n, dim]: scores[query * stride + place]. */
static inline __attribute__((always_inline)) void NAME(score)(
    const float *queries, int n_queries, const float *keys, int n, int dim, float *scores, int stride
) {
    for (int q = 0; q < n_queries; q++) {
        const float *query = queries + q * dim;
        /* Four at a time, or the last one again: each is summed alike, whatever stands beside it. */
        for (int place = 0; place < n; place += 4) {
            const float *key[4];
            WIDE sums[4], x = NAME(load)(query);
            float found[4];
            for (int r = 0; r < 4; r++) {
                key[r] = keys + (int64_t)(place + r < n ? place + r : n - 1) * dim;
                sums[r] = x * NAME(load)(key[r]);
            }
            for (int i = 8; i < dim; i += 8) {
                x = NAME(load)(query + i);
                for (int r = 0; r < 4; r++)
                    sums[r] += x * NAME(load)(key[r] + i);
            }
            NAME(sum_four)(sums, found);
            for (int r = 0; r < 4 && place + r < n; r++)
                scores[(int64_t)q * stride + place + r] = found[r];
        }
    }
}

/* out [n_queries, dim] += shares[query * stride + place] * values [n, dim]. */
static inline __attribute__((always_inline)) void NAME(gather)(
    const float *shares, int stride, int n_queries, const float *values, int n, int dim, float *out
) {
    for (int q = 0; q < n_queries; q++) {
        const float *share = shares + (int64_t)q * stride;
        for (int i = 0; i < dim; i += 64) {
            int left = dim - i < 64 ? dim - i : 64;
            float *to = out + q * dim + i;
            WIDE sums[8];
            for (int j = 0; j < left; j += 8)
                sums[j / 8] = NAME(load)(to + j);
            for (int place = 0; place < n; place++) {
                WIDE p = NAME(all)(share[place]);
                for (int j = 0; j < left; j += 8)
                    sums[j / 8] += p * NAME(load)(values + (int64_t)place * dim + i + j);
            }
            for (int j = 0; j < left; j += 8)
                *(WIDE *)(to + j) = sums[j / 8];
        }
    }
}

static void NAME(score_dims)(
    const float *queries, int n_queries, const float *keys, int n, int dim, float *scores, int stride
) {
    if (dim == 64)
        NAME(score)(queries, n_queries, keys, n, 64, scores, stride);
    else if (dim == 128)
        NAME(score)(queries, n_queries, keys, n, 128, scores, stride);
    else
        NAME(score)(queries, n_queries, keys, n, dim, scores, stride);
}

static void NAME(gather_dims)(
    const float *shares, int stride, int n_queries, const float *values, int n, int dim, float *out
) {
    if (dim == 64)
        NAME(gather)(shares, stride, n_queries, values, n, 64, out);
    else if (dim == 128)
        NAME(gather)(shares, stride, n_queries, values, n, 128, out);
    else
        NAME(gather)(shares, stride, n_queries, values, n, dim, out);
}

/* scores [n] become shares that sum to 1. The buffer holds a multiple of 8; what is behind n becomes 0. */
static void NAME(softmax)(float *scores, int n) {
    int whole = (n + 7) / 8 * 8;
    for (int i = n; i < whole; i++)
        scores[i] = -INFINITY;
    WIDE tops = NAME(load)(scores), sums = NAME(all)(0);
    for (int i = 8; i < whole; i += 8)
        tops = NAME(larger)(tops, NAME(load)(scores + i));
    float top = tops[0];
    for (int i = 1; i < 8; i++)
        top = tops[i] > top ? tops[i] : top;
    for (int i = 0; i < whole; i += 8) {
        WIDE e = NAME(exp)(NAME(load)(scores + i) - top);
        *(WIDE *)(scores + i) = e;
        sums += e;
    }
    /* e^-87, which -INFINITY became, is not 0 but next to nothing. */
    float scale = 1.0f / NAME(sum)(sums);
    for (int i = 0; i < n; i++)
        scores[i] *= scale;
    for (int i = n; i < whole; i++)
        scores[i] = 0;
}

#undef WIDE
