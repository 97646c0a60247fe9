/* Products with frozen weights on processors that multiply tiles of bf16 (AMX), in fp32 as well: a number of fp32 is the
   sum of three of bf16, and a product of such sums is what their parts give, up to the last place of fp32. Weights that
   came as bf16 are one part, so three products of bf16 make one of fp32, which is several times as fast as fp32's own.

   A row's sums depend on nothing but the row and the weights. One thread; arrays of bf16 are given as their bits. */
#include "tiles.h"

#ifdef TILES
#include <sys/syscall.h>
#include <unistd.h>

#define PARTS 3        /* of a number of fp32 */
#define HELD (1 << 19) /* bytes of split rows that stay in the second cache beside the weights */

/* The system gives leave to use tiles, once a process. */
int tiles_allowed(void) { return syscall(SYS_arch_prctl, 0x1023, 18) == 0; }

/* A weight as tiles: its parts for 16 outputs and 32 inputs next to each other, inputs in pairs, zeros around. `step`
   is how far outputs and inputs are apart. */
void tiles_packed(const void *weight, count halves, count out_step, count in_step, count outs, count ins, count parts,
                  half *to) {
    for (count o = 0; o < fitting(outs, SIDE) * SIDE; o += SIDE)
        for (count i = 0; i < fitting(ins, DEEP) * DEEP; i += DEEP, to += parts * TILE)
            for (count pair = 0; pair < DEEP; pair += 2)
                for (count n = 0; n < SIDE; n++)
                    for (count e = 0; e < 2; e++) {
                        count in = i + pair + e, out = o + n, inside = in < ins && out < outs;
                        count at = out * out_step + in * in_step;
                        half *place = to + (pair / 2 * SIDE + n) * 2 + e;
                        if (halves) {
                            *place = inside ? ((const half *)weight)[at] : 0;
                            continue;
                        }
                        float left = inside ? ((const float *)weight)[at] : 0.0f;
                        for (count part = 0; part < parts; part++) {
                            uint32_t bits, cut;
                            memcpy(&bits, &left, 4);
                            cut = (bits + 0x7fff + ((bits >> 16) & 1)) & 0xffff0000u;
                            if (left != left) cut = 0x7fc00000u; /* of some, rounding would make a number */
                            place[part * TILE] = (half)(cut >> 16);
                            float taken;
                            memcpy(&taken, &cut, 4);
                            left -= taken;
                        }
                    }
}

/* Rows of fp32 as tiles of their three parts, or rows of bf16 as tiles; zeros around. */
static void split(const char *rows, int halves, count apart, count tokens, count width, half *to) {
    count deep = fitting(width, DEEP), parts = halves ? 1 : PARTS;
    for (count n = 0; n < fitting(tokens, 2 * SIDE) * 2 * SIDE; n++) {
        half *place = to + (n / SIDE * deep * parts * SIDE + n % SIDE) * DEEP;
        for (count k = 0; k < deep; k++, place += parts * TILE) {
            count some = n < tokens ? width - k * DEEP : 0;
            __mmask32 inside = some >= DEEP ? 0xffffffffu : (1u << some) - 1;
            if (halves) {
                _mm512_storeu_si512(place, _mm512_maskz_loadu_epi16(inside, (const half *)rows + n * apart + k * DEEP));
                continue;
            }
            const float *from = (const float *)rows + n * apart + k * DEEP;
            __m512 low = _mm512_maskz_loadu_ps((__mmask16)inside, from);
            __m512 high = _mm512_maskz_loadu_ps((__mmask16)(inside >> 16), from + SIDE);
            for (int part = 0; part < PARTS; part++) {
                __m512i cut = (__m512i)_mm512_cvtne2ps_pbh(high, low);
                _mm512_storeu_si512(place + part * TILE, cut);
                __m512i below = _mm512_cvtepu16_epi32(_mm512_castsi512_si256(cut));
                __m512i above = _mm512_cvtepu16_epi32(_mm512_extracti64x4_epi64(cut, 1));
                low = _mm512_sub_ps(low, _mm512_castsi512_ps(_mm512_slli_epi32(below, 16)));
                high = _mm512_sub_ps(high, _mm512_castsi512_ps(_mm512_slli_epi32(above, 16)));
            }
        }
    }
}

