/* The attention of attention.c in bf16 by tiles: rows of any length in strips of 32 tokens, heads of any multiple of 32
   numbers. Scores and every sum are fp32; what goes into a product (rotated queries and keys, weights and the gradients of
   scores) is rounded to bf16 once. The backward goes by keys × queries, so that each query's statistics are a vector. */
#ifdef __clang__ /* the exponential wants its order */
#pragma clang fp reassociate(off)
#else
#pragma GCC optimize("no-associative-math")
#endif
#include "heads.h"
#include "tiles.h"

#ifdef TILES

#define STRIP 32
#define BLOCK (STRIP * STRIP)

static char *room(count bytes) {
    static _Thread_local char *kept;
    static _Thread_local count had;
    if (bytes > had) {
        free(kept);
        kept = aligned_alloc(64, fitting(bytes, 64) * 64);
        had = kept ? bytes : 0;
    }
    return kept;
}

static void *taken(char **at, count bytes) {
    char *mine = *at;
    *at += fitting(bytes, 64) * 64;
    return mine;
}

static count longest(const Heads *of) {
    count most = 0;
    for (count b = 0; b < of->rows; b++) most = of->lengths[b] > most ? of->lengths[b] : most;
    return fitting(most, STRIP) * STRIP;
}

static inline void write_half(half *to, __m512 some) {
    _mm256_storeu_si256((__m256i *)to, (__m256i)_mm512_cvtneps_pbh(some));
}

static inline void write_halves(half *to, __m512 low, __m512 high) {
    _mm512_storeu_si512(to, (__m512i)_mm512_cvtne2ps_pbh(high, low));
}

