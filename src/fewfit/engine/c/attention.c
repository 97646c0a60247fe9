/* Rotary causal attention of rows that stand end to end, forward and backward, each row by itself: nothing here depends
   on who else is in the pass, or on what a row is filled up with. Sums are fp32 whatever the inputs are. One thread;
   arrays of bf16 are given as their bits. */
#ifdef __clang__ /* vectors are explicit, and the exponential wants its order */
#pragma clang fp reassociate(off)
#else
#pragma GCC optimize("no-associative-math")
#endif
#include "heads.h"

#define WIDE 16    /* numbers of a vector */
#define EIGHT 8    /* rows that a product takes at once */
#define QUERIES 32 /* rows whose weights the backward holds */
#define inlined static inline __attribute__((always_inline))
typedef float wide_t __attribute__((vector_size(4 * WIDE), aligned(4), may_alias));
typedef int32_t whole_t __attribute__((vector_size(4 * WIDE), aligned(4), may_alias));

static count filled(count size) { return (size + WIDE - 1) / WIDE * WIDE; }

typedef float some_t __attribute__((vector_size(4 * EIGHT), aligned(4), may_alias));
typedef uint32_t bits_t __attribute__((vector_size(4 * EIGHT), aligned(4), may_alias));
typedef half halves_t __attribute__((vector_size(2 * EIGHT), aligned(2), may_alias));

inlined some_t read_(const void *from, count halves, count at) {
    if (!halves) return *(const some_t *)((const float *)from + at);
    return (some_t)(__builtin_convertvector(*(const halves_t *)((const half *)from + at), bits_t) << 16);
}

inlined void write_(void *to, count halves, count at, some_t f) {
    if (!halves) {
        *(some_t *)((float *)to + at) = f;
        return;
    }
    bits_t bits = (bits_t)f; /* to nearest, ties to even */
    bits = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
    *(halves_t *)((half *)to + at) = __builtin_convertvector(bits, halves_t);
}

/* Of numbers that are not above zero, to some units of the last place; NaN stays NaN. */
inlined wide_t exponential(wide_t x) {
    whole_t small = x < -87.0f;
    x = (wide_t)(((whole_t)x & ~small) | ((whole_t)((wide_t){0} - 87.0f) & small));
    whole_t power = __builtin_convertvector(x * 1.44269504f - 0.5f, whole_t);
    wide_t n = __builtin_convertvector(power, wide_t), r = x - n * 0.693145752f - n * 1.42860677e-6f;
    wide_t p = r * 1.9875691500e-4f + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * r * r + r + 1.0f;
    return p * (wide_t)((power + 127) << 23);
}

/* ---- c = a · b, or on top of what stands there; b and c are rows of vectors, a lies as its two steps say -------------- */

inlined void product(const float *a, count a_row, count a_step, const float *b, count b_row, float *c, count c_row,
                     count depth, int fresh, const int rows, const int vectors) {
    wide_t sum[EIGHT][3] = {{{0}}};
    for (count k = 0; k < depth; k++, a += a_step, b += b_row) {
        wide_t some[3];
        for (int v = 0; v < vectors; v++) some[v] = *(const wide_t *)(b + v * WIDE);
#pragma GCC unroll 8
        for (int m = 0; m < rows; m++)
#pragma GCC unroll 3
            for (int v = 0; v < vectors; v++) sum[m][v] += a[m * a_row] * some[v];
    }
    for (int m = 0; m < rows; m++)
        for (int v = 0; v < vectors; v++) {
            wide_t *place = (wide_t *)(c + m * c_row + v * WIDE);
            if (fresh) *place = sum[m][v];
            else *place += sum[m][v];
        }
}

static void multiply(const float *a, count a_row, count a_step, const float *b, count b_row, float *c, count c_row,
                     count rows, count columns, count depth, int fresh) {
    for (count n = 0; n < columns;) {
        count left = (columns - n) / WIDE, vectors = left == 3 || left > 4 ? 3 : left > 1 ? 2 : 1, m = 0;
#define ROWS(M, V) \
    product(a + m * a_row, a_row, a_step, b + n, b_row, c + m * c_row + n, c_row, depth, fresh, M, V)
        for (; m + EIGHT <= rows; m += EIGHT)
            vectors == 3 ? ROWS(EIGHT, 3) : vectors == 2 ? ROWS(EIGHT, 2) : ROWS(EIGHT, 1);
        for (; m < rows; m++) vectors == 3 ? ROWS(1, 3) : vectors == 2 ? ROWS(1, 2) : ROWS(1, 1);
#undef ROWS
        n += vectors * WIDE;
    }
}

