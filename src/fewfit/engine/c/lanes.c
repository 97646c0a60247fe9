/* Lanes' adapters in bf16 by tiles: what thin.c does, several times as fast, and within the frozen product. Sums are fp32.
   Thin numbers (A·x, and the gradients of these) stay fp32 and go into a product as two numbers of bf16 beside each other,
   upper and lower bits, sixteen of their 24, with the matrix twice: a tile takes 32 inputs, and a usual rank fills no more
   than half of them. */
#include "table.h"
#include "tiles.h"

#ifdef TILES

#define STRIP 32 /* rows that go through tiles together */

enum {
    PACK,   /* matrices as tiles */
    ROWS,   /* a strip that is not full */
    SUMS,   /* what tiles gave */
    ALONG,  /* thin numbers in two parts, a row for each token */
    ACROSS, /* the same, a row for each thin number */
    PAIRS,  /* tokens in pairs */
    THIN,   /* gradients of thin numbers */
    GATED,  /* gradients of what a gate lets through */
    ROOMS
};

static _Thread_local char *room[ROOMS];

static int reserved(const count *bytes) {
    static _Thread_local count had[ROOMS];
    for (int which = 0; which < ROOMS; which++)
        if (bytes[which] > had[which]) {
            free(room[which]);
            had[which] = 0;
            room[which] = aligned_alloc(64, fitting(bytes[which], 64) * 64);
            if (!room[which]) return 0;
            had[which] = bytes[which];
        }
    return 1;
}

static count larger(count one, count other) { return one > other ? one : other; }

/* Room for some rows of one lane, or of nobody (rank 0). */
static int prepared(count width, count members, const count *widths, count rank, count tokens, int gates) {
    count filled = fitting(tokens, STRIP) * STRIP, widest = width, thin = members * rank;
    count twice = members * fitting(2 * rank, DEEP) * DEEP; /* inputs that thin numbers in two parts are at the most */
    for (count m = 0; m < members; m++) widest = larger(widest, widths[m]);
    count wanted[ROOMS] = {
        [PACK] = widest * twice * 2,
        [ROWS] = STRIP * widest * 2,
        [SUMS] = larger(STRIP, twice) * STRIP * 4,
        [ALONG] = filled * twice * 2,
        [ACROSS] = twice * filled * 2,
        [PAIRS] = filled * STRIP * 2,
        [THIN] = tokens * thin * 4,
        [GATED] = gates ? tokens * widest * 2 : 0,
    };
    return reserved(wanted);
}

/* 32 rows from the t-th on; where there are fewer left, a copy with zeros below. */
static const half *strip(const half *x, count *apart, count width, count t, count tokens) {
    if (tokens - t >= STRIP) return x + t * *apart;
    half *copy = (half *)room[ROWS];
    for (count n = 0; n < STRIP; n++) {
        if (t + n < tokens) memcpy(copy + n * width, x + (t + n) * *apart, width * 2);
        else memset(copy + n * width, 0, width * 2);
    }
    SEEN(copy);
    *apart = width;
    return copy;
}

/* ---- a lane's matrices as tiles: for each 16 outputs one tile for every 32 inputs, inputs in pairs ------------------------ */

static inline void pair_of(const half *both, half *to) { memcpy(to, both, 4); }

/* thin × width, each row's numbers next to each other: for products that take rows of that width. */
static half *packed_by_rows(const half *w, count thin, count width, half *all) {
    half *to = all;
    for (count c = 0; c < thin; c += SIDE)
        for (count d = 0; d < width; d += DEEP, to += TILE) {
            if (thin - c >= SIDE) {
                transposed(w + c * width + d, width * 2, to, DEEP * 2);
                continue;
            }
            memset(to, 0, TILE * 2);
            for (count n = 0; c + n < thin; n++)
                for (count p = 0; p < SIDE; p++) pair_of(w + (c + n) * width + d + 2 * p, to + p * DEEP + 2 * n);
        }
    SEEN(all);
    return all;
}

