// What one call of a depthwise kernel is told: one output channel, a strip of its output rows.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "cpu/microkernels/epilogue.h"

namespace sanp {

// Taps of one kernel column that lie in consecutive plane rows. An input row that is read for one of them is read for
// all: it meets the first weight for the output row of its number, the second for the one above, and so on.
struct TapChain {
  ptrdiff_t offset;  // of the first tap in the planes, in bytes
  int32_t weight;    // index of its weight
  int32_t weight_step;
  int32_t length;  // at most kMaxChain
};

constexpr int kMaxChain = 5;

struct DepthwiseCall {
  const float* x;   // the planes of the input channel
  ptrdiff_t pitch;  // floats from one plane row to the next
  const TapChain* chains;
  int32_t n_chains;    // 0: the input channel is closed
  int32_t rows, cols;  // output pixels of the strip
  const float* w;
  int64_t first_pixel;  // of the strip in the channel
  Epilogue end;         // of one row of channels
};

using DepthwiseFn = void (*)(const DepthwiseCall&);

}  // namespace sanp
