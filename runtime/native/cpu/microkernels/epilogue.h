// The end of every output row: y = clamp(scale * sum + shift + residual, act_min, act_max).
#pragma once

#include <stddef.h>

namespace sanp {

// Parallel arrays over the rows that a kernel computes; the pointers already stand at its first row.
struct Epilogue {
  const float* scale;
  const float* shift;
  float* const* y;
  const float* const* residual;  // null: none
  float act_min, act_max;

  // The rows from m on.
  Epilogue from(ptrdiff_t m) const {
    return {scale + m, shift + m, y + m, residual ? residual + m : nullptr, act_min, act_max};
  }
};

}  // namespace sanp