/* width × thin, for products that take rows of that width. */
static half *packed_by_columns(const half *w, count thin, count width, half *all) {
    half *to = all;
    for (count c = 0; c < thin; c += SIDE)
        for (count d = 0; d < width; d += DEEP, to += TILE) {
            count some = thin - c < SIDE ? thin - c : SIDE;
            if (some < SIDE) memset(to, 0, TILE * 2);
            for (count p = 0; p < SIDE; p++) {
                const half *one = w + (d + 2 * p) * thin + c, *two = one + thin;
                for (count n = 0; n < some; n++) to[p * DEEP + 2 * n] = one[n], to[p * DEEP + 2 * n + 1] = two[n];
            }
        }
    SEEN(all);
    return all;
}

/* width × thin, for products that take thin numbers in two halves: `deep` tiles for each 16 outputs. */
static half *packed_twice_by_rows(const half *w, count thin, count width, count deep, half *all) {
    half *to = all;
    if (2 * thin < deep * DEEP) memset(all, 0, width * deep * DEEP * 2);
    for (count o = 0; o < width; o += SIDE, to += deep * TILE)
        for (count n = 0; n < SIDE; n++)
            for (count k = 0; k < thin; k += 2) {
                pair_of(w + (o + n) * thin + k, to + k / 2 * DEEP + 2 * n); /* 16 pairs are a tile: they follow on */
                pair_of(w + (o + n) * thin + k, to + (k + thin) / 2 * DEEP + 2 * n);
            }
    SEEN(all);
    return all;
}

/* The same of thin × width. */
static half *packed_twice_by_columns(const half *w, count thin, count width, count deep, half *all) {
    half *to = all;
    if (2 * thin < deep * DEEP) memset(all, 0, width * deep * DEEP * 2);
    for (count o = 0; o < width; o += SIDE, to += deep * TILE)
        for (count k = 0; k < thin; k += 2) {
            const half *one = w + k * width + o, *two = one + width;
            half *upper = to + k / 2 * DEEP, *lower = to + (k + thin) / 2 * DEEP;
            for (count n = 0; n < SIDE; n++) upper[2 * n] = one[n], upper[2 * n + 1] = two[n];
            memcpy(lower, upper, DEEP * 2);
        }
    SEEN(all);
    return all;
}

/* ---- thin numbers in two halves ---------------------------------------------------------------------------------------- */

static inline __m512 widened(__m256i bits) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16));
}

/* Of up to 16 numbers; returns the upper halves, the lower ones are written to `lower`. */
static inline __m256i halved(const float *h, float scale, __mmask16 inside, __m256i *lower) {
    __m512 some = _mm512_mul_ps(_mm512_set1_ps(scale), _mm512_maskz_loadu_ps(inside, h));
    __m256i upper = (__m256i)_mm512_cvtneps_pbh(some);
    *lower = (__m256i)_mm512_cvtneps_pbh(_mm512_sub_ps(some, widened(upper)));
    return upper;
}

/* Each row's upper and then lower halves, times a factor, zeros after; rows of zeros up to a whole strip. */
static half *halves_along(const float *h, count apart, count thin, count tokens, count deep, float scale, half *all) {
    half *to = all;
    count wide = deep * DEEP;
    memset(all, 0, fitting(tokens, STRIP) * STRIP * wide * 2);
    for (count t = 0; t < tokens; t++, h += apart, to += wide)
        for (count k = 0; k < thin; k += SIDE) {
            __mmask16 inside = thin - k < SIDE ? (1u << (thin - k)) - 1 : 0xffff;
            __m256i lower, upper = halved(h + k, scale, inside, &lower);
            _mm256_mask_storeu_epi16(to + k, inside, upper);
            _mm256_mask_storeu_epi16(to + thin + k, inside, lower);
        }
    SEEN(all);
    return all;
}