/* Adds to the four tiles of sums what 32 rows and 32 outputs have in common (to two of them, where the `lower` 16 rows are
   none); parts whose product is below the last place are left out. */
static inline __attribute__((always_inline)) void summed(const half *upper, const half *lower, const half *left,
                                                         const half *right, count deep, count apart, const int both,
                                                         const int parts, const int rows_parts) {
    count on = apart == DEEP ? rows_parts * TILE : DEEP; /* rows lie as tiles, or as they came */
    for (count k = 0; k < deep; k++, left += parts * TILE, right += parts * TILE, upper += on, lower += on)
        for (int w = 0; w < parts; w++) {
            _tile_loadd(6, left + w * TILE, 64);
            _tile_loadd(7, right + w * TILE, 64);
#pragma GCC unroll 3
            for (int x = 0; x < rows_parts; x++) {
                if (x + w >= PARTS) break;
                _tile_loadd(4, upper + x * TILE, apart * 2);
                _tile_dpbf16ps(0, 4, 6);
                _tile_dpbf16ps(1, 4, 7);
                if (!both) continue;
                _tile_loadd(5, lower + x * TILE, apart * 2);
                _tile_dpbf16ps(2, 5, 6);
                _tile_dpbf16ps(3, 5, 7);
            }
        }
}

static void written(const float *sums, char *out, const char *onto, count out_apart, count onto_apart, int halves,
                    count rows, count columns) {
    for (count n = 0; n < rows; n++, sums += 2 * SIDE) {
        if (halves && columns == 2 * SIDE) {
            __m512 low = _mm512_loadu_ps(sums), high = _mm512_loadu_ps(sums + SIDE);
            if (onto) {
                const half *old = (const half *)onto + n * onto_apart;
                __m512i below = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)old));
                __m512i above = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)(old + SIDE)));
                low = _mm512_add_ps(low, _mm512_castsi512_ps(_mm512_slli_epi32(below, 16)));
                high = _mm512_add_ps(high, _mm512_castsi512_ps(_mm512_slli_epi32(above, 16)));
            }
            _mm512_storeu_si512((half *)out + n * out_apart, (__m512i)_mm512_cvtne2ps_pbh(high, low));
            continue;
        }
        for (count c = 0; c < columns; c += SIDE) {
            __mmask16 inside = columns - c >= SIDE ? 0xffff : (1u << (columns - c)) - 1;
            __m512 sum = _mm512_loadu_ps(sums + c);
            if (halves) {
                if (onto) {
                    __m256i old = _mm256_maskz_loadu_epi16(inside, (const half *)onto + n * onto_apart + c);
                    __m512i bits = _mm512_slli_epi32(_mm512_cvtepu16_epi32(old), 16);
                    sum = _mm512_add_ps(sum, _mm512_castsi512_ps(bits));
                }
                _mm256_mask_storeu_epi16((half *)out + n * out_apart + c, inside, (__m256i)_mm512_cvtneps_pbh(sum));
            } else {
                if (onto)
                    sum = _mm512_add_ps(sum, _mm512_maskz_loadu_ps(inside, (const float *)onto + n * onto_apart + c));
                _mm512_mask_storeu_ps((float *)out + n * out_apart + c, inside, sum);
            }
        }
    }
}

/* For every output: the sum over all inputs of x · wᵀ, on top of `onto` (rows of its own distance, 0 for one row that
   serves all) where there is one. `packs` are outputs × inputs, null where an output has nothing of an input. 0 for want
   of memory. */
