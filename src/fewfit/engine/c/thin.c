/* LoRA adapters of lanes that stand next to each other, forward and backward: products that are thin on one side, of
   which torch makes some thirty calls a layer. Sums are fp32 whatever the inputs are, and each lane's are its own:
   nothing here depends on who else is in the pass. One thread; arrays of bf16 are given as their bits. (Where there are
   tiles lanes.c does what is bf16, if it is as wide as whole tiles and ranks are even.) */
#include "table.h"

#define WIDE 16 /* numbers of a vector along the wide side, and along the thin one */
#define THIN 8
#ifdef __AVX512F__ /* rows that go from wide to thin at once: as many as have their sums in registers */
#define ROWS_AT_ONCE 8
#else
#define ROWS_AT_ONCE 4
#endif
#define inlined static inline __attribute__((always_inline))
typedef float wide_t __attribute__((vector_size(4 * WIDE), aligned(4), may_alias));
typedef double pairs_t __attribute__((vector_size(4 * WIDE), aligned(4), may_alias));

static _Thread_local float *place[6];

static float *kept(int which) { return place[which]; }

/* Room for so many numbers at each place, which grows and is used again. 0 where there is none to be had. */
static int reserved(const count *wanted) {
    static _Thread_local count size[6];
    for (int which = 0; which < 6; which++)
        if (wanted[which] > size[which]) {
            free(place[which]);
            size[which] = 0;
            place[which] = aligned_alloc(64, (wanted[which] * 4 + 63) / 64 * 64);
            if (!place[which]) return 0;
            size[which] = wanted[which];
        }
    return 1;
}

static void widened(const half *restrict from, count apart, float *restrict to, count rows, count width) {
    for (count n = 0; n < rows; n++, from += apart, to += width)
        for (count d = 0; d < width; d++) {
            uint32_t bits = (uint32_t)from[d] << 16;
            memcpy(to + d, &bits, 4);
        }
}