/* ---- heads ------------------------------------------------------------------------------------------------------------ */

/* One head of some tokens as fp32, rotated where `angle` is not negative, times a factor. */
static void fetched(const Heads *of, const void *from, count apart, count tokens, count angle, float factor, float *to) {
    count width = of->width, most = width / 2, halves = of->halves;
    for (count t = 0; t < tokens; t++, to += width) {
        count at = t * apart, turn = (angle + t) * width;
        if (angle < 0) {
            for (count e = 0; e < width; e += EIGHT) *(some_t *)(to + e) = factor * read_(from, halves, at + e);
            continue;
        }
        for (count e = 0; e < most; e += EIGHT) {
            some_t low = read_(from, halves, at + e), high = read_(from, halves, at + e + most);
            *(some_t *)(to + e) =
                factor * (low * read_(of->cosine, halves, turn + e) - high * read_(of->sine, halves, turn + e));
            *(some_t *)(to + e + most) = factor * (high * read_(of->cosine, halves, turn + e + most) +
                                                   low * read_(of->sine, halves, turn + e + most));
        }
    }
}

/* The other way round: back to where it came from, rotated backwards. */
static void put(const Heads *of, const float *from, count tokens, count angle, float factor, void *to, count apart) {
    count width = of->width, most = width / 2, halves = of->halves;
    for (count t = 0; t < tokens; t++, from += width) {
        count at = t * apart, turn = (angle + t) * width;
        if (angle < 0) {
            for (count e = 0; e < width; e += EIGHT) write_(to, halves, at + e, factor * *(const some_t *)(from + e));
            continue;
        }
        for (count e = 0; e < most; e += EIGHT) {
            some_t low = factor * *(const some_t *)(from + e), high = factor * *(const some_t *)(from + e + most);
            write_(to, halves, at + e,
                   low * read_(of->cosine, halves, turn + e) + high * read_(of->sine, halves, turn + e + most));
            write_(to, halves, at + e + most,
                   high * read_(of->cosine, halves, turn + e + most) - low * read_(of->sine, halves, turn + e));
        }
    }
}

/* tokens × width as width × `apart`, filled up with zeros. */
static void turned(const float *from, count tokens, count width, float *to, count apart) {
    for (count e = 0; e < width; e++, to += apart) {
        for (count t = 0; t < tokens; t++) to[t] = from[t * width + e];
        for (count t = tokens; t < apart; t++) to[t] = 0.0f;
    }
}

static void *place(const void *some, count halves, count at) { return (char *)some + at * (halves ? 2 : 4); }

static float largest(float *scores, count seen, count columns) {
    for (count j = seen; j < columns; j++) scores[j] = scores[0];
    wide_t most = *(wide_t *)scores;
    for (count j = WIDE; j < columns; j += WIDE) {
        wide_t some = *(wide_t *)(scores + j);
        whole_t above = some > most;
        most = (wide_t)(((whole_t)some & above) | ((whole_t)most & ~above));
    }
    float found = most[0];
    for (int j = 1; j < WIDE; j++) found = most[j] > found ? most[j] : found;
    return found;
}

/* Scores of one query as weights that have yet to be divided by their sum; what it may not see is zero. */
static void weighed(float *scores, count seen, count columns, float largest) {
    for (count j = 0; j < columns; j += WIDE) *(wide_t *)(scores + j) = exponential(*(wide_t *)(scores + j) - largest);
    for (count j = seen; j < columns; j++) scores[j] = 0.0f;
}

static float *room(count size) {
    static _Thread_local float *kept;
    static _Thread_local count had;
    if (size > had) {
        free(kept);
        kept = aligned_alloc(64, (size * 4 + 63) / 64 * 64);
        had = kept ? size : 0;
    }
    return kept;
}

static count longest(const Heads *of) {
    count most = 0;
    for (count b = 0; b < of->rows; b++) most = of->lengths[b] > most ? of->lengths[b] : most;
    return most;
}

/* q is tokens × (groups · shared · width), k and v tokens × (groups · width), the gap between tokens being `apart`; out
   lies like q without gaps. `most` and `share` keep each query's largest score and the inverse of its sum; `keys_kept`
   and `values_kept`, unless null, what `attention_next` goes on with: of each row and key head width × `places`, rotated,
   and `places` × width. bf16 goes by tiles where it can and nothing is kept. 0 for want of memory. */
