// What one call of a depthwise kernel without copies is told: one output channel, all its vectors.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "cpu/microkernels/epilogue.h"

namespace sanp {

// One vector of input columns: lane 0 of tap 0 would read x floats behind the channel, which may lie before it. What a
// tap would read outside the map is masked off and not touched.
struct EdgeVec {
  int32_t x;
  int32_t y;      // where the first output is written
  int32_t masks;  // of its taps: index of the first in DepthwiseInPlaceCall::masks
  int32_t count;  // outputs
};

struct DepthwiseInPlaceCall {
  const float* x;  // the input channel
  const EdgeVec* vecs;
  ptrdiff_t n_vecs;
  const ptrdiff_t* taps;  // in bytes from tap 0
  int32_t n_taps;         // 0: the input channel is closed
  const uint16_t* masks;  // one bit a lane
  const float* w;
  Epilogue end;  // of one row of channels
};

using DepthwiseInPlaceFn = void (*)(const DepthwiseInPlaceCall&);

constexpr int kMaxColumnStride = 2;

}  // namespace sanp
