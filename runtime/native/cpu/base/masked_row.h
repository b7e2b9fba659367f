// What a masked output channel is filled with: no sum, only what follows it.
#pragma once

#include <stdint.h>

namespace sanp {

// y = clamp(base + residual), pixel by pixel; residual null: none. NaN stays NaN.
inline void fill_masked_row(float base, const float* residual, int64_t pixels, float low, float high, float* y) {
  for (int64_t p = 0; p < pixels; ++p) {
    const float v = residual ? base + residual[p] : base;
    y[p] = v < low ? low : v > high ? high : v;
  }
}

}  // namespace sanp
