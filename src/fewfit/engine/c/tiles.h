/* What goes by tiles has in common: processors that multiply tiles of bf16 (AMX). Without them TILES is not defined. */
#pragma once
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef uint16_t half;
typedef long long count;

#if defined(__x86_64__) && defined(__AMX_BF16__) && defined(__AVX512BF16__) && defined(__linux__)
#define TILES
#include <immintrin.h>

#define SIDE 16               /* rows and columns of a tile of sums */
#define DEEP 32               /* inputs that one product of tiles takes */
#define TILE (SIDE * DEEP)    /* numbers of bf16 in a tile */

/* What was written is there: compilers are not told that instructions for tiles read memory. (Writing over what they read is
   safe behind a tile store, of which they are told.) */
#define SEEN(what) __asm__ volatile("" : : "r"(what) : "memory")

static inline count fitting(count size, count of) { return (size + of - 1) / of; }

/* Eight whole tiles; `_tile_release` when done. */
static inline void tiles_begin(void) {
    struct {
        uint8_t palette, start, reserved[14];
        uint16_t bytes[16];
        uint8_t rows[16];
    } shape __attribute__((aligned(64))) = {.palette = 1};
    for (int t = 0; t < 8; t++) shape.bytes[t] = 64, shape.rows[t] = SIDE;
    SEEN(&shape);
    _tile_loadconfig(&shape);
    SEEN(&shape); /* it lives until then */
}

static inline __m512 read_half(const half *from) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)from)), 16));
}

/* 16 rows of 16 numbers of fp32, or pairs of bf16, as columns; distances in bytes. */
static inline void transposed(const void *from, count apart, void *to, count to_apart) {
    __m512i r[16], s[16];
    for (int n = 0; n < 16; n++) r[n] = _mm512_loadu_si512((const char *)from + n * apart);
    for (int n = 0; n < 16; n += 2) {
        s[n] = _mm512_unpacklo_epi32(r[n], r[n + 1]);
        s[n + 1] = _mm512_unpackhi_epi32(r[n], r[n + 1]);
    }
    for (int n = 0; n < 16; n += 4) { /* r[n + c] has columns c, c + 4, c + 8 and c + 12 of rows n to n + 3 */
        r[n] = _mm512_unpacklo_epi64(s[n], s[n + 2]);
        r[n + 1] = _mm512_unpackhi_epi64(s[n], s[n + 2]);
        r[n + 2] = _mm512_unpacklo_epi64(s[n + 1], s[n + 3]);
        r[n + 3] = _mm512_unpackhi_epi64(s[n + 1], s[n + 3]);
    }
    for (int c = 0; c < 4; c++) {
        __m512i left = _mm512_shuffle_i32x4(r[c], r[4 + c], 0x88), right = _mm512_shuffle_i32x4(r[8 + c], r[12 + c], 0x88);
        _mm512_storeu_si512((char *)to + c * to_apart, _mm512_shuffle_i32x4(left, right, 0x88));
        _mm512_storeu_si512((char *)to + (8 + c) * to_apart, _mm512_shuffle_i32x4(left, right, 0xdd));
        left = _mm512_shuffle_i32x4(r[c], r[4 + c], 0xdd), right = _mm512_shuffle_i32x4(r[8 + c], r[12 + c], 0xdd);
        _mm512_storeu_si512((char *)to + (4 + c) * to_apart, _mm512_shuffle_i32x4(left, right, 0x88));
        _mm512_storeu_si512((char *)to + (12 + c) * to_apart, _mm512_shuffle_i32x4(left, right, 0xdd));
    }
}
#endif

/* See tiles.c. */
int tiles_product(count halves, count tokens, count inputs, const void *const *xs, const count *x_apart,
                  const count *x_width, count outputs, void *const *outs, const count *out_apart,
                  const count *out_width, half *const *packs, const count *packs_parts, const void *const *onto,
                  const count *onto_apart);
