/* How heads are handed to attention.c and attention_tiles.c. */
#pragma once
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef uint16_t half;
typedef long long count;

/* What all calls have in common: heads of `width` numbers, `shared` query heads for each of `groups` key heads. */
typedef struct {
    count halves, tiles; /* whether numbers are bf16, and there are tiles for these */
    count rows, groups, shared, width;
    const count *starts, *lengths, *turns; /* of each row: its first token, its tokens, its first angle */
    const void *cosine, *sine;
    float scaling;
} Heads;

/* In bf16 by tiles; see attention.c. */
int attention_fits(const Heads *of);
int attention_by_tiles(const Heads *of, const half *q, count q_apart, const half *k, count k_apart, const half *v,
                       count v_apart, half *out, float *most, float *share);
int attention_by_tiles_backward(const Heads *of, const half *grad, count grad_apart, const half *q, count q_apart,
                                const half *k, count k_apart, const half *v, count v_apart, const half *out,
                                const float *most, const float *share, half *gq, half *gk, half *gv);