/* The same turned, a row of tokens for each half: for sums over tokens. */
static half *halves_across(const float *h, count apart, count thin, count tokens) {
    half *all = (half *)room[ACROSS];
    count filled = fitting(tokens, STRIP) * STRIP;
    memset(all, 0, fitting(2 * thin, SIDE) * SIDE * filled * 2);
    for (count t = 0; t < tokens; t++, h += apart)
        for (count k = 0; k < thin; k += SIDE) {
            count some = thin - k < SIDE ? thin - k : SIDE;
            half upper[SIDE], lower[SIDE], *to = all + k * filled + t;
            __m256i rest, first = halved(h + k, 1.0f, some < SIDE ? (1u << some) - 1 : 0xffff, &rest);
            _mm256_storeu_si256((__m256i *)upper, first);
            _mm256_storeu_si256((__m256i *)lower, rest);
            for (count n = 0; n < some; n++) to[n * filled] = upper[n], to[(n + thin) * filled] = lower[n];
        }
    SEEN(all);
    return all;
}

/* ---- products ----------------------------------------------------------------------------------------------------------- */

/* h = x · w for all rows; `pack` has w as tiles. */
static void to_thin(const half *x, count x_apart, count width, count tokens, const half *pack, count thin, float *h,
                    count h_apart) {
    count deep = width / DEEP;
    float *sums = (float *)room[SUMS];
    for (count t = 0; t < tokens; t += STRIP) {
        count apart = x_apart;
        const half *rows = strip(x, &apart, width, t, tokens), *below = rows + SIDE * apart;
        count some = tokens - t < STRIP ? tokens - t : STRIP;
        for (count c = 0; c < thin; c += 2 * SIDE) {
            const half *left = pack + c / SIDE * deep * TILE, *right = left + deep * TILE;
            int both = c + SIDE < thin;
            _tile_zero(0);
            _tile_zero(1);
            _tile_zero(2);
            _tile_zero(3);
            for (count k = 0; k < deep; k++) {
                _tile_loadd(4, rows + k * DEEP, apart * 2);
                _tile_loadd(5, below + k * DEEP, apart * 2);
                _tile_loadd(6, left + k * TILE, 64);
                _tile_dpbf16ps(0, 4, 6);
                _tile_dpbf16ps(2, 5, 6);
                if (!both) continue;
                _tile_loadd(7, right + k * TILE, 64);
                _tile_dpbf16ps(1, 4, 7);
                _tile_dpbf16ps(3, 5, 7);
            }
            _tile_stored(0, sums, 128);
            _tile_stored(1, sums + SIDE, 128);
            _tile_stored(2, sums + 2 * SIDE * SIDE, 128);
            _tile_stored(3, sums + 2 * SIDE * SIDE + SIDE, 128);
            count columns = thin - c < 2 * SIDE ? thin - c : 2 * SIDE;
            for (count n = 0; n < some; n++)
                memcpy(h + (t + n) * h_apart + c, sums + n * 2 * SIDE, columns * 4);
        }
    }
}

/* out += h · w; `along` has h in halves, `pack` w twice, `deep` tiles for 16 outputs. */
static void to_wide(const half *along, count deep, const half *pack, count width, half *out, count apart, count tokens) {
    float *sums = (float *)room[SUMS];
    for (count o = 0; o < width; o += 2 * SIDE) {
        const half *left = pack + o / SIDE * deep * TILE, *right = left + deep * TILE, *rows = along;
        for (count t = 0; t < tokens; t += STRIP, rows += STRIP * deep * DEEP) {
            _tile_zero(0);
            _tile_zero(1);
            _tile_zero(2);
            _tile_zero(3);
            for (count k = 0; k < deep; k++) {
                _tile_loadd(4, rows + k * DEEP, deep * DEEP * 2);
                _tile_loadd(5, rows + (SIDE * deep + k) * DEEP, deep * DEEP * 2);
                _tile_loadd(6, left + k * TILE, 64);
                _tile_loadd(7, right + k * TILE, 64);
                _tile_dpbf16ps(0, 4, 6);
                _tile_dpbf16ps(1, 4, 7);
                _tile_dpbf16ps(2, 5, 6);
                _tile_dpbf16ps(3, 5, 7);
            }
            _tile_stored(0, sums, 128);
            _tile_stored(1, sums + SIDE, 128);
            _tile_stored(2, sums + 2 * SIDE * SIDE, 128);
            _tile_stored(3, sums + 2 * SIDE * SIDE + SIDE, 128);
            count some = tokens - t < STRIP ? tokens - t : STRIP;
            for (count n = 0; n < some; n++) {
                half *to = out + (t + n) * apart + o;
                __m512 low = read_half(to), high = read_half(to + SIDE);
                low = _mm512_add_ps(low, _mm512_load_ps(sums + n * 2 * SIDE));
                high = _mm512_add_ps(high, _mm512_load_ps(sums + n * 2 * SIDE + SIDE));
                _mm512_storeu_si512(to, (__m512i)_mm512_cvtne2ps_pbh(high, low));
            }
        }
    }
}

