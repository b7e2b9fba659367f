// What one call of a depthwise kernel for a stride of two is told: one output channel, all its pixels.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "cpu/microkernels/epilogue.h"

namespace sanp {

constexpr int kMaxStridedKernel = 5;

// One vector of output columns. Lane 0 of tap 0 reads input column x, which may lie before the map. Two vectors of
// consecutive columns hold tap k, an even number, in their even lanes and tap k + 1 in their odd ones; what lies beside
// the map is masked off and not touched.
struct StridedVec {
  int32_t x;
  int32_t y;                              // the first output column
  int32_t count;                          // outputs
  uint16_t masks[kMaxStridedKernel + 1];  // of the two vectors of taps 0, 2 and 4; one bit a lane
};

struct DepthwiseStridedCall {
  const float* x;         // the input channel
  int32_t width, height;  // of it; no height: the input channel is closed
  int32_t out_w, out_h;
  int32_t pad_top;
  const StridedVec* vecs;
  ptrdiff_t n_vecs;
  const float* w;
  Epilogue end;  // of one row of channels
};

using DepthwiseStridedFn = void (*)(const DepthwiseStridedCall&);

}  // namespace sanp
