/* Norms and gates, included once for each type of numbers: `number`, read as fp32 by READ, rounded by WRITE, and NAME
   that makes the functions' names. A row of a norm is summed in an order that depends on its width alone. */

/* out = x · scale · weight, scale = 1 / sqrt(mean of squares + epsilon), a row at a time. */
void NAME(norm)(const number *restrict x, const number *restrict weight, float epsilon, number *restrict out,
                float *restrict scale, count rows, count width) {
    for (count n = 0; n < rows; n++, x += width, out += width) {
        float sum = 0.0f;
        for (count d = 0; d < width; d++) {
            float v = READ(x[d]);
            sum += v * v;
        }
        float s = 1.0f / __builtin_sqrtf(sum / width + epsilon);
        scale[n] = s;
        for (count d = 0; d < width; d++) out[d] = WRITE(READ(x[d]) * s * READ(weight[d]));
    }
}

/* The gradient of x, on top of what flows beside the norm (or of nothing). */
void NAME(norm_backward)(const number *restrict grad, const number *restrict x, const float *restrict scale,
                         const number *restrict weight, const number *restrict beside, number *restrict out,
                         count rows, count width) {
    for (count n = 0; n < rows; n++, grad += width, x += width, out += width) {
        float s = scale[n], along = 0.0f;
        for (count d = 0; d < width; d++) along += READ(grad[d]) * READ(weight[d]) * READ(x[d]);
        along *= -s * s * s / width;
        if (beside) {
            for (count d = 0; d < width; d++)
                out[d] = WRITE(READ(beside[d]) + READ(grad[d]) * READ(weight[d]) * s + READ(x[d]) * along);
            beside += width;
        } else {
            for (count d = 0; d < width; d++)
                out[d] = WRITE(READ(grad[d]) * READ(weight[d]) * s + READ(x[d]) * along);
        }
    }
}

/* Gates go by chunks of one size, the last one filled up, and through one piece of code: a compiler's own loop over
   what does not fill a vector may round otherwise, and then a number would depend on where it stands. */
static __attribute__((noinline)) void NAME(gated_chunk)(const number *restrict gate, const number *restrict up,
                                                        number *restrict out) {
    for (count i = 0; i < CHUNK; i++) {
        float g = READ(gate[i]);
        out[i] = WRITE(g / (1.0f + exponential(-g)) * READ(up[i]));
    }
}

static __attribute__((noinline)) void NAME(gated_backward_chunk)(number *restrict grad, const number *restrict gate,
                                                                 const number *restrict up,
                                                                 number *restrict up_grad) {
    for (count i = 0; i < CHUNK; i++) {
        float g = READ(gate[i]), flow = READ(grad[i]), e = exponential(-g), s = 1.0f / (1.0f + e);
        up_grad[i] = WRITE(flow * g * s);
        grad[i] = WRITE(flow * READ(up[i]) * s * (1.0f + g * (e * s))); /* e · s is 1 - s, exact where s is near 1 */
    }
}

/* out = silu(gate) · up */
void NAME(gated)(const number *gate, const number *up, number *out, count size) {
    for (; size >= CHUNK; size -= CHUNK, gate += CHUNK, up += CHUNK, out += CHUNK) NAME(gated_chunk)(gate, up, out);
    if (size) {
        number last[3][CHUNK] = {{0}};
        memcpy(last[0], gate, size * sizeof(number));
        memcpy(last[1], up, size * sizeof(number));
        NAME(gated_chunk)(last[0], last[1], last[2]);
        memcpy(out, last[2], size * sizeof(number));
    }
}

/* From the gradient of out, over which that of gate is written. */
void NAME(gated_backward)(number *grad, const number *gate, const number *up, number *up_grad, count size) {
    for (; size >= CHUNK; size -= CHUNK, grad += CHUNK, gate += CHUNK, up += CHUNK, up_grad += CHUNK)
        NAME(gated_backward_chunk)(grad, gate, up, up_grad);
    if (size) {
        number last[4][CHUNK] = {{0}};
        memcpy(last[0], grad, size * sizeof(number));
        memcpy(last[1], gate, size * sizeof(number));
        memcpy(last[2], up, size * sizeof(number));
        NAME(gated_backward_chunk)(last[0], last[1], last[2], last[3]);
        memcpy(grad, last[0], size * sizeof(number));
        memcpy(up_grad, last[3], size * sizeof(number));
    }
}