/* Tokens in pairs next to each other, 32 columns of all: two tiles a strip. Columns come as unpacking leaves them, in
   runs of four: 0, 8, 16 and 24 in the first tile. */
static void paired(const half *y, count apart, count tokens, half *all) {
    half *to = all;
    for (count t = 0; t < tokens; t += STRIP, to += 2 * TILE)
        for (count p = 0; p < SIDE; p++) {
            count at = t + 2 * p;
            __m512i one = _mm512_setzero_si512(), two = one;
            if (at < tokens) one = _mm512_loadu_si512(y + at * apart);
            if (at + 1 < tokens) two = _mm512_loadu_si512(y + (at + 1) * apart);
            _mm512_store_si512(to + p * DEEP, _mm512_unpacklo_epi16(one, two));
            _mm512_store_si512(to + TILE + p * DEEP, _mm512_unpackhi_epi16(one, two));
        }
    SEEN(all);
}

/* Sums over all strips of up to three tiles of `across` with the pairs, those with the first tile of pairs left in `sums`,
   those with the second right. */
static inline __attribute__((always_inline)) void over_strips(const half *across, count filled, const half *pairs,
                                                              float *sums, const int tiles) {
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    _tile_zero(4);
    _tile_zero(5);
    for (count s = 0; s < filled; s += STRIP, pairs += 2 * TILE) {
#define ONE_OF_TWO(FROM, A, B, C)                                                     \
    _tile_loadd(6, FROM, 64);                                                   \
    _tile_loadd(7, across + s, filled * 2);                                      \
    _tile_dpbf16ps(A, 7, 6);                                                    \
    if (tiles > 1) {                                                            \
        _tile_loadd(7, across + SIDE * filled + s, filled * 2);                   \
        _tile_dpbf16ps(B, 7, 6);                                                \
    }                                                                           \
    if (tiles > 2) {                                                            \
        _tile_loadd(7, across + 2 * SIDE * filled + s, filled * 2);               \
        _tile_dpbf16ps(C, 7, 6);                                                \
    }
        ONE_OF_TWO(pairs, 0, 1, 2)
        ONE_OF_TWO(pairs + TILE, 3, 4, 5)
#undef ONE_OF_TWO
    }
    _tile_stored(0, sums, 128);
    _tile_stored(3, sums + SIDE, 128);
    if (tiles > 1) {
        _tile_stored(1, sums + 2 * SIDE * SIDE, 128);
        _tile_stored(4, sums + 2 * SIDE * SIDE + SIDE, 128);
    }
    if (tiles > 2) {
        _tile_stored(2, sums + 4 * SIDE * SIDE, 128);
        _tile_stored(5, sums + 4 * SIDE * SIDE + SIDE, 128);
    }
}

