// Dot products of one weight row with listed pixels: lanes = consecutive inputs of a pixel, one sum per pixel.
//
// The open pixels of a channel lie anywhere, so lanes cannot be pixels, and other channels have other pixels, so rows
// cannot share a load of x. Each product costs a load and a quarter: half of what the tiles reach at best.
#pragma once

#include "cpu/microkernels/listed_dot.h"

namespace sanp {

template <class V, int P>
void listed_dot(const ListedDot& c) {
  typename V::F acc[P];
#pragma GCC unroll 4
  for (int p = 0; p < P; ++p) acc[p] = V::zero();
  const int64_t full = c.length - c.length % V::kLanes;
  const auto tail = V::mask(0, static_cast<int>(c.length - full));
  const float* w = c.w;
  for (int64_t r = 0; r < c.runs; ++r, w += c.length) {
    const ptrdiff_t at = c.offsets[r];
    for (int64_t k = 0; k < full; k += V::kLanes) {
      const auto weight = V::load(w + k);
#pragma GCC unroll 4
      for (int p = 0; p < P; ++p) V::accumulate(acc[p], weight, V::load(c.x[p] + at + k));
    }
    if (full < c.length) {
      const auto weight = V::load_part(w + full, tail);
#pragma GCC unroll 4
      for (int p = 0; p < P; ++p) acc[p] = V::fma(weight, V::load_part(c.x[p] + at + full, tail), acc[p]);
    }
  }
#pragma GCC unroll 4
  for (int p = 0; p < P; ++p) c.sums[p] = V::sum(acc[p]);
}

}  // namespace sanp
