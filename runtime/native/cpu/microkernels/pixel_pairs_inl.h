// Convolution on 2x2 and 1x1 maps: one group of 16 lanes holds all (output pixel, input pixel) pairs of a channel pair.
//
// The weights of a channel pair are one load; a permutation sends each tap to its pairs. At 2x2 that is 16 products for
// the 16 that are not padding, against 9 vectors with three quarters of their lanes empty in a pixel-lane tile, and
// inactive channels are skipped.
#pragma once

#include "cpu/microkernels/epilogue_inl.h"
#include "cpu/microkernels/pixel_pairs.h"

namespace sanp {

template <class V>
bool pairs_fit(const int32_t* taps, int n_taps) {
  typename V::Spread spread;
  for (int i = 0; i < kPairLanes; i += V::kLanes)
    if (!V::make_spread(taps + i, n_taps, &spread)) return false;
  return true;
}

template <class V, class T, int MR>
void multiply_pairs(const PairsCall& c) {
  constexpr int kParts = kPairLanes / V::kLanes;
  typename V::F acc[MR][kParts];
  typename V::Spread spread[kParts];
  const T* w[MR];
#pragma GCC unroll 8
  for (int m = 0; m < MR; ++m) {
    w[m] = static_cast<const T*>(c.w[m]);
#pragma GCC unroll 2
    for (int i = 0; i < kParts; ++i) acc[m][i] = V::zero();
  }
#pragma GCC unroll 2
  for (int i = 0; i < kParts; ++i) V::make_spread(c.taps + i * V::kLanes, c.n_taps, &spread[i]);

  const float* x = c.x;
  for (ptrdiff_t s = 0; s < c.n_steps; ++s, x += kPairLanes) {
    const ptrdiff_t at = c.steps[s].w_offset;
#pragma GCC unroll 8
    for (int m = 0; m < MR; ++m) fetch(w[m] + at, kFetchAhead);
#pragma GCC unroll 2
    for (int i = 0; i < kParts; ++i) {
      const typename V::F pixels = V::load(x + i * V::kLanes);
#pragma GCC unroll 8
      for (int m = 0; m < MR; ++m) V::accumulate(acc[m][i], V::load_spread(w[m] + at, spread[i]), pixels);
    }
  }
  // Stored by an unrolled loop: a run-time index into acc would keep all of it in memory throughout.
  float sums[MR][kPairLanes];
#pragma GCC unroll 8
  for (int m = 0; m < MR; ++m)
#pragma GCC unroll 2
    for (int i = 0; i < kParts; ++i) V::store(sums[m] + i * V::kLanes, acc[m][i]);
  for (int m = 0; m < MR; ++m) {
    const float* const lanes = sums[m];
    for (int p = 0; p < c.outputs; ++p) {
      float sum = 0;
      for (int q = 0; q < c.inputs; ++q) sum += lanes[p * c.inputs + q];
      store_pixel<V>(c.end, m, sum, p);
    }
  }
}

}  // namespace sanp