/* g = scale · hᵀ · y (on top of what stands there, unless fresh), thin × width; `turned`: as width × thin. */
static void over_tokens(const half *across, count thin, const half *y, count apart, count width, count tokens, float *g,
                        float scale, int fresh, int turned) {
    count filled = fitting(tokens, STRIP) * STRIP, tiles = fitting(2 * thin, SIDE);
    float *sums = (float *)room[SUMS];
    half *pairs = (half *)room[PAIRS];
    __m512 times = _mm512_set1_ps(scale);
    __m512i left = _mm512_setr_epi32(0, 1, 2, 3, 16, 17, 18, 19, 4, 5, 6, 7, 20, 21, 22, 23);
    __m512i right = _mm512_setr_epi32(8, 9, 10, 11, 24, 25, 26, 27, 12, 13, 14, 15, 28, 29, 30, 31);
    for (count o = 0; o < width; o += 2 * SIDE) {
        paired(y + o, apart, tokens, pairs);
        for (count r = 0; r < tiles; r += 3) {
            const half *some = across + r * SIDE * filled;
            float *to = sums + r * 2 * SIDE * SIDE;
            if (tiles - r >= 3) over_strips(some, filled, pairs, to, 3);
            else if (tiles - r == 2) over_strips(some, filled, pairs, to, 2);
            else over_strips(some, filled, pairs, to, 1);
        }
        for (count k = 0; k < thin; k++) {
            const float *upper = sums + k * 2 * SIDE, *lower = upper + thin * 2 * SIDE;
            __m512 first = _mm512_add_ps(_mm512_load_ps(upper), _mm512_load_ps(lower));
            __m512 second = _mm512_add_ps(_mm512_load_ps(upper + SIDE), _mm512_load_ps(lower + SIDE));
            __m512 low = _mm512_mul_ps(times, _mm512_permutex2var_ps(first, left, second));
            __m512 high = _mm512_mul_ps(times, _mm512_permutex2var_ps(first, right, second));
            if (turned) {
                float line[2 * SIDE] __attribute__((aligned(64)));
                _mm512_store_ps(line, low);
                _mm512_store_ps(line + SIDE, high);
                float *to = g + o * thin + k;
                if (fresh) for (count n = 0; n < 2 * SIDE; n++) to[n * thin] = line[n];
                else for (count n = 0; n < 2 * SIDE; n++) to[n * thin] += line[n];
                continue;
            }
            float *to = g + k * width + o;
            if (!fresh) low = _mm512_add_ps(low, _mm512_loadu_ps(to)), high = _mm512_add_ps(high, _mm512_loadu_ps(to + SIDE));
            _mm512_storeu_ps(to, low);
            _mm512_storeu_ps(to + SIDE, high);
        }
    }
}

/* ---- one lane ------------------------------------------------------------------------------------------------------------ */

/* See rows.h. */
void gated_16(const half *gate, const half *up, half *out, count size);
void gated_backward_16(half *grad, const half *gate, const half *up, half *up_grad, count size);

typedef struct {
    const half *x;
    count x_apart, width, members;
    half *const *outs;
    const count *out_apart, *out_width;
    float scale;
    half *const *frozen; /* the siblings' weights as tiles, or null */
    const half *const *onto;
    const count *onto_apart;
    half *gated;
} Forward;

/* Of some rows from the `at`-th on: h = x · Aᵀ, out += scale · h · Bᵀ for every sibling, A and B in `vector` where `places`
   say, rank 0 where the rows are nobody's. With `frozen` outputs are written, x · Wᵀ + scale · h · Bᵀ on top of `onto`
   where there is any, rounded once. 0 for want of memory. */
