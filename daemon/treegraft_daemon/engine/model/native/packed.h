/* Products with packed matrices, for CPUs that multiply bytes four at a time (AVX-512 VNNI): three times as many weights in
 * the same time as `kernels.h`, where vectors are few, and twice as many where they are many.
 *
 * 16 rows lie side by side: codes [rows / 16, columns / 4, 16, 4], each 128 too large since that instruction takes its first
 * factor without sign, and scales [rows / 16, columns / GROUP, 16], both made up to whole blocks. A vector becomes whole
 * numbers of 24 bits, relative to the largest of each group: no less exact than float32. Sums of those are the same in any
 * order. */

/* Vectors that a block of rows meets at a time: their sums stay in registers. */
#define TOGETHER 4

static void vnni_fix(const float *x, int n, Group *out) {
    const float largest = 0x7F7F00;  /* three digits hold a little more, for what is rounded up */
    for (; n > 0; n -= GROUP, x += GROUP, out++) {
        __m512 tops = _mm512_setzero_ps();
        for (int i = 0; i < GROUP; i += 16)
            tops = _mm512_max_ps(tops, _mm512_abs_ps(_mm512_loadu_ps(x + i)));
        float top = _mm512_reduce_max_ps(tops);
        __m512 inverse = _mm512_set1_ps(top > 1e-30f ? largest / top : 0);
        __m512i half = _mm512_set1_epi32(128), sums[3] = {_mm512_setzero_si512()};
        sums[1] = sums[2] = sums[0];
        for (int i = 0; i < GROUP; i += 16) {
            __m512i number = _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_loadu_ps(x + i), inverse));
            for (int digit = 0; digit < 3; digit++) {
                __m512i rest = _mm512_srai_epi32(_mm512_add_epi32(number, half), 8);
                _mm_storeu_si128((__m128i *)(out->digits[digit] + i), _mm512_cvtepi32_epi8(number));
                sums[digit] = _mm512_add_epi32(sums[digit], _mm512_sub_epi32(number, _mm512_slli_epi32(rest, 8)));
                number = rest;
            }
        }
        for (int digit = 0; digit < 3; digit++)
            out->excess[digit] = 128 * _mm512_reduce_add_epi32(sums[digit]);
        out->scale = top / largest;
    }
}

/* 16 rows times `count` vectors of `n` columns, at most TOGETHER: into out[m * BAND] and the 15 after it. */
static inline __attribute__((always_inline)) void vnni_block(
    const int8_t *codes, const float *scales, int n, const Group *x, int count, float *out
) {
    int n_groups = n / GROUP;
    __m512 totals[TOGETHER];
    for (int m = 0; m < count; m++)
        totals[m] = _mm512_setzero_ps();
    for (int group = 0; group < n_groups; group++) {
        __m512i sums[TOGETHER][3];
        for (int m = 0; m < count; m++)
            for (int digit = 0; digit < 3; digit++)
                sums[m][digit] = _mm512_set1_epi32(-x[m * n_groups + group].excess[digit]);
        for (int column = 0; column < GROUP; column += 4) {
            __m512i four = _mm512_loadu_si512(codes);
            codes += 64;
            for (int m = 0; m < count; m++)
                for (int digit = 0; digit < 3; digit++) {
                    int32_t digits;
                    memcpy(&digits, x[m * n_groups + group].digits[digit] + column, sizeof digits);
                    sums[m][digit] = _mm512_dpbusd_epi32(sums[m][digit], four, _mm512_set1_epi32(digits));
                }
        }
        __m512 scale = _mm512_loadu_ps(scales + group * 16);
        for (int m = 0; m < count; m++) {
            __m512 sum = _mm512_cvtepi32_ps(sums[m][0]);
            sum = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sums[m][1]), _mm512_set1_ps(256), sum);
            sum = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sums[m][2]), _mm512_set1_ps(65536), sum);
            __m512 both = _mm512_mul_ps(scale, _mm512_set1_ps(x[m * n_groups + group].scale));
            totals[m] = _mm512_fmadd_ps(sum, both, totals[m]);
        }
    }
    for (int m = 0; m < count; m++)
        _mm512_storeu_ps(out + m * BAND, totals[m]);
}

/* See `band` in kernels.h. `first` is a multiple of 16; rows are written up to the next one. */
static void vnni_band(const Matrix *matrix, int first, int last, const Vectors *x, int count, float *room, float *out) {
    (void)room;
    int n = matrix->columns, n_groups = n / GROUP;
    for (int row = first; row < last; row += 16) {
        const int8_t *codes = matrix->codes + (int64_t)row * n;
        const float *scales = matrix->scales + (int64_t)row * n_groups;
        for (int m = 0; m < count; m += TOGETHER) {
            const Group *vectors = x->fixed + (int64_t)m * n_groups;
            float *to = out + (int64_t)m * BAND + (row - first);
            if (count - m >= 4)
                vnni_block(codes, scales, n, vectors, 4, to);
            else if (count - m == 3)
                vnni_block(codes, scales, n, vectors, 3, to);
            else if (count - m == 2)
                vnni_block(codes, scales, n, vectors, 2, to);
            else
                vnni_block(codes, scales, n, vectors, 1, to);
        }
    }
}

static void vnni_widen(const Matrix *matrix, int row, float *out) {
    int block = row / 16 * 16, place = row % 16, n = matrix->columns;
    const uint8_t *codes = (const uint8_t *)matrix->codes + (int64_t)block * n + place * 4;
    const float *scales = matrix->scales + (int64_t)block * (n / GROUP) + place;
    for (int i = 0; i < n; i++)
        out[i] = (codes[i / 4 * 64 + i % 4] - 128) * scales[i / GROUP * 16];
}
