// What one call of a dot-product kernel is told: a few weight rows times up to four expanded pixels.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "cpu/microkernels/tile.h"

namespace sanp {

constexpr int kDotMaxPixels = 4;
constexpr int kDotMaxRows = 4;

struct DotCall {
  const float* x;  // [pixels][x_step], zero from k to the next multiple of the lanes
  ptrdiff_t x_step;
  int64_t k;
  const void* const* w;  // rows of the type that the kernel reads
  int64_t first;         // index of the first pixel in y and residual
  Epilogue end;
};

using DotFn = void (*)(const DotCall&);

}  // namespace sanp
