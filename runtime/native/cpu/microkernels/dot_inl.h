// Convolution for up to four output pixels: lanes = consecutive weights of one row, one sum per pixel.
//
// A pixel-lane tile would leave most lanes empty here. The pixels are expanded to the full row length with zeros for
// inactive channels, because weights arrive in cache lines of 16 floats and skipping 9 of them saves no traffic.
#pragma once

#include "cpu/microkernels/dot.h"
#include "cpu/microkernels/epilogue_inl.h"

namespace sanp {

template <class V, class T, int MR, int P>
void dot_rows(const DotCall& c) {
  using F = typename V::F;
  F acc[MR][P];
#pragma GCC unroll 8
  for (int m = 0; m < MR; ++m)
#pragma GCC unroll 4
    for (int p = 0; p < P; ++p) acc[m][p] = V::zero();
  const T* w[MR];
#pragma GCC unroll 8
  for (int m = 0; m < MR; ++m) w[m] = static_cast<const T*>(c.w[m]);

  const int64_t full = c.k - c.k % V::kLanes;
  for (int64_t k = 0; k < full; k += V::kLanes) {
    F x[P];
#pragma GCC unroll 4
    for (int p = 0; p < P; ++p) x[p] = V::load(c.x + p * c.x_step + k);
#pragma GCC unroll 8
    for (int m = 0; m < MR; ++m) {
      const F weight = V::load(w[m] + k);
      fetch(w[m] + k, 2 * kFetchAhead);
#pragma GCC unroll 4
      for (int p = 0; p < P; ++p) V::accumulate(acc[m][p], weight, x[p]);
    }
  }
  if (full < c.k) {
#pragma GCC unroll 8
    for (int m = 0; m < MR; ++m) {
      const F weight = V::load_part(w[m] + full, V::mask(0, static_cast<int>(c.k - full)));
#pragma GCC unroll 4
      for (int p = 0; p < P; ++p) acc[m][p] = V::fma(weight, V::load(c.x + p * c.x_step + full), acc[m][p]);
    }
  }
#pragma GCC unroll 8
  for (int m = 0; m < MR; ++m)
#pragma GCC unroll 4
    for (int p = 0; p < P; ++p) store_pixel<V>(c.end, m, V::sum(acc[m][p]), c.first + p);
}

}  // namespace sanp