/* To a unit or two of the last place; NaN stays NaN. */
static inline __m512 exponential(__m512 x) {
    x = _mm512_max_ps(_mm512_set1_ps(-100.0f), x); /* of NaN and another, the second */
    __m512 n = _mm512_roundscale_ps(_mm512_mul_ps(x, _mm512_set1_ps(1.44269504f)), 8);
    __m512 r = _mm512_fnmadd_ps(n, _mm512_set1_ps(0.693145752f), x);
    r = _mm512_fnmadd_ps(n, _mm512_set1_ps(1.42860677e-6f), r);
    __m512 p = _mm512_set1_ps(1.9875691500e-4f);
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.3981999507e-3f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(8.3334519073e-3f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(4.1665795894e-2f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.6666665459e-1f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(5.0000001201e-1f));
    p = _mm512_fmadd_ps(_mm512_mul_ps(p, r), r, _mm512_add_ps(r, _mm512_set1_ps(1.0f)));
    return _mm512_scalef_ps(p, n);
}

/* One head of some tokens, dense, rotated where `angle` is not negative; zeros up to `rows`. */
static void fetched(const Heads *of, const half *from, count apart, count tokens, count rows, count angle, half *to) {
    count width = of->width, most = width / 2;
    for (count t = 0; t < tokens; t++, from += apart, to += width) {
        if (angle < 0) {
            memcpy(to, from, width * 2);
            continue;
        }
        const half *cosine = (const half *)of->cosine + (angle + t) * width;
        const half *sine = (const half *)of->sine + (angle + t) * width;
        for (count e = 0; e < most; e += SIDE) {
            __m512 low = read_half(from + e), high = read_half(from + e + most);
            __m512 turned = _mm512_mul_ps(low, read_half(cosine + e));
            write_half(to + e, _mm512_fnmadd_ps(high, read_half(sine + e), turned));
            turned = _mm512_mul_ps(high, read_half(cosine + e + most));
            write_half(to + e + most, _mm512_fmadd_ps(low, read_half(sine + e + most), turned));
        }
    }
    memset(to, 0, (rows - tokens) * width * 2);
    SEEN(to);
}

/* The other way round: back to where it came from, rotated backwards. */
static void put(const Heads *of, const float *from, count tokens, count angle, half *to, count apart) {
    count width = of->width, most = width / 2;
    for (count t = 0; t < tokens; t++, from += width, to += apart) {
        count turn = (angle + t) * width;
        for (count e = 0; e < most; e += SIDE) {
            __m512 low = _mm512_load_ps(from + e), high = _mm512_load_ps(from + e + most);
            if (angle >= 0) {
                const half *cosine = (const half *)of->cosine + turn + e, *sine = (const half *)of->sine + turn + e;
                __m512 turned = _mm512_mul_ps(low, read_half(cosine));
                turned = _mm512_fmadd_ps(high, read_half(sine + most), turned);
                high = _mm512_mul_ps(high, read_half(cosine + most));
                high = _mm512_fnmadd_ps(low, read_half(sine), high);
                low = turned;
            }
            write_half(to + e, low);
            write_half(to + e + most, high);
        }
    }
}

/* Rows as columns of a product that sums over their numbers: for each 16 rows `width` / 32 tiles. */
static void as_columns(const half *rows, count tokens, count width, half *to) {
    half *all = to;
    for (count t = 0; t < tokens; t += SIDE)
        for (count e = 0; e < width; e += DEEP, to += TILE) transposed(rows + t * width + e, width * 2, to, DEEP * 2);
    SEEN(all);
}

/* Two rows as pairs of numbers next to each other. */
static inline void paired(__m512i one, __m512i two, half *low, half *high) {
    const __m512i first = _mm512_set_epi16(47, 15, 46, 14, 45, 13, 44, 12, 43, 11, 42, 10, 41, 9, 40, 8, 39, 7, 38, 6,
                                           37, 5, 36, 4, 35, 3, 34, 2, 33, 1, 32, 0);
    _mm512_storeu_si512(low, _mm512_permutex2var_epi16(one, first, two));
    _mm512_storeu_si512(high, _mm512_permutex2var_epi16(one, _mm512_add_epi16(first, _mm512_set1_epi16(16)), two));
}

/* Rows for a product that sums over them: for each 16 columns a tile for every strip. */
static void as_rows(const half *rows, count tokens, count width, half *to) {
    count strips = tokens / STRIP;
    for (count e = 0; e < width; e += STRIP)
        for (count s = 0; s < strips; s++) {
            half *low = to + (e / SIDE * strips + s) * TILE, *high = low + strips * TILE;
            const half *from = rows + s * STRIP * width + e;
            for (count p = 0; p < SIDE; p++, from += 2 * width)
                paired(_mm512_loadu_si512(from), _mm512_loadu_si512(from + width), low + p * DEEP, high + p * DEEP);
        }
    SEEN(to);
}

static inline void cleared(void) {
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
}

/* 32 rows × 32 columns of sums, `apart` numbers between rows. */
static inline void stored(float *to, count apart) {
    _tile_stored(0, to, apart * 4);
    _tile_stored(1, to + SIDE, apart * 4);
    _tile_stored(2, to + SIDE * apart, apart * 4);
    _tile_stored(3, to + SIDE * apart + SIDE, apart * 4);
}

static inline void fetched_sums(const float *from, count apart) {
    _tile_loadd(0, from, apart * 4);
    _tile_loadd(1, from + SIDE, apart * 4);
    _tile_loadd(2, from + SIDE * apart, apart * 4);
    _tile_loadd(3, from + SIDE * apart + SIDE, apart * 4);
}

/* Adds what 32 rows give with 32 columns, `deep` times 32 inputs. `columns` are tiles of 16 columns, one for each 32 inputs;
   those of the next 16 begin `over` numbers further on. */
static inline void summed(const half *rows, count apart, const half *columns, count over, count deep) {
    for (count k = 0; k < deep; k++) {
        _tile_loadd(4, rows + k * DEEP, apart * 2);
        _tile_loadd(5, rows + SIDE * apart + k * DEEP, apart * 2);
        _tile_loadd(6, columns + k * TILE, 64);
        _tile_loadd(7, columns + over + k * TILE, 64);
        _tile_dpbf16ps(0, 4, 6);
        _tile_dpbf16ps(1, 4, 7);
        _tile_dpbf16ps(2, 5, 6);
        _tile_dpbf16ps(3, 5, 7);
    }
}

int attention_fits(const Heads *of) { return of->halves && of->tiles && of->width % DEEP == 0; }

/* Weights of one query before they are divided by their sum: of `seen` scores, zeros after; its largest score and the sum. */
static void weighed(const float *scores, count seen, count columns, float scaling, half *to, float *most, float *sum) {
    __m512 above = _mm512_set1_ps(-__builtin_inff()), all = _mm512_setzero_ps();
    for (count j = 0; j < seen; j += SIDE) {
        __mmask16 inside = seen - j < SIDE ? (1u << (seen - j)) - 1 : 0xffff;
        above = _mm512_mask_max_ps(above, inside, above, _mm512_load_ps(scores + j));
    }
    *most = _mm512_reduce_max_ps(above);
    __m512 less = _mm512_set1_ps(-*most * scaling), times = _mm512_set1_ps(scaling);
    for (count j = 0; j < columns; j += SIDE) {
        __mmask16 inside = j >= seen ? 0 : seen - j < SIDE ? (1u << (seen - j)) - 1 : 0xffff;
        __m512 weight = exponential(_mm512_fmadd_ps(_mm512_load_ps(scores + j), times, less));
        weight = _mm512_maskz_mov_ps(inside, weight);
        all = _mm512_add_ps(all, weight);
        write_half(to + j, weight);
    }
    *sum = _mm512_reduce_add_ps(all);
    *most *= scaling;
}

int attention_by_tiles(const Heads *of, const half *q, count q_apart, const half *k, count k_apart, const half *v,
                       count v_apart, half *out, float *most, float *share) {
    count width = of->width, heads = of->groups * of->shared, keys = longest(of), deep = width / DEEP;
    char *at = room(keys * width * 2 * 3 + STRIP * width * 2 + STRIP * keys * 6 + BLOCK * 4 + 8 * 64);
    if (!at) return 0;
    half *rows = taken(&at, keys * width * 2), *as_k = taken(&at, keys * width * 2), *as_v = taken(&at, keys * width * 2);
    half *queries = taken(&at, STRIP * width * 2), *weights = taken(&at, STRIP * keys * 2);
    float *scores = taken(&at, STRIP * keys * 4), *sums = taken(&at, BLOCK * 4);
    tiles_begin();
    for (count b = 0; b < of->rows; b++) {
        count first = of->starts[b], tokens = of->lengths[b], line = fitting(tokens, STRIP) * STRIP, angle = of->turns[b];
        for (count h = 0; h < heads; h++) {
            count g = h / of->shared;
            if (h % of->shared == 0) {
                fetched(of, k + first * k_apart + g * width, k_apart, tokens, line, angle, rows);
                as_columns(rows, line, width, as_k);
                fetched(of, v + first * v_apart + g * width, v_apart, tokens, line, -1, rows);
                as_rows(rows, line, width, as_v);
            }
            for (count i = 0; i < tokens; i += STRIP) {
                count some = tokens - i < STRIP ? tokens - i : STRIP, columns = i + STRIP;
                fetched(of, q + (first + i) * q_apart + h * width, q_apart, some, STRIP, angle + i, queries);
                for (count j = 0; j < columns; j += STRIP) {
                    cleared();
                    summed(queries, width, as_k + j * width, SIDE * width, deep);
                    stored(scores + j, line);
                }
                float inverse[STRIP];
                for (count m = 0; m < STRIP; m++) {
                    if (m >= some) {
                        memset(weights + m * line, 0, columns * 2);
                        continue;
                    }
                    count place = (first + i + m) * heads + h;
                    float sum;
                    weighed(scores + m * line, i + m + 1, columns, of->scaling, weights + m * line, most + place, &sum);
                    share[place] = inverse[m] = 1.0f / sum;
                }
                SEEN(weights);
                for (count e = 0; e < width; e += STRIP) {
                    cleared();
                    summed(weights, line, as_v + e / SIDE * (line / STRIP) * TILE, line / STRIP * TILE, columns / STRIP);
                    stored(sums, STRIP);
                    for (count m = 0; m < some; m++) {
                        __m512 times = _mm512_set1_ps(inverse[m]);
                        write_halves(out + ((first + i + m) * heads + h) * width + e,
                                     _mm512_mul_ps(times, _mm512_load_ps(sums + m * STRIP)),
                                     _mm512_mul_ps(times, _mm512_load_ps(sums + m * STRIP + SIDE)));
                    }
                }
            }
        }
    }
    _tile_release();
    return 1;
}

/* Of 32 keys and 32 queries: weights from scores, and the scores' gradients from the weights', keys × queries, the latter
   also as rows of a product over keys. On the `diagonal` queries do not see the keys after them. */
static void weights_and_flows(const float *scores, const float *changes, const float *most, const float *share,
                              const float *along, float scaling, int diagonal, half *weights, half *flows,
                              half *as_flows) {
    __m512 times = _mm512_set1_ps(scaling), before[2] = {_mm512_load_ps(most), _mm512_load_ps(most + SIDE)};
    __m512 part[2] = {_mm512_load_ps(share), _mm512_load_ps(share + SIDE)};
    __m512 less[2] = {_mm512_load_ps(along), _mm512_load_ps(along + SIDE)};
    for (count n = 0; n < STRIP; n++, scores += STRIP, changes += STRIP, weights += STRIP, flows += STRIP) {
        uint32_t visible = diagonal ? 0xffffffffu << n : 0xffffffffu;
        __m512 weight[2], flow[2];
        for (int two = 0; two < 2; two++) {
            __mmask16 inside = (__mmask16)(visible >> (two * SIDE));
            __m512 x = exponential(_mm512_fmsub_ps(_mm512_load_ps(scores + two * SIDE), times, before[two]));
            weight[two] = _mm512_maskz_mul_ps(inside, x, part[two]);
            x = _mm512_sub_ps(_mm512_load_ps(changes + two * SIDE), less[two]);
            flow[two] = _mm512_maskz_mul_ps(inside, _mm512_mul_ps(x, weight[two]), times);
        }
        write_halves(weights, weight[0], weight[1]);
        write_halves(flows, flow[0], flow[1]);
        if (n % 2 == 0) continue;
        half *to = as_flows + n / 2 * DEEP;
        paired(_mm512_loadu_si512(flows - STRIP), _mm512_loadu_si512(flows), to, to + TILE);
    }
    SEEN(weights);
    SEEN(flows);
    SEEN(as_flows);
}

static float dot(const half *one, const half *other, count width) {
    __m512 sum = _mm512_setzero_ps();
    for (count e = 0; e < width; e += SIDE) sum = _mm512_fmadd_ps(read_half(one + e), read_half(other + e), sum);
    return _mm512_reduce_add_ps(sum);
}

int attention_by_tiles_backward(const Heads *of, const half *grad, count grad_apart, const half *q, count q_apart,
                                const half *k, count k_apart, const half *v, count v_apart, const half *out,
                                const float *most, const float *share, half *gq, half *gk, half *gv) {
    count width = of->width, heads = of->groups * of->shared, keys = longest(of), deep = width / DEEP;
    char *at = room(keys * width * (2 * 3 + 4 * 2) + STRIP * width * (2 * 6 + 4 * 2) + BLOCK * (4 * 2 + 2 * 3) + 24 * 64);
    if (!at) return 0;
    count all = keys * width * 2, some_rows = STRIP * width * 2;
    half *k_rows = taken(&at, all), *v_rows = taken(&at, all), *k_turned = taken(&at, all);
    float *key_grads = taken(&at, keys * width * 4), *value_grads = taken(&at, keys * width * 4);
    half *q_rows = taken(&at, some_rows), *q_columns = taken(&at, some_rows), *q_pairs = taken(&at, some_rows);
    half *g_rows = taken(&at, some_rows), *g_columns = taken(&at, some_rows), *g_pairs = taken(&at, some_rows);
    float *turned_grads = taken(&at, STRIP * width * 4), *query_grads = taken(&at, STRIP * width * 4);
    float *scores = taken(&at, BLOCK * 4), *changes = taken(&at, BLOCK * 4);
    half *weights = taken(&at, BLOCK * 2), *flows = taken(&at, BLOCK * 2), *as_flows = taken(&at, BLOCK * 2);
    float *stats = taken(&at, 3 * STRIP * 4), *largest = stats, *part = stats + STRIP, *along = part + STRIP;
    tiles_begin();
    for (count b = 0; b < of->rows; b++) {
        count first = of->starts[b], tokens = of->lengths[b], line = fitting(tokens, STRIP) * STRIP, angle = of->turns[b];
        for (count h = 0; h < heads; h++) {
            count g = h / of->shared;
            if (h % of->shared == 0) {
                fetched(of, v + first * v_apart + g * width, v_apart, tokens, line, -1, v_rows);
                fetched(of, k + first * k_apart + g * width, k_apart, tokens, line, angle, k_rows);
                for (count t = 0; t < line; t += SIDE)
                    for (count e = 0; e < width; e += DEEP) {
                        half some[TILE] __attribute__((aligned(64)));
                        transposed(k_rows + t * width + e, width * 2, some, DEEP * 2);
                        for (count p = 0; p < SIDE; p++) {
                            __m512i pairs = _mm512_load_si512(some + p * DEEP);
                            half *to = k_turned + (e + 2 * p) * line + t;
                            __m256i upper = _mm512_cvtepi32_epi16(_mm512_srli_epi32(pairs, 16));
                            _mm256_storeu_si256((__m256i *)to, _mm512_cvtepi32_epi16(pairs));
                            _mm256_storeu_si256((__m256i *)(to + line), upper);
                        }
                    }
                SEEN(k_turned);
                memset(key_grads, 0, line * width * 4);
                memset(value_grads, 0, line * width * 4);
                SEEN(key_grads);
            }
            for (count i = 0; i < tokens; i += STRIP) {
                count some = tokens - i < STRIP ? tokens - i : STRIP, place = (first + i) * heads + h;
                fetched(of, q + (first + i) * q_apart + h * width, q_apart, some, STRIP, angle + i, q_rows);
                fetched(of, grad + (first + i) * grad_apart + h * width, grad_apart, some, STRIP, -1, g_rows);
                as_columns(q_rows, STRIP, width, q_columns);
                as_columns(g_rows, STRIP, width, g_columns);
                as_rows(q_rows, STRIP, width, q_pairs);
                as_rows(g_rows, STRIP, width, g_pairs);
                memset(stats, 0, 3 * STRIP * 4);
                for (count m = 0; m < some; m++) {
                    largest[m] = most[place + m * heads];
                    part[m] = share[place + m * heads];
                    along[m] = dot(g_rows + m * width, out + (place + m * heads) * width, width);
                }
                memset(turned_grads, 0, STRIP * width * 4);
                SEEN(turned_grads);
                for (count j = 0; j <= i; j += STRIP) {
                    cleared();
                    summed(k_rows + j * width, width, q_columns, deep * TILE, deep);
                    stored(scores, STRIP);
                    cleared();
                    summed(v_rows + j * width, width, g_columns, deep * TILE, deep);
                    stored(changes, STRIP);
                    weights_and_flows(scores, changes, largest, part, along, of->scaling, j == i, weights, flows,
                                      as_flows);
                    for (count e = 0; e < width; e += STRIP) {
                        fetched_sums(value_grads + j * width + e, width);
                        summed(weights, STRIP, g_pairs + e / SIDE * TILE, TILE, 1);
                        stored(value_grads + j * width + e, width);
                        fetched_sums(key_grads + j * width + e, width);
                        summed(flows, STRIP, q_pairs + e / SIDE * TILE, TILE, 1);
                        stored(key_grads + j * width + e, width);
                        fetched_sums(turned_grads + e * STRIP, STRIP);
                        summed(k_turned + e * line + j, line, as_flows, TILE, 1);
                        stored(turned_grads + e * STRIP, STRIP);
                    }
                }
                for (count e = 0; e < width; e += SIDE)
                    for (count m = 0; m < STRIP; m += SIDE)
                        transposed(turned_grads + e * STRIP + m, STRIP * 4, query_grads + m * width + e, width * 4);
                put(of, query_grads, some, angle + i, gq + place * width, heads * width);
            }
            if (h % of->shared == of->shared - 1) {
                count to = (first * of->groups + g) * width, apart = of->groups * width;
                put(of, key_grads, tokens, angle, gk + to, apart);
                put(of, value_grads, tokens, -1, gv + to, apart);
            }
        }
    }
    _tile_release();
    return 1;
}

#else

int attention_fits(const Heads *of) { return 0; }

int attention_by_tiles(const Heads *of, const half *q, count q_apart, const half *k, count k_apart, const half *v,
                       count v_apart, half *out, float *most, float *share) {
    return 0;
}

int attention_by_tiles_backward(const Heads *of, const half *grad, count grad_apart, const half *q, count q_apart,
                                const half *k, count k_apart, const half *v, count v_apart, const half *out,
                                const float *most, const float *share, half *gq, half *gk, half *gv) {
    return 0;
}

#endif
