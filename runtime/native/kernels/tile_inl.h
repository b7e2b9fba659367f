// The convolution micro-kernel: row-pointer GEMM with lanes = output pixels, for any SIMD wrapper V.
//
// Weights stay in OIHW order and are broadcast from MR row pointers, so an arbitrary list of output channels costs
// nothing; an arbitrary list of input channels costs one Step per taps * MR * NR multiply-adds.
#pragma once

#include "tile.h"

namespace sanp {

template <class V>
inline void store_pixels(const TileCall& c, const Vec& vec, int m, typename V::F sum) {
  using F = typename V::F;
  const F low = V::set1(c.act_min), high = V::set1(c.act_max);
  F out = V::fma(sum, V::set1(c.scale[m]), V::set1(c.shift[m]));
  for (int i = 0; i < vec.n_pieces; ++i) {
    const Piece& p = c.pieces[vec.piece + i];
    if (p.count == V::kLanes) {
      if (c.residual) out = V::add(out, V::load(c.residual[m] + p.offset));
      V::store(c.y[m] + p.offset, V::min(high, V::max(low, out)));
      continue;
    }
    F part = out;
    if (c.residual) part = V::add(part, V::load_part(c.residual[m] + p.offset, p.first, p.count));
    V::store_part(c.y[m] + p.offset, p.first, p.count, V::min(high, V::max(low, part)));
  }
}

// kTaps is the number of taps, 0 for "read it from the call".
template <class V, int MR, int NR, int kTaps>
void tile(const TileCall& c) {
  using F = typename V::F;
  F acc[MR][NR];
#pragma GCC unroll 16
  for (int m = 0; m < MR; ++m)
#pragma GCC unroll 16
    for (int v = 0; v < NR; ++v) acc[m][v] = V::zero();

  const float* w[MR];
#pragma GCC unroll 16
  for (int m = 0; m < MR; ++m) w[m] = c.w[m];
  ptrdiff_t at[NR];
#pragma GCC unroll 16
  for (int v = 0; v < NR; ++v) at[v] = c.vecs[v].x - c.vecs[0].x;

  const int32_t* const taps = c.taps;
  const int n_taps = kTaps ? kTaps : c.n_taps;
  const Step* const end = c.steps + c.n_steps;
  for (const Step* s = c.steps; s != end; ++s) {
    const float* const xs = c.x + s->x_index * c.x_step;
    const ptrdiff_t ws = s->w_offset;
#pragma GCC unroll 9
    for (int t = 0; t < n_taps; ++t) {
      const float* const xt = xs + taps[t];
      F x[NR];
#pragma GCC unroll 16
      for (int v = 0; v < NR; ++v) x[v] = V::load(xt + (v ? at[v] : 0));
#pragma GCC unroll 16
      for (int m = 0; m < MR; ++m) {
        const F weight = V::set1(w[m][ws + t]);
#pragma GCC unroll 16
        for (int v = 0; v < NR; ++v) acc[m][v] = V::fma(weight, x[v], acc[m][v]);
      }
    }
  }
#pragma GCC unroll 16
  for (int m = 0; m < MR; ++m)
#pragma GCC unroll 16
    for (int v = 0; v < NR; ++v) store_pixels<V>(c, c.vecs[v], m, acc[m][v]);
}

}  // namespace sanp
