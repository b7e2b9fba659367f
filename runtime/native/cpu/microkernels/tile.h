// What one call of a convolution micro-kernel is told: MR output channels times NR vectors of output pixels.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "cpu/base/weights.h"
#include "cpu/microkernels/epilogue.h"

namespace sanp {

// One active input channel. Its taps start at w[w_offset] in every weight row and at x[x_index * x_step] in the pixels.
struct Step {
  int32_t x_index;
  int32_t w_offset;
};

// One vector of output pixels: its first lane reads at x + tap and is written at y; lanes from `count` on are dropped.
struct Vec {
  int32_t x;
  int32_t y;
  int32_t count;
};

// Output rows are parallel arrays of length MR.
struct TileCall {
  const float* x;  // where lane 0 of vecs[0] reads for tap offset 0
  ptrdiff_t x_step;
  const Step* steps;
  ptrdiff_t n_steps;
  const ptrdiff_t* taps;  // offset of each tap in x, in bytes
  int32_t n_taps;
  const Vec* vecs;            // NR of them
  const void* const* w;       // rows of the type that the kernel reads
  const void* const* next_w;  // MR rows to fetch into the cache meanwhile, or null
  ptrdiff_t w_bytes;          // of a row
  Epilogue end;
};

// Bytes that kernels which stream weights fetch ahead in each row. The hardware does this too, but not for four rows
// at once: 2x2 maps with 4 rows of AVX2 took 580 us per layer without and 365 with it, weights from memory. Twice as
// far gave 5 to 10 % back, because every row then fetches that much of a neighbour which may be masked.
constexpr ptrdiff_t kFetchAhead = 256;

// Static: the linker must not keep the copy of one instruction set for all.
static inline void fetch(const void* w, ptrdiff_t bytes) { __builtin_prefetch(static_cast<const char*>(w) + bytes); }

// The same into the second-level cache: what is used after more than the first level holds.
static inline void fetch_far(const void* w, ptrdiff_t bytes) {
  __builtin_prefetch(static_cast<const char*>(w) + bytes, 0, 1);
}

using TileFn = void (*)(const TileCall&);

// Tap counts with unrolled code. Everything else takes the loop.
enum Taps { kTaps1, kTaps9, kTapsAny, kTapsKinds };

}  // namespace sanp
