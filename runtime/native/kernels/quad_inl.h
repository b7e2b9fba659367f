// Convolution on 2x2 and 1x1 maps: one vector holds all (output pixel, input pixel) pairs of one channel pair.
//
// The weights of a channel pair are one masked load; a permutation sends each tap to its pairs. At 2x2 that is one
// multiply-add for the 16 products that are not padding, against 9 in a pixel-lane tile with three quarters of the
// lanes empty, and inactive channels are skipped.
#pragma once

#include "quad.h"

namespace sanp {

template <class V, int MR>
void quad_rows(const QuadCall& c) {
  typename V::F acc[MR];
#pragma GCC unroll 8
  for (int m = 0; m < MR; ++m) acc[m] = V::zero();
  const float* w[MR];
#pragma GCC unroll 8
  for (int m = 0; m < MR; ++m) w[m] = c.w[m];

  const typename V::Spread spread = V::spread(c.taps);
  const typename V::Mask taps = V::mask(0, c.n_taps);
  const float* x = c.x;
  for (ptrdiff_t s = 0; s < c.n_steps; ++s, x += kQuadLanes) {
    const typename V::F pixels = V::load(x);
    const ptrdiff_t at = c.steps[s].w_offset;
#pragma GCC unroll 8
    for (int m = 0; m < MR; ++m) V::accumulate(acc[m], V::spread_taps(V::load_part(w[m] + at, taps), spread), pixels);
  }
  // Stored by an unrolled loop: a run-time index into acc would keep all of it in memory throughout.
  float sums[MR][kQuadLanes];
#pragma GCC unroll 8
  for (int m = 0; m < MR; ++m) V::store(sums[m], acc[m]);
  for (int m = 0; m < MR; ++m) {
    const float* const lanes = sums[m];
    for (int p = 0; p < c.outputs; ++p) {
      float sum = 0;
      for (int q = 0; q < c.inputs; ++q) sum += lanes[p * c.inputs + q];
      float out = sum * c.scale[m] + c.shift[m];
      if (c.residual) out += c.residual[m][p];
      out = out < c.act_min ? c.act_min : out;
      c.y[m][p] = out > c.act_max ? c.act_max : out;
    }
  }
}

}  // namespace sanp
