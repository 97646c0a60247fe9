/* What tiles.c and lanes.c share: processors that multiply tiles of bf16 (AMX). Without them TILES is not defined. */
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

/* What was written is there: compilers are not told that instructions for tiles read memory. */
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
}
#endif