static int rows_forward(const Forward *of, count at, count tokens, const half *vector, const count *places, count rank,
                        float *h) {
    count members = of->members, thin = members * rank, deep = fitting(2 * rank, DEEP), inputs = rank ? 1 + members : 1;
    if (!prepared(of->width, members, of->out_width, rank, tokens, 0)) return 0;
    half *pack = (half *)room[PACK], *along = (half *)room[ALONG];
    const void *xs[inputs], *under[members];
    void *outs[members];
    count aparts[inputs], widths[inputs], parts[members * inputs];
    half *packs[members * inputs];
    memset(packs, 0, sizeof packs);
    xs[0] = of->x + at * of->x_apart, aparts[0] = of->x_apart, widths[0] = of->width;
    tiles_begin();
    if (rank) {
        packed_by_rows(vector + *places, thin, of->width, pack);
        to_thin(xs[0], of->x_apart, of->width, tokens, pack, thin, h, thin);
    }
    for (count m = 0; m < members; m++) {
        count wide = of->out_width[m];
        outs[m] = of->outs[m] + at * of->out_apart[m];
        under[m] = of->onto && of->onto[m] ? of->onto[m] + at * of->onto_apart[m] : 0;
        if (of->frozen) packs[m * inputs] = of->frozen[m];
        if (!rank) continue;
        halves_along(h + m * rank, thin, rank, tokens, deep, of->scale, along);
        packed_twice_by_rows(vector + places[1 + m], rank, wide, deep, pack);
        if (!of->frozen) {
            to_wide(along, deep, pack, wide, outs[m], of->out_apart[m], tokens);
            continue;
        }
        xs[1 + m] = along, aparts[1 + m] = widths[1 + m] = deep * DEEP;
        packs[m * inputs + 1 + m] = pack;
        along += fitting(tokens, STRIP) * STRIP * deep * DEEP, pack += wide * deep * DEEP;
    }
    _tile_release();
    if (!of->frozen) return 1;
    for (count p = 0; p < members * inputs; p++) parts[p] = 1;
    if (!tiles_product(1, tokens, inputs, xs, aparts, widths, members, outs, of->out_apart, of->out_width, packs, parts,
                       under, of->onto_apart))
        return 0;
    if (of->gated) gated_16(outs[0], outs[1], of->gated + at * *of->out_width, tokens * *of->out_width);
    return 1;
}

typedef struct {
    const half *x;
    count x_apart, width, members;
    half *const *grads;
    const count *grad_apart, *grad_width;
    float scale;
    half *gx;
    count gx_apart;
    half *const *frozen; /* the siblings' weights as tiles, turned, or null */
    const half *const *gates;
} Backward;

/* Gradients of A and of each B into `into`, unless that is null, and of x (unless gx is null): on top of gx, or with
   `frozen` all of it. */
static int rows_backward(const Backward *of, count at, count tokens, const half *vector, const count *places, count rank,
                         const float *h, float *into, int fresh) {
    count members = of->members, thin = members * rank, inputs = rank ? members + 1 : members;
    if (!prepared(of->width, members, of->grad_width, rank, tokens, of->gates != 0)) return 0;
    const half *x = of->x + at * of->x_apart;
    half *pack = (half *)room[PACK], *along = (half *)room[ALONG], *gx = of->gx ? of->gx + at * of->gx_apart : 0;
    float *gh = (float *)room[THIN];
    const void *xs[inputs], *nothing = 0;
    count aparts[inputs], widths[inputs], parts[inputs], none = 0, deep = fitting(2 * thin, DEEP);
    half *packs[inputs];
    for (count m = 0; m < members; m++) {
        xs[m] = of->grads[m] + at * of->grad_apart[m], aparts[m] = of->grad_apart[m], widths[m] = of->grad_width[m];
        packs[m] = of->frozen ? of->frozen[m] : 0;
    }
    if (of->gates) {
        count from = at * *widths;
        xs[1] = room[GATED], aparts[1] = *widths;
        gated_backward_16((half *)xs[0], of->gates[0] + from, of->gates[1] + from, (half *)xs[1], tokens * *widths);
    }
    tiles_begin();
    for (count m = 0; rank && m < members; m++) {
        packed_by_columns(vector + places[1 + m], rank, widths[m], pack);
        to_thin(xs[m], aparts[m], widths[m], tokens, pack, rank, gh + m * rank, thin);
        if (into)
            over_tokens(halves_across(h + m * rank, thin, rank, tokens), rank, xs[m], aparts[m], widths[m], tokens,
                        into + places[1 + m], of->scale, fresh, 1);
    }
    if (rank && into)
        over_tokens(halves_across(gh, thin, thin, tokens), thin, x, of->x_apart, of->width, tokens, into + *places,
                    of->scale, fresh, 0);
    if (rank && gx) {
        halves_along(gh, thin, thin, tokens, deep, of->scale, along);
        packed_twice_by_columns(vector + *places, thin, of->width, deep, pack);
        if (!of->frozen) to_wide(along, deep, pack, of->width, gx, of->gx_apart, tokens);
        xs[members] = along, aparts[members] = widths[members] = deep * DEEP, packs[members] = pack;
    }
    _tile_release();
    if (!gx || !of->frozen) return 1;
    for (count i = 0; i < inputs; i++) parts[i] = 1;
    void *out = gx;
    return tiles_product(1, tokens, inputs, xs, aparts, widths, 1, &out, &of->gx_apart, &of->width, packs, parts, &nothing,
                         &none);
}

