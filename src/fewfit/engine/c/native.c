/* Steps of a decoder layer that torch takes several passes over memory for: norms and gates in bf16 and fp32 (rows.h),
   the others in bf16. One thread; arrays of bf16 are given as their bits. Every sum and product is fp32, and rounded
   once, when it is written. */
#include <stdint.h>
#include <string.h>

typedef uint16_t half;
typedef long long count;

static inline float wide(half h) {
    uint32_t bits = (uint32_t)h << 16;
    float f;
    memcpy(&f, &bits, 4);
    return f;
}

static inline half narrow(float f) { /* to nearest, ties to even */
    uint32_t bits;
    memcpy(&bits, &f, 4);
    return (half)((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

/* Products that are not rounded before the sum. Written out, since as a sum of products both parts of ln 2 below would
   be put together again (-fassociative-math). */
#ifdef __FP_FAST_FMAF
#define fused __builtin_fmaf
#else
#define fused(a, b, c) ((a) * (b) + (c))
#endif

/* Exact to a unit or two of fp32's last place; NaN stays NaN. */
static inline float exponential(float x) {
    x = x < -87.0f ? -87.0f : x;
    x = x > 88.0f ? 88.0f : x;
    float n = __builtin_rintf(x * 1.44269504f);
    float r = fused(n, 1.90465430e-9f, fused(n, -0.69314718f, x));
    float p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * r * r + r + 1.0f;
    int32_t power = ((int32_t)n + 127) << 23;
    float scale;
    memcpy(&scale, &power, 4);
    return p * scale;
}

#define CHUNK 256 /* numbers */

#define number half
#define READ wide
#define WRITE narrow
#define NAME(function) function##_16
#include "rows.h"
#undef number
#undef READ
#undef WRITE
#undef NAME

#define number float
#define READ
#define WRITE
#define NAME(function) function##_32
#include "rows.h"
#undef number
#undef READ
#undef WRITE
#undef NAME

/* Rotary embedding (sign 1) or its inverse (sign -1) of batch × key head × token × query head × width, with strides for
   all but the last; cosines and sines are batch × token × width, `each` apart for the batch (0 where it shares them). */
void rotate(const half *x, const count *from, half *out, const count *to, const half *cosine, const half *sine,
            count each, float sign, const count *shape) {
    count most = shape[4] / 2;
    for (count b = 0; b < shape[0]; b++)
        for (count g = 0; g < shape[1]; g++)
            for (count t = 0; t < shape[2]; t++) {
                const half *c = cosine + b * each + t * shape[4], *s = sine + b * each + t * shape[4];
                for (count r = 0; r < shape[3]; r++) {
                    const half *in = x + b * from[0] + g * from[1] + t * from[2] + r * from[3];
                    half *into = out + b * to[0] + g * to[1] + t * to[2] + r * to[3];
#pragma GCC ivdep
                    for (count e = 0; e < most; e++) {
                        float low = wide(in[e]), high = wide(in[e + most]);
                        into[e] = narrow(low * wide(c[e]) - sign * high * wide(s[e]));
                        into[e + most] = narrow(high * wide(c[e + most]) + sign * low * wide(s[e + most]));
                    }
                }
            }
}

/* out = grad with two more columns: minus its product with what attention gave, as upper and lower bits. `given` is
   contiguous, out too but for those columns. */
void widen(const half *grad, const count *from, const half *restrict given, half *restrict out, const count *shape) {
    count width = shape[4];
    for (count b = 0; b < shape[0]; b++)
        for (count g = 0; g < shape[1]; g++)
            for (count t = 0; t < shape[2]; t++)
                for (count r = 0; r < shape[3]; r++, given += width, out += width + 2) {
                    const half *restrict in = grad + b * from[0] + g * from[1] + t * from[2] + r * from[3];
                    float sum = 0.0f;
                    for (count e = 0; e < width; e++) {
                        out[e] = in[e];
                        sum -= wide(in[e]) * wide(given[e]);
                    }
                    out[width] = narrow(sum);
                    out[width + 1] = narrow(sum - wide(out[width]));
                }
}

/* p = exp(p), 0 where the key comes after the query; grad = grad · p. Items of keys × queries × heads that share. */
void weights(half *restrict p, half *restrict grad, count items, count keys, count queries, count shared, count start) {
    for (count i = 0; i < items; i++)
        for (count k = 0; k < keys; k++, p += queries * shared, grad += queries * shared) {
            count hidden = k > start ? (k - start) * shared : 0; /* queries before the key */
            memset(p, 0, hidden * sizeof(half));
            memset(grad, 0, hidden * sizeof(half));
            for (count q = hidden; q < queries * shared; q++) {
                float v = exponential(wide(p[q]));
                p[q] = narrow(v);
                grad[q] = narrow(v * wide(grad[q]));
            }
        }
}
