// Depthwise convolution of one channel: lanes = output pixels of a row, registers = output rows.
//
// Nothing is shared between channels, so a multiply-add has a load of its own unless rows share one: the input row
// under eight output rows of a 3x3 kernel is read 3 * 10 times instead of 3 * 24. Vectors at any column cross a cache
// line, at 16 lanes always, and then count twice.
#pragma once

#include "cpu/microkernels/depthwise.h"

namespace sanp {

// Output rows computed together: as many as the latency of two multiply-adds a cycle asks for.
constexpr int kDepthwiseRows = 8;

// The end of one channel, as in store_pixels, read once: a store could change what the call points to, for all the
// compiler knows.
template <class V>
struct ChannelEnd {
  typename V::F scale, shift, low, high;
  const float* residual;  // null: none
  float* y;

  ChannelEnd(const Epilogue& e, ptrdiff_t first_pixel)
      : scale(V::set1(e.scale[0])),
        shift(V::set1(e.shift[0])),
        low(V::set1(e.act_min)),
        high(V::set1(e.act_max)),
        residual(e.residual ? e.residual[0] + first_pixel : nullptr),
        y(e.y[0] + first_pixel) {}

  void store(typename V::F sum, ptrdiff_t at) const {
    typename V::F out = V::fma(sum, scale, shift);
    if (residual) out = V::add(out, V::load(residual + at));
    V::store(y + at, V::min(high, V::max(low, out)));
  }
  void store_part(typename V::F sum, ptrdiff_t at, typename V::Mask mask) const {
    typename V::F out = V::fma(sum, scale, shift);
    if (residual) out = V::add(out, V::load_part(residual + at, mask));
    V::store_part(y + at, mask, V::min(high, V::max(low, out)));
  }
};

// One chain of N taps into R output rows.
template <class V, int R, int N>
inline void add_chain(const float* x, ptrdiff_t pitch, const float* w, ptrdiff_t w_step, typename V::F* const acc) {
  typename V::F weight[N];
#pragma GCC unroll 8
  for (int j = 0; j < N; ++j) weight[j] = V::broadcast(w + j * w_step);
#pragma GCC unroll 16
  for (int i = 0; i < R + N - 1; ++i) {
    const typename V::F row = V::load(x);
    x += pitch;
#pragma GCC unroll 8
    for (int j = 0; j < N; ++j)
      if (i - j >= 0 && i - j < R) V::accumulate(acc[i - j], weight[j], row);
  }
}

// One vector of R output rows; `x` is the plane under its first lane, `at` where that lane is written.
template <class V, int R, bool kWhole>
inline void depthwise_tile(const DepthwiseCall& c, const float* x, const ChannelEnd<V>& end, ptrdiff_t at, int lanes) {
  typename V::F acc[R];
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) acc[r] = V::zero();
  const ptrdiff_t pitch = c.pitch;
  const TapChain* const last = c.chains + c.n_chains;
  for (const TapChain* t = c.chains; t != last; ++t) {
    const float* const from = reinterpret_cast<const float*>(reinterpret_cast<const char*>(x) + t->offset);
    const float* const w = c.w + t->weight;
    switch (t->length) {
      case 1:
        add_chain<V, R, 1>(from, pitch, w, 0, acc);
        break;
      case 2:
        add_chain<V, R, 2>(from, pitch, w, t->weight_step, acc);
        break;
      case 3:
        add_chain<V, R, 3>(from, pitch, w, t->weight_step, acc);
        break;
      case 4:
        add_chain<V, R, 4>(from, pitch, w, t->weight_step, acc);
        break;
      default:
        add_chain<V, R, kMaxChain>(from, pitch, w, t->weight_step, acc);
    }
  }
  // Lanes behind the end of a row land in the rows below, which are written later: a masked store of AVX2 takes as long
  // as ten whole ones. Only the end of the strip needs it.
  const ptrdiff_t limit = static_cast<ptrdiff_t>(c.rows) * c.cols - V::kLanes;
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r, at += c.cols) {
    if (kWhole || at <= limit)
      end.store(acc[r], at);
    else
      end.store_part(acc[r], at, V::mask(0, lanes));
  }
}

// R output rows from row `y` of the strip, the partial vectors of their ends first, see depthwise_tile.
template <class V, int R>
inline void depthwise_rows(const DepthwiseCall& c, const ChannelEnd<V>& end, ptrdiff_t y) {
  const float* const x = c.x + y * c.pitch;
  const ptrdiff_t at = y * c.cols;
  const int whole = c.cols / V::kLanes * V::kLanes;
  if (whole < c.cols) depthwise_tile<V, R, false>(c, x + whole, end, at + whole, c.cols - whole);
  for (int col = 0; col < whole; col += V::kLanes) depthwise_tile<V, R, true>(c, x + col, end, at + col, V::kLanes);
}

template <class V>
void depthwise(const DepthwiseCall& c) {
  const ChannelEnd<V> end(c.end, c.first_pixel);
  int y = 0;
  for (; y + kDepthwiseRows <= c.rows; y += kDepthwiseRows) depthwise_rows<V, kDepthwiseRows>(c, end, y);
  static_assert(kDepthwiseRows == 8, "one case per remainder");
  switch (c.rows - y) {
    case 1:
      return depthwise_rows<V, 1>(c, end, y);
    case 2:
      return depthwise_rows<V, 2>(c, end, y);
    case 3:
      return depthwise_rows<V, 3>(c, end, y);
    case 4:
      return depthwise_rows<V, 4>(c, end, y);
    case 5:
      return depthwise_rows<V, 5>(c, end, y);
    case 6:
      return depthwise_rows<V, 6>(c, end, y);
    case 7:
      return depthwise_rows<V, 7>(c, end, y);
    default:
      return;
  }
}

}  // namespace sanp
