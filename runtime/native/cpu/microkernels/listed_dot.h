// What one call of a kernel for listed pixels is told: one weight row times up to four pixels anywhere in a map.
#pragma once

#include <stddef.h>
#include <stdint.h>

namespace sanp {

constexpr int kListedMax = 4;

// A pixel's inputs are `runs` runs of `length` floats, the same distances for every pixel.
struct ListedDot {
  const float* x[kListedMax];  // where the first run of each pixel begins
  const ptrdiff_t* offsets;    // [runs], from there
  int64_t runs, length;
  const float* w;  // [runs][length]
  float* sums;     // one for each pixel
};

using ListedDotFn = void (*)(const ListedDot&);

}  // namespace sanp