/* ---- a whole pass -------------------------------------------------------------------------------------------------------- */

/* Every lane's B·A·x added to its rows of the outputs; h keeps A·x, lane after lane. With `frozen` outputs are written, of
   nobody's rows among the `rows` of x too; and with `gated` they are a gate and what it lets through, all dense, and what
   comes through is written there. Widths are multiples of 32, ranks even. 0 for want of memory. */
int lanes_forward(const count *table, count pieces, count rows, const half *x, count x_apart, count width, count members,
                  float *h, half *const *outs, const count *out_apart, const count *out_width, float scale,
                  half *const *frozen, const half *const *onto, const count *onto_apart, half *gated) {
    Forward of = {x, x_apart, width, members, outs, out_apart, out_width, scale, frozen, onto, onto_apart, gated};
    count done = 0;
    for (count p = 0; p < pieces; p++, table += B + members) {
        count tokens = table[TOKENS], at = table[START];
        if (frozen && done < at && !rows_forward(&of, done, at - done, 0, 0, 0, 0)) return 0;
        for (count lane = 0; lane < table[LANES]; lane++, at += tokens, h += tokens * members * table[RANK]) {
            const half *vector = (const half *)table[WEIGHTS] + lane * table[STRIDE];
            if (!rows_forward(&of, at, tokens, vector, table + A, table[RANK], h)) return 0;
        }
        done = at;
    }
    return !frozen || done == rows || rows_forward(&of, done, rows - done, 0, 0, 0, 0);
}

/* Gradients of all lanes' matrices and of x; with `frozen` of nobody's rows too. With `gates`, the outputs of a gate and of
   what it lets through, the one gradient given is that of what came through; all dense, and it is written over. */
int lanes_backward(const count *table, count pieces, count rows, const half *x, count x_apart, count width, count members,
                   const float *h, half *const *grads, const count *grad_apart, const count *grad_width, float scale,
                   half *gx, count gx_apart, half *const *frozen, const half *const *gates) {
    Backward of = {x, x_apart, width, members, grads, grad_apart, grad_width, scale, gx, gx_apart, frozen, gates};
    count done = 0;
    for (count p = 0; p < pieces; p++, table += B + members) {
        count tokens = table[TOKENS], at = table[START];
        if (frozen && done < at && !rows_backward(&of, done, at - done, 0, 0, 0, 0, 0, 0)) return 0;
        for (count lane = 0; lane < table[LANES]; lane++, at += tokens, h += tokens * members * table[RANK]) {
            const half *vector = (const half *)table[WEIGHTS] + lane * table[STRIDE];
            float *into = table[INTO] ? (float *)table[INTO] + lane * table[INTO_STRIDE] : 0;
            if (!rows_backward(&of, at, tokens, vector, table + A, table[RANK], h, into, table[FRESH])) return 0;
        }
        done = at;
    }
    return !frozen || done == rows || rows_backward(&of, done, rows - done, 0, 0, 0, 0, 0, 0);
}

#else

int lanes_forward(const count *table, count pieces, count rows, const half *x, count x_apart, count width, count members,
                  float *h, half *const *outs, const count *out_apart, const count *out_width, float scale,
                  half *const *frozen, const half *const *onto, const count *onto_apart, half *gated) {
    return 0;
}

int lanes_backward(const count *table, count pieces, count rows, const half *x, count x_apart, count width, count members,
                   const float *h, half *const *grads, const count *grad_apart, const count *grad_width, float scale,
                   half *gx, count gx_apart, half *const *frozen, const half *const *gates) {
    return 0;
}

#endif