int tiles_product(count halves, count tokens, count inputs, const void *const *xs, const count *x_apart,
                  const count *x_width, count outputs, void *const *outs, const count *out_apart,
                  const count *out_width, half *const *packs, const count *packs_parts, const void *const *onto,
                  const count *onto_apart) {
    static _Thread_local half *room;
    static _Thread_local count had;
    count size = halves ? 2 : 4, parts = halves ? 1 : PARTS, all = 0;
    for (count i = 0; i < inputs; i++) all += fitting(x_width[i], DEEP) * DEEP * parts;
    count block = HELD / 2 / all / 32 * 32;
    block = block < 64 ? 64 : block > 512 ? 512 : block;
    block = tokens < block ? fitting(tokens, 32) * 32 : block;
    if (block * all > had) {
        free(room);
        room = aligned_alloc(64, block * all * 2);
        had = room ? block * all : 0;
        if (!room) return 0;
    }
    tiles_begin();
    for (count from = 0; from < tokens; from += block) {
        count now = tokens - from < block ? tokens - from : block, filled = fitting(now, 32) * 32;
        half *at = room;
        for (count i = 0; i < inputs; i++) { /* of whole tiles of bf16 only the last rows need to be filled up */
            count whole = halves && x_width[i] % DEEP == 0 ? now / (2 * SIDE) * 2 * SIDE : 0;
            half *to = at + whole * fitting(x_width[i], DEEP) * DEEP * parts;
            const char *rest = (const char *)xs[i] + (from + whole) * x_apart[i] * size;
            if (whole < now) split(rest, halves, x_apart[i], now - whole, x_width[i], to);
            at += filled * fitting(x_width[i], DEEP) * DEEP * parts;
        }
        SEEN(room);
        for (count m = 0; m < outputs; m++)
            for (count o = 0; o < out_width[m]; o += 2 * SIDE)
                for (count t = 0; t < now; t += 2 * SIDE) {
                    const half *rows = room;
                    _tile_zero(0);
                    _tile_zero(1);
                    _tile_zero(2);
                    _tile_zero(3);
                    for (count i = 0; i < inputs; i++) {
                        count deep = fitting(x_width[i], DEEP), p = packs_parts[m * inputs + i];
                        if (!packs[m * inputs + i]) {
                            rows += filled * DEEP * deep * parts;
                            continue;
                        }
                        const half *left = packs[m * inputs + i] + o * DEEP * deep * p;
                        const half *right = left + (o + SIDE < out_width[m] ? deep * p * TILE : 0);
                        const half *upper = rows + t * DEEP * deep * parts, *lower = upper + deep * parts * TILE;
                        count apart = DEEP;
                        if (halves && x_width[i] % DEEP == 0 && now - t >= 2 * SIDE) {
                            apart = x_apart[i];
                            upper = (const half *)xs[i] + (from + t) * apart;
                            lower = upper + SIDE * apart;
                        }
#define SUMMED(W, X) \
    now - t > SIDE ? summed(upper, lower, left, right, deep, apart, 1, W, X) \
                   : summed(upper, lower, left, right, deep, apart, 0, W, X)
                        if (halves) SUMMED(1, 1);
                        else if (p == 1) SUMMED(1, PARTS);
                        else SUMMED(PARTS, PARTS);
#undef SUMMED
                        rows += filled * DEEP * deep * parts;
                    }
                    char *out = (char *)outs[m] + ((from + t) * out_apart[m] + o) * size;
                    const char *old = onto[m] ? (const char *)onto[m] + ((from + t) * onto_apart[m] + o) * size : 0;
                    count height = now - t < 32 ? now - t : 32, columns = out_width[m] - o < 32 ? out_width[m] - o : 32;
                    if (!halves && !old && height == 32 && columns == 32) {
                        count apart = out_apart[m] * 4;
                        _tile_stored(0, out, apart);
                        _tile_stored(1, out + 64, apart);
                        _tile_stored(2, out + 16 * apart, apart);
                        _tile_stored(3, out + 16 * apart + 64, apart);
                        continue;
                    }
                    float sums[4 * SIDE * SIDE] __attribute__((aligned(64)));
                    _tile_stored(0, sums, 128);
                    _tile_stored(1, sums + SIDE, 128);
                    _tile_stored(2, sums + 2 * SIDE * SIDE, 128);
                    _tile_stored(3, sums + 2 * SIDE * SIDE + SIDE, 128);
                    written(sums, out, old, out_apart[m], onto_apart[m], halves, height, columns);
                }
    }
    _tile_release();
    return 1;
}

#else

int tiles_allowed(void) { return 0; }

void tiles_packed(const void *weight, count halves, count out_step, count in_step, count outs, count ins, count parts,
                  half *to) {}

int tiles_product(count halves, count tokens, count inputs, const void *const *xs, const count *x_apart,
                  const count *x_width, count outputs, void *const *outs, const count *out_apart,
                  const count *out_width, half *const *packs, const count *packs_parts, const void *const *onto,
                  const count *onto_apart) {
    return 0;
}

#endif
