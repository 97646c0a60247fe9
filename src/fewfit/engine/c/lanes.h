/* One lane's adapters in bf16 by tiles (lanes.c). Functions say 0 for want of memory. */
#include "tiles.h"

/* Whether rows so wide can go through tiles whole. */
int lanes_fit(count width, count members, const count *widths, count rank);

/* h = x · Aᵀ, out += scale · h · Bᵀ for every sibling; A is `down`, thin × width, B `ups`, width × rank. */
int lane_forward(const half *x, count x_apart, count width, const half *down, const half *const *ups, count members,
                 count rank, count tokens, float *h, half *const *outs, const count *out_apart, const count *out_width,
                 float scale);

/* Gradients of A and of each B (none where `into_down` is null), and of x on top of gx (unless that is null). */
int lane_backward(const half *x, count x_apart, count width, const half *down, const half *const *ups, count members,
                  count rank, count tokens, const float *h, half *const *grads, const count *grad_apart,
                  const count *grad_width, float scale, float *into_down, float *const *into_ups, int fresh, half *gx,
                  count gx_apart);
