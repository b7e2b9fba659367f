// The int8 functions of one instruction set, as data, and the choice among the sets of this build.
#pragma once

#include "cpu/int8/kernels/calls.h"

namespace sanp {

struct Int8Kernels {
  const char* name;
  int lanes;  // sums of 32 bits in a vector
  uint8_t flip;
  int compress_cost;  // of 64 bytes of weights, memory included, in products of as many bytes with one pixel
  int max_nr;
  int max_mr[kInt8MaxNr + 1];
  Int8TileFn tile[kInt8MaxNr + 1][kInt8MaxMr + 1];
  int dot_pixels, dot_rows;
  Int8DotFn dot[kInt8MaxDotPixels + 1][kInt8MaxDotRows + 1];
  void (*finish_sums)(const Int8Finish&, int rows, const int32_t* sums, int pixels);
  void (*finish_closed)(const Int8Finish&, float shift, const uint8_t* residual, uint8_t* y, ptrdiff_t pixels);
  void (*pack_quad)(const Int8Planes&, const uint8_t* const* channels, uint8_t zero, uint32_t* cells, uint8_t* out);
  void (*pack_inputs)(const uint8_t* const* channels, ptrdiff_t pixels, uint32_t* cells, uint8_t* out, ptrdiff_t step);
  void (*compress)(const int8_t* row, int taps, ptrdiff_t channels, const Int8Channels& active, int8_t* out);
  void (*max_pool)(const Int8PoolCall&);
  int32_t (*sum_weights)(const int8_t* row, ptrdiff_t n);                                       // n: a multiple of 4
  void (*channel_sums)(const uint8_t* x, ptrdiff_t channels, ptrdiff_t pixels, int32_t* sums);  // up to 2^23 pixels
};

const Int8Kernels& int8_avx512_kernels();
const Int8Kernels& int8_avxvnni_kernels();  // where the compiler knows the instruction
const Int8Kernels& int8_avx2_kernels();
const Int8Kernels& int8_neon_kernels();
const Int8Kernels& int8_portable_kernels();

constexpr size_t kMaxInt8Sets = 5;

// All sets that this CPU has, best first. Returns how many were written.
size_t usable_int8_sets(const Int8Kernels** out, size_t capacity);

// The best set that a session may use which asked for the float kernels of `isa`: "avx512", "avx2", "neon", "portable".
const Int8Kernels& int8_kernels_for(const char* isa);

}  // namespace sanp
