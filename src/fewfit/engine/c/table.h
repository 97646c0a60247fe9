/* How the lanes of a pass are handed to thin.c and lanes.c. */
#pragma once
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef uint16_t half;
typedef long long count;

/* Lanes alike that stand next to each other are a row of a table of numbers: their first token, where their vectors of
   weights lie and how far these are apart, how many lanes and tokens of each, the rank, where the vectors of gradients
   lie (0: none are wanted), how far apart and whether they begin anew, and where A and every sibling's B begin in a vector. */
enum { START, WEIGHTS, STRIDE, LANES, TOKENS, RANK, INTO, INTO_STRIDE, FRESH, A, B };
