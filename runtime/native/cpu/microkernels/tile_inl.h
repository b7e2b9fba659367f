// The convolution micro-kernel: row-pointer GEMM with lanes = output pixels, for any SIMD wrapper V.
//
// Weights stay in OIHW order and are broadcast from MR row pointers, so an arbitrary list of output channels costs
// nothing; an arbitrary list of input channels costs one Step per taps * MR * NR multiply-adds.
#pragma once

#include "cpu/microkernels/epilogue_inl.h"
#include "cpu/microkernels/tile.h"

namespace sanp {

// One vector of pixels of MR output rows.
template <class V, int MR, bool kWhole>
inline void store_rows(const TileCall& c, const Vec& vec, typename V::F* const acc, int stride) {
  const Epilogue end = c.end;
  const typename V::Mask mask = V::mask(0, kWhole ? 0 : vec.count);
#pragma GCC unroll 16
  for (int m = 0; m < MR; ++m) store_pixels<V, kWhole>(end, m, acc[m * stride], vec.y, mask);
}

// The weights of the next block, fetched line by line: with one tap a channel is 4 bytes of each row, so that one line
// in 16 channels would do, but which of them begins a line depends on the list.
struct AheadLines {
  const void* const* row;
  ptrdiff_t bytes, at = 0;
  int rows;

  AheadLines(const TileCall& c, int n) : row(c.next_w), bytes(c.w_bytes), rows(n) {}

  void fetch_one() {
    if (rows == 0) return;
    fetch(*row, at);
    at += 64;
    if (at >= bytes) at = 0, ++row, --rows;
  }
};

// T is how weights are stored; kTaps is the number of taps, 0 for "read it from the call".
template <class V, class T, int MR, int NR, int kTaps>
void tile(const TileCall& c) {
  using F = typename V::F;
  F acc[MR][NR];
#pragma GCC unroll 16
  for (int m = 0; m < MR; ++m)
#pragma GCC unroll 16
    for (int v = 0; v < NR; ++v) acc[m][v] = V::zero();

  const T* w[MR];
#pragma GCC unroll 16
  for (int m = 0; m < MR; ++m) w[m] = static_cast<const T*>(c.w[m]);
  // Byte offsets: with element offsets GCC 12 keeps each of these twice, scaled and not, and runs out of registers.
  ptrdiff_t at[NR];
#pragma GCC unroll 16
  for (int v = 0; v < NR; ++v) at[v] = (c.vecs[v].x - c.vecs[0].x) * static_cast<ptrdiff_t>(sizeof(float));

#pragma GCC unroll 16
  for (int m = 0; m < MR; ++m)
#pragma GCC unroll 16
    for (int v = 0; v < NR; ++v) __builtin_prefetch(c.end.y[m] + c.vecs[v].y, 1);

  const char* const x0 = reinterpret_cast<const char*>(c.x);
  const ptrdiff_t x_step = c.x_step * static_cast<ptrdiff_t>(sizeof(float));
  const ptrdiff_t* const taps = c.taps;
  const int n_taps = kTaps ? kTaps : c.n_taps;
  const Step* const end = c.steps + c.n_steps;
  AheadLines ahead(c, MR);
  for (const Step* s = c.steps; s != end; ++s) {
    if (kTaps == 1 && c.next_w) ahead.fetch_one();
    const char* const xs = x0 + s->x_index * x_step;
    const ptrdiff_t ws = s->w_offset;
    // One vector of pixels uses a weight once, so these rows stream from memory as fast as they arrive.
    if (kTaps == 9 && NR == 1) {
#pragma GCC unroll 16
      for (int m = 0; m < MR; ++m) fetch(w[m] + ws, kFetchAhead);
    } else if (kTaps == 9 && c.next_w) {
#pragma GCC unroll 16
      for (int m = 0; m < MR; ++m) fetch(static_cast<const T*>(c.next_w[m]) + ws, 0);
    }
#pragma GCC unroll 9
    for (int t = 0; t < n_taps; ++t) {
      const char* const xt = xs + taps[t];
      F x[NR];
#pragma GCC unroll 16
      for (int v = 0; v < NR; ++v) x[v] = V::load(reinterpret_cast<const float*>(xt + (v ? at[v] : 0)));
#pragma GCC unroll 16
      for (int m = 0; m < MR; ++m) {
        if (NR == 1) {
          V::accumulate_weight(acc[m][0], x[0], w[m] + ws + t);
          continue;
        }
        const F weight = V::broadcast(w[m] + ws + t);
#pragma GCC unroll 16
        for (int v = 0; v < NR; ++v) V::accumulate(acc[m][v], weight, x[v]);
      }
    }
  }
#pragma GCC unroll 16
  for (int v = 0; v < NR; ++v) {
    if (c.vecs[v].count == V::kLanes)
      store_rows<V, MR, true>(c, c.vecs[v], &acc[0][v], NR);
    else
      store_rows<V, MR, false>(c, c.vecs[v], &acc[0][v], NR);
  }
}

}  // namespace sanp