int attention(const Heads *of, const void *q, count q_apart, const void *k, count k_apart, const void *v, count v_apart,
              void *out, float *most, float *share, float *keys_kept, float *values_kept, count places) {
    if (attention_fits(of) && !keys_kept)
        return attention_by_tiles(of, q, q_apart, k, k_apart, v, v_apart, out, most, share);
    count width = of->width, heads = of->groups * of->shared, keys = filled(longest(of));
    float *queries = room(width * (3 * keys + 2 * EIGHT) + EIGHT * keys);
    if (!queries) return 0;
    float *values = queries + EIGHT * width, *plain = values + keys * width, *turned_k = plain + keys * width;
    float *sums = turned_k + keys * width, *scores = sums + EIGHT * width;
    for (count b = 0; b < of->rows; b++) {
        count first = of->starts[b], tokens = of->lengths[b], line = filled(tokens), angle = of->turns[b];
        for (count h = 0; h < heads; h++) {
            count g = h / of->shared;
            if (h % of->shared == 0) {
                fetched(of, place(k, of->halves, first * k_apart + g * width), k_apart, tokens, angle, 1.0f, plain);
                turned(plain, tokens, width, turned_k, line);
                fetched(of, place(v, of->halves, first * v_apart + g * width), v_apart, tokens, -1, 1.0f, values);
                if (keys_kept) {
                    float *to = keys_kept + (b * of->groups + g) * width * places;
                    for (count e = 0; e < width; e++) memcpy(to + e * places, turned_k + e * line, tokens * 4);
                    memcpy(values_kept + (b * of->groups + g) * width * places, values, tokens * width * 4);
                }
            }
            for (count i = 0; i < tokens; i += EIGHT) {
                count some = tokens - i < EIGHT ? tokens - i : EIGHT, seen = i + some, columns = filled(seen);
                fetched(of, place(q, of->halves, (first + i) * q_apart + h * width), q_apart, some, angle + i, of->scaling,
                        queries);
                multiply(queries, width, 1, turned_k, line, scores, line, some, columns, width, 1);
                float inverse[EIGHT];
                for (count m = 0; m < some; m++) {
                    float *row = scores + m * line, above = largest(row, i + m + 1, columns), sum = 0.0f;
                    weighed(row, i + m + 1, columns, above);
                    wide_t parts = {0};
                    for (count j = 0; j < columns; j += WIDE) parts += *(wide_t *)(row + j);
                    for (int j = 0; j < WIDE; j++) sum += parts[j];
                    inverse[m] = 1.0f / sum;
                    count at = (first + i + m) * heads + h;
                    most[at] = above;
                    share[at] = inverse[m];
                }
                multiply(scores, line, 1, values, width, sums, width, some, width, seen, 1);
                for (count m = 0; m < some; m++)
                    put(of, sums + m * width, 1, -1, inverse[m], place(out, of->halves, ((first + i + m) * heads + h) * width),
                        0);
            }
        }
    }
    return 1;
}

/* One more token of every row, behind the `lengths` that are kept; it is kept with them. */
int attention_next(const Heads *of, const void *q, count q_apart, const void *k, count k_apart, const void *v,
                   count v_apart, void *out, float *keys_kept, float *values_kept, count places) {
    count width = of->width, heads = of->groups * of->shared;
    float *query = room(2 * width + places);
    if (!query) return 0;
    float *sums = query + width, *scores = sums + width;
    for (count b = 0; b < of->rows; b++) {
        count token = of->starts[b], before = of->lengths[b], columns = filled(before + 1);
        for (count h = 0; h < heads; h++) {
            count g = h / of->shared;
            float *keys = keys_kept + (b * of->groups + g) * width * places, *values = values_kept + (keys - keys_kept);
            if (h % of->shared == 0) {
                fetched(of, place(k, of->halves, token * k_apart + g * width), k_apart, 1, of->turns[b], 1.0f, query);
                for (count e = 0; e < width; e++) keys[e * places + before] = query[e];
                fetched(of, place(v, of->halves, token * v_apart + g * width), v_apart, 1, -1, 1.0f,
                        values + before * width);
            }
            fetched(of, place(q, of->halves, token * q_apart + h * width), q_apart, 1, of->turns[b], of->scaling, query);
            multiply(query, width, 1, keys, places, scores, columns, 1, columns, width, 1);
            float above = largest(scores, before + 1, columns), sum = 0.0f;
            weighed(scores, before + 1, columns, above);
            for (count j = 0; j <= before; j++) sum += scores[j];
            multiply(scores, columns, 1, values, width, sums, width, 1, width, before + 1, 1);
            put(of, sums, 1, -1, 1.0f / sum, place(out, of->halves, (token * heads + h) * width), 0);
        }
    }
    return 1;
}