static void narrowed(const float *restrict from, half *restrict to, count apart, count rows, count width) {
    for (count n = 0; n < rows; n++, from += width, to += apart)
        for (count d = 0; d < width; d++) { /* to nearest, ties to even */
            uint32_t bits;
            memcpy(&bits, from + d, 4);
            to[d] = (half)((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
        }
}

/* fp32 as it lies, or a copy of bf16 in a kept place; `apart` becomes how far its rows are from each other. */
static const float *read_(const void *from, count halves, int which, count *apart, count rows, count width) {
    if (!halves) return from;
    float *to = kept(which);
    widened(from, *apart, to, rows, width);
    *apart = width;
    return to;
}

/* rows × width as width × rows. */
static float *turned(const float *restrict from, count rows, count width, int which) {
    float *restrict to = kept(which);
    for (count d = 0; d < width; d++)
        for (count k = 0; k < rows; k++) to[d * rows + k] = from[k * width + d];
    return to;
}

/* ---- h = x · w: from wide to thin ------------------------------------------------------------------------------------ */

/* w as pairs of inputs: for each pair `fill` columns of two numbers, zeros around. `row` and `column` say how far inputs
   and columns of w are apart. */
static float *paired(const float *restrict w, count row, count column, count width, count thin, count fill, int which) {
    float *restrict to = kept(which);
    if (fill != thin || width % 2) memset(to, 0, (width + 1) / 2 * fill * 2 * 4);
    if (row == 1) /* columns lie densely */
        for (count k = 0; k < thin; k++)
            for (count d = 0; d < width; d++) to[d / 2 * fill * 2 + k * 2 + d % 2] = w[k * column + d];
    else
        for (count d = 0; d < width; d++)
            for (count k = 0; k < thin; k++) to[d / 2 * fill * 2 + k * 2 + d % 2] = w[d * row + k * column];
    return to;
}

inlined wide_t pair(const float *x, int both) {
    float two[2] = {x[0], both ? x[1] : 0.0f};
    double one;
    memcpy(&one, two, 8);
    return (wide_t)(pairs_t){one, one, one, one, one, one, one, one};
}

inlined void into_thin(const float *x, count apart, count width, const float *w, count fill, float *h, count thin,
                       count left, const int tokens, const int vectors) {
    wide_t sum[ROWS_AT_ONCE][3] = {{{0}}};
    for (count d = 0; d < width; d += 2, w += 2 * fill) {
        wide_t some[3];
        for (int v = 0; v < vectors; v++) some[v] = *(const wide_t *)(w + v * WIDE);
#pragma GCC unroll 8
        for (int t = 0; t < tokens; t++) {
            wide_t two = d + 1 < width ? pair(x + t * apart + d, 1) : pair(x + t * apart + d, 0);
#pragma GCC unroll 3
            for (int v = 0; v < vectors; v++) sum[t][v] += two * some[v];
        }
    }
    for (int t = 0; t < tokens; t++)
        for (int v = 0; v < vectors; v++)
            for (int k = 0; k < THIN && v * THIN + k < left; k++)
                h[t * thin + v * THIN + k] = sum[t][v][2 * k] + sum[t][v][2 * k + 1];
}

static void thinned(const float *x, count apart, count tokens, count width, const float *w, count fill, float *h,
                    count thin, count columns) {
    for (count k = 0; k < columns; k += 3 * THIN) {
        count left = columns - k, vectors = left > 2 * THIN ? 3 : left > THIN ? 2 : 1, t = 0;
#define ROWS(T, V) into_thin(x + t * apart, apart, width, w + 2 * k, fill, h + t * thin + k, thin, left, T, V)
        for (; t + ROWS_AT_ONCE <= tokens; t += ROWS_AT_ONCE)
            vectors == 3 ? ROWS(ROWS_AT_ONCE, 3) : vectors == 2 ? ROWS(ROWS_AT_ONCE, 2) : ROWS(ROWS_AT_ONCE, 1);
        for (; t < tokens; t++) vectors == 3 ? ROWS(1, 3) : vectors == 2 ? ROWS(1, 2) : ROWS(1, 1);
#undef ROWS
    }
}

/* ---- out += scale · h · w: from thin to wide; w is thin × width ------------------------------------------------------ */

inlined void onto_wide(const float *h, count thin, count columns, const float *w, count width, float *out, count apart,
                       float scale, const int tokens, const int vectors) {
    wide_t sum[8][2] = {{{0}}};
    for (count k = 0; k < columns; k++, w += width) {
        wide_t some[2];
        for (int v = 0; v < vectors; v++) some[v] = *(const wide_t *)(w + v * WIDE);
#pragma GCC unroll 8
        for (int t = 0; t < tokens; t++)
#pragma GCC unroll 2
            for (int v = 0; v < vectors; v++) sum[t][v] += h[t * thin + k] * some[v];
    }
    for (int t = 0; t < tokens; t++)
        for (int v = 0; v < vectors; v++) *(wide_t *)(out + t * apart + v * WIDE) += scale * sum[t][v];
}

static void spread(const float *h, count thin, count columns, count tokens, const float *w, count width, float *out,
                   count apart, float scale) {
    count o = 0;
    for (; o + WIDE <= width;) {
        int two = o + 2 * WIDE <= width;
        count t = 0;
#define ROWS(T, V) onto_wide(h + t * thin, thin, columns, w + o, width, out + t * apart + o, apart, scale, T, V)
        for (; t + 8 <= tokens; t += 8) two ? ROWS(8, 2) : ROWS(8, 1);
        for (; t < tokens; t++) two ? ROWS(1, 2) : ROWS(1, 1);
#undef ROWS
        o += two ? 2 * WIDE : WIDE;
    }
    for (; o < width; o++)
        for (count t = 0; t < tokens; t++) {
            float sum = 0;
            for (count k = 0; k < columns; k++) sum += h[t * thin + k] * w[k * width + o];
            out[t * apart + o] += scale * sum;
        }
}

/* ---- g = scale · hᵀ · y (on top of what stands there, unless fresh): thin × width, sums over tokens ------------------- */

inlined void outer(const float *h, count thin, const float *y, count apart, count tokens, float *g, count width,
                   float scale, int fresh, const int columns, const int vectors) {
    wide_t sum[8][2] = {{{0}}};
    for (count t = 0; t < tokens; t++, h += thin, y += apart) {
        wide_t some[2];
        for (int v = 0; v < vectors; v++) some[v] = *(const wide_t *)(y + v * WIDE);
#pragma GCC unroll 8
        for (int k = 0; k < columns; k++)
#pragma GCC unroll 2
            for (int v = 0; v < vectors; v++) sum[k][v] += h[k] * some[v];
    }
    for (int k = 0; k < columns; k++)
        for (int v = 0; v < vectors; v++) {
            wide_t *place = (wide_t *)(g + k * width + v * WIDE);
            *place = fresh ? scale * sum[k][v] : *place + scale * sum[k][v];
        }
}

static void gathered(const float *h, count thin, count columns, const float *y, count apart, count tokens, float *g,
                     count width, float scale, int fresh) {
    for (count k = 0; k < columns;) {
        int eight = k + 8 <= columns;
        count o = 0;
#define PART(K, V) outer(h + k, thin, y + o, apart, tokens, g + k * width + o, width, scale, fresh, K, V)
        for (; o + 2 * WIDE <= width; o += 2 * WIDE) eight ? PART(8, 2) : PART(1, 2);
        for (; o + WIDE <= width; o += WIDE) eight ? PART(8, 1) : PART(1, 1);
#undef PART
        for (; o < width; o++)
            for (int j = 0; j < (eight ? 8 : 1); j++) {
                float sum = 0, *place = g + (k + j) * width + o;
                for (count t = 0; t < tokens; t++) sum += h[t * thin + k + j] * y[t * apart + o];
                *place = fresh ? scale * sum : *place + scale * sum;
            }
        k += eight ? 8 : 1;
    }
}

/* ---- lanes ----------------------------------------------------------------------------------------------------------- */

static count filled(count columns) { return (columns + THIN - 1) / THIN * THIN; }

static count larger(count one, count other) { return one > other ? one : other; }

/* Rows and matrices of bf16 as fp32, a matrix turned or in pairs, what is added to, thin gradients, B's gradient before it is
   turned. */
static int prepared(count width, count halves, count members, count rank, count tokens, const count *widths) {
    count widest = width, thin = members * rank, turned_most = (width + 1) * filled(thin);
    for (count m = 0; m < members; m++) {
        widest = larger(widest, widths[m]);
        turned_most = larger(turned_most, (widths[m] + 1) * filled(rank));
    }
    count rows = halves ? tokens * widest : 0;
    count wanted[6] = {rows, halves ? widest * thin : 0, turned_most, rows, tokens * thin, rank * widest};
    return reserved(wanted);
}

/* For each lane, `tokens` rows of x and of every sibling's output: h = x · Aᵀ, out += scale · h · Bᵀ.
   `a` and `b` say where the matrices begin in a lane's vector of `weights`, which are `stride` apart. */
static int adapters(const void *x, count x_apart, count width, count halves, const void *weights, count stride, count a,
              const count *b, count members, count rank, count lanes, count tokens, float *h, void *const *outs,
              const count *out_apart, const count *out_width, float scale) {
    count thin = members * rank, size = halves ? 2 : 4, dense = thin * width, one = 0;
    if (!prepared(width, halves, members, rank, tokens, out_width)) return 0;
    for (count lane = 0; lane < lanes; lane++, h += tokens * thin) {
        const char *mine = (const char *)weights + lane * stride * size;
        count apart = x_apart;
        const float *rows = (const float *)((const char *)x + lane * tokens * x_apart * size);
        rows = read_(rows, halves, 0, &apart, tokens, width);
        const float *down = read_(mine + a * size, halves, 1, &one, 1, dense);
        thinned(rows, apart, tokens, width, paired(down, 1, width, width, thin, filled(thin), 2), filled(thin), h, thin,
                thin);
        for (count m = 0; m < members; m++) {
            count outputs = out_width[m], out_rows = out_apart[m];
            char *at = (char *)outs[m] + lane * tokens * out_rows * size;
            const float *up = read_(mine + b[m] * size, halves, 1, &one, 1, outputs * rank);
            float *out = halves ? kept(3) : (float *)at;
            if (halves) widened((const half *)at, out_rows, out, tokens, outputs);
            spread(h + m * rank, thin, rank, tokens, turned(up, outputs, rank, 2), outputs, out,
                   halves ? outputs : out_rows, scale);
            if (halves) narrowed(out, (half *)at, out_rows, tokens, outputs);
        }
    }
    return 1;
}

/* Gradients of A and B into `into` (fp32, vectors `into_stride` apart; none where it is null), and of x on top of gx
   (unless that is null). */
static int adapters_backward(const void *x, count x_apart, count width, count halves, const void *weights, count stride,
                       count a, const count *b, count members, count rank, count lanes, count tokens, const float *h,
                       void *const *grads, const count *grad_apart, const count *grad_width, float scale, float *into,
                       count into_stride, count fresh, void *gx, count gx_apart) {
    count thin = members * rank, size = halves ? 2 : 4, one = 0;
    if (!prepared(width, halves, members, rank, tokens, grad_width)) return 0;
    for (count lane = 0; lane < lanes; lane++, h += tokens * thin, into += into ? into_stride : 0) {
        const char *mine = (const char *)weights + lane * stride * size;
        float *gh = kept(4);
        for (count m = 0; m < members; m++) {
            count outputs = grad_width[m], apart = grad_apart[m];
            const float *grad = (const float *)((const char *)grads[m] + lane * tokens * apart * size);
            grad = read_(grad, halves, 0, &apart, tokens, outputs);
            const float *up = read_(mine + b[m] * size, halves, 1, &one, 1, outputs * rank);
            count fill = filled(rank);
            up = paired(up, rank, 1, outputs, rank, fill, 2);
            thinned(grad, apart, tokens, outputs, up, fill, gh + m * rank, thin, rank);
            if (!into) continue;
            float *turned_sum = kept(5), *place = into + b[m];
            gathered(h + m * rank, thin, rank, grad, apart, tokens, turned_sum, outputs, scale, 1);
            for (count o = 0; o < outputs; o++)
                for (count k = 0; k < rank; k++)
                    place[o * rank + k] = turned_sum[k * outputs + o] + (fresh ? 0.0f : place[o * rank + k]);
        }
        if (into) {
            count apart = x_apart;
            const float *rows = (const float *)((const char *)x + lane * tokens * x_apart * size);
            rows = read_(rows, halves, 0, &apart, tokens, width);
            gathered(gh, thin, thin, rows, apart, tokens, into + a, width, scale, fresh);
        }
        if (gx) {
            const float *down = read_(mine + a * size, halves, 1, &one, 1, thin * width);
            char *at = (char *)gx + lane * tokens * gx_apart * size;
            float *out = halves ? kept(3) : (float *)at;
            if (halves) widened((const half *)at, gx_apart, out, tokens, width);
            spread(gh, thin, thin, tokens, down, width, out, halves ? width : gx_apart, scale);
            if (halves) narrowed(out, (half *)at, gx_apart, tokens, width);
        }
    }
    return 1;
}

/* ---- a whole pass ------------------------------------------------------------------------------------------------------ */

static void *ahead(const void *some, count rows, count apart, count halves) {
    return (char *)some + rows * apart * (halves ? 2 : 4);
}

/* Adds every lane's B·A·x to its rows of the outputs; h keeps A·x, lane after lane. 0 for want of memory. */
int adapters_all(const count *table, count pieces, const void *x, count x_apart, count width, count halves,
                 count members, float *h, void *const *outs, const count *out_apart, const count *out_width,
                 float scale) {
    for (count p = 0; p < pieces; p++, table += B + members) {
        void *own[members];
        for (count m = 0; m < members; m++) own[m] = ahead(outs[m], table[START], out_apart[m], halves);
        if (!adapters(ahead(x, table[START], x_apart, halves), x_apart, width, halves, (const void *)table[WEIGHTS],
                      table[STRIDE], table[A], table + B, members, table[RANK], table[LANES], table[TOKENS], h, own,
                      out_apart, out_width, scale))
            return 0;
        h += table[LANES] * table[TOKENS] * members * table[RANK];
    }
    return 1;
}

/* Gradients of all lanes' matrices, and of x on top of gx (unless that is null). */
int adapters_all_backward(const count *table, count pieces, const void *x, count x_apart, count width, count halves,
                          count members, const float *h, void *const *grads, const count *grad_apart,
                          const count *grad_width, float scale, void *gx, count gx_apart) {
    for (count p = 0; p < pieces; p++, table += B + members) {
        void *own[members];
        for (count m = 0; m < members; m++) own[m] = ahead(grads[m], table[START], grad_apart[m], halves);
        if (!adapters_backward(ahead(x, table[START], x_apart, halves), x_apart, width, halves,
                               (const void *)table[WEIGHTS], table[STRIDE], table[A], table + B, members, table[RANK],
                               table[LANES], table[TOKENS], h, own, grad_apart, grad_width, scale,
                               (float *)table[INTO], table[INTO_STRIDE], table[FRESH],
                               gx ? ahead(gx, table[START], gx_apart, halves) : 0, gx_apart))
            return 0;
        h += table[LANES] * table[TOKENS] * members * table[RANK];
    }
    return 1;
}