/* Gradients of q, k and v, without gaps, from that of out. */
int attention_backward(const Heads *of, const void *grad, count grad_apart, const void *q, count q_apart, const void *k,
                       count k_apart, const void *v, count v_apart, const void *out, const float *most,
                       const float *share, void *gq, void *gk, void *gv) {
    if (attention_fits(of))
        return attention_by_tiles_backward(of, grad, grad_apart, q, q_apart, k, k_apart, v, v_apart, out, most, share, gq,
                                           gk, gv);
    count width = of->width, heads = of->groups * of->shared, keys = filled(longest(of));
    float *queries = room(width * (5 * keys + 4 * QUERIES) + 2 * QUERIES * keys);
    if (!queries) return 0;
    float *flow = queries + QUERIES * width, *given = flow + QUERIES * width, *query_grads = given + QUERIES * width;
    float *plain = query_grads + QUERIES * width, *turned_k = plain + keys * width, *turned_v = turned_k + keys * width;
    float *key_grads = turned_v + keys * width, *value_grads = key_grads + keys * width;
    float *weights = value_grads + keys * width, *changes = weights + QUERIES * keys;
    for (count b = 0; b < of->rows; b++) {
        count first = of->starts[b], tokens = of->lengths[b], line = filled(tokens), angle = of->turns[b];
        for (count h = 0; h < heads; h++) {
            count g = h / of->shared;
            if (h % of->shared == 0) {
                fetched(of, place(v, of->halves, first * v_apart + g * width), v_apart, tokens, -1, 1.0f, plain);
                turned(plain, tokens, width, turned_v, line);
                fetched(of, place(k, of->halves, first * k_apart + g * width), k_apart, tokens, angle, 1.0f, plain);
                turned(plain, tokens, width, turned_k, line);
                memset(key_grads, 0, tokens * width * 4);
                memset(value_grads, 0, tokens * width * 4);
            }
            for (count i = 0; i < tokens; i += QUERIES) {
                count some = tokens - i < QUERIES ? tokens - i : QUERIES, seen = i + some, columns = filled(seen);
                count at = ((first + i) * heads + h) * width;
                fetched(of, place(q, of->halves, (first + i) * q_apart + h * width), q_apart, some, angle + i, of->scaling,
                        queries);
                fetched(of, place(grad, of->halves, (first + i) * grad_apart + h * width), grad_apart, some, -1, 1.0f, flow);
                fetched(of, place(out, of->halves, at), heads * width, some, -1, 1.0f, given);
                multiply(queries, width, 1, turned_k, line, weights, line, some, columns, width, 1);
                multiply(flow, width, 1, turned_v, line, changes, line, some, columns, width, 1);
                for (count m = 0; m < some; m++) {
                    float *row = weights + m * line, *change = changes + m * line, along = 0.0f;
                    count place_ = (first + i + m) * heads + h;
                    wide_t parts = {0};
                    for (count e = 0; e < width; e += WIDE)
                        parts += *(wide_t *)(flow + m * width + e) * *(wide_t *)(given + m * width + e);
                    for (int e = 0; e < WIDE; e++) along += parts[e];
                    weighed(row, i + m + 1, columns, most[place_]);
                    for (count j = 0; j < columns; j += WIDE) {
                        wide_t p = *(wide_t *)(row + j) * share[place_];
                        *(wide_t *)(row + j) = p;
                        *(wide_t *)(change + j) = p * (*(wide_t *)(change + j) - along);
                    }
                }
                multiply(changes, line, 1, plain, width, query_grads, width, some, width, seen, 1);
                multiply(changes, 1, line, queries, width, key_grads, width, seen, width, some, 0);
                multiply(weights, 1, line, flow, width, value_grads, width, seen, width, some, 0);
                put(of, query_grads, some, angle + i, of->scaling, place(gq, of->halves, at), heads * width);
            }
            if (h % of->shared == of->shared - 1) {
                count at = (first * of->groups + g) * width, apart = of->groups * width;
                put(of, key_grads, tokens, angle, 1.0f, place(gk, of->halves, at), apart);
                put(of, value_grads, tokens, -1, 1.0f, place(gv, of->halves, at), apart);
            }
        }
    }
    return 1;
}
