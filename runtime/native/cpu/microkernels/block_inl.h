// The layers of a fused block with lanes = open channels: expansion, depthwise layer, and rows of weights turned.
//
// The channels of a block are packed, so nothing in here knows of closed ones, and a depthwise layer has full vectors
// on maps of any size.
#pragma once

#include "cpu/microkernels/block.h"
#include "cpu/microkernels/channels_inl.h"

namespace sanp {

// Fetches the lines of some rows, one at a time and row by row: the hardware then sees streams and fetches ahead.
class RowFetcher {
 public:
  __attribute__((always_inline)) explicit RowFetcher(const FetchRows& next) : next_(next), wait_(next.steps) {}
  __attribute__((always_inline)) void step() {
    if (row_ == next_.count || --wait_ > 0) return;
    wait_ = next_.steps;
    fetch_far(next_.rows[row_], line_ * kLineBytes);
    if (++line_ < next_.lines) return;
    line_ = 0;
    ++row_;
  }

 private:
  const FetchRows& next_;
  int32_t wait_, row_ = 0, line_ = 0;
};

// P pixels of one pack. The order of products is that of tile_inl.h.
template <class V, int P>
void expand_tile(const ExpandCall& c) {
  constexpr int NV = kPackLanes / V::kLanes;
  using F = typename V::F;
  F acc[P][NV];
#pragma GCC unroll 32
  for (int p = 0; p < P; ++p)
#pragma GCC unroll 4
    for (int v = 0; v < NV; ++v) acc[p][v] = V::zero();
  const Step* const end = c.steps + c.n_steps;
  RowFetcher next(c.next);
  for (const Step* s = c.steps; s != end; ++s) {
    next.step();
    const float* const x = c.x + s->x_index * c.x_step;
    const float* const w = c.w + static_cast<ptrdiff_t>(s->w_offset) * kPackLanes;
    add_pixels<V, P, NV, 1>(w, x, acc);
  }
  const F low = V::set1(c.low), high = V::set1(c.high);
#pragma GCC unroll 4
  for (int v = 0; v < NV; ++v) {
    const F scale = V::load(c.scale + v * V::kLanes), shift = V::load(c.shift + v * V::kLanes);
#pragma GCC unroll 32
    for (int p = 0; p < P; ++p)
      V::store(c.y + c.at[p] + v * V::kLanes, V::min(high, V::max(low, V::fma(acc[p][v], scale, shift))));
  }
}

// One row of KW taps for T outputs, where outputs are as far apart as taps: a pixel that is loaded once meets every
// tap.
template <class V, int KW, int T>
__attribute__((always_inline)) inline void slide_row(const float* w, const float* x, ptrdiff_t step,
                                                     typename V::F (&acc)[T][kPackLanes / V::kLanes]) {
  constexpr int NV = kPackLanes / V::kLanes;
  typename V::F weight[KW][NV];
#pragma GCC unroll 5
  for (int k = 0; k < KW; ++k)
#pragma GCC unroll 4
    for (int v = 0; v < NV; ++v) weight[k][v] = V::load(w + k * kPackLanes + v * V::kLanes);
#pragma GCC unroll 16
  for (int i = 0; i < T + KW - 1; ++i)
#pragma GCC unroll 4
    for (int v = 0; v < NV; ++v) {
      const typename V::F pixel = V::load(x + i * step + v * V::kLanes);
#pragma GCC unroll 5
      for (int k = 0; k < KW; ++k)
        if (i - k >= 0 && i - k < T) V::accumulate(acc[i - k][v], weight[k][v], pixel);
    }
}

// Whether the sums, the weights of a row of taps and a pixel fit the registers.
template <class V, int KW, int T>
constexpr bool slides() {
  return KW > 0 && (T + KW + 1) * (kPackLanes / V::kLanes) <= V::kRegisters;
}

// T outputs of one row, from rows of taps [begin, end); KW taps in a row, or any number where KW is 0.
template <class V, int KW, int T, bool kSlide>
__attribute__((always_inline)) inline void depthwise_outputs(const DepthwiseBlockCall& c, int begin, int end,
                                                             const float* x, float* y) {
  constexpr int NV = kPackLanes / V::kLanes;
  using F = typename V::F;
  const int taps_w = KW == 0 ? c.taps_w : KW;
  F acc[T][NV];
#pragma GCC unroll 16
  for (int t = 0; t < T; ++t)
#pragma GCC unroll 4
    for (int v = 0; v < NV; ++v) acc[t][v] = V::zero();
  const float* w = c.w + static_cast<ptrdiff_t>(begin) * taps_w * kPackLanes;
  x += begin * c.tap_row;
  for (int ky = begin; ky < end; ++ky, x += c.tap_row) {
    if constexpr (kSlide) {
      slide_row<V, KW, T>(w, x, c.x_step, acc);
      w += KW * kPackLanes;
      continue;
    }
    const float* tap = x;
#pragma GCC unroll 5
    for (int kx = 0; kx < taps_w; ++kx, tap += c.tap_step, w += kPackLanes) {
      F weight[NV];
#pragma GCC unroll 4
      for (int v = 0; v < NV; ++v) weight[v] = V::load(w + v * V::kLanes);
#pragma GCC unroll 16
      for (int t = 0; t < T; ++t)
#pragma GCC unroll 4
        for (int v = 0; v < NV; ++v) V::accumulate(acc[t][v], weight[v], V::load(tap + t * c.x_step + v * V::kLanes));
    }
  }
  const F low = V::set1(c.low), high = V::set1(c.high);
#pragma GCC unroll 4
  for (int v = 0; v < NV; ++v) {
    const F bias = V::load(c.w + static_cast<ptrdiff_t>(c.taps_h) * taps_w * kPackLanes + v * V::kLanes);
#pragma GCC unroll 16
    for (int t = 0; t < T; ++t)
      V::store(y + t * kPackLanes + v * V::kLanes, V::min(high, V::max(low, V::add(acc[t][v], bias))));
  }
}

// Rows of at most eight, or as many outputs as registers hold, at once; shares are nearly equal.
template <class V, int KW, bool kSlide>
void depthwise_rows(const DepthwiseBlockCall& c) {
  constexpr int most = V::kLanes == 16 ? 8 : V::kLanes == 8 ? (kSlide && KW == 3 ? 4 : 5) : V::kRegisters == 32 ? 5 : 2;
  const int parts = (c.columns + most - 1) / most;
  for (int row = 0; row < c.rows; ++row) {
    // Half of a 5x5 kernel lies outside of a 3x3 map.
    int begin = 0, end = c.taps_h;
    while (begin < end && row * c.row_step + begin * c.tap_rows < c.first_row) ++begin;
    while (begin < end && row * c.row_step + (end - 1) * c.tap_rows >= c.end_row) --end;
    for (int part = 0, first = 0; part < parts; ++part) {
      const int count = c.columns / parts + (part < c.columns % parts);
      const float* const x = c.x + row * c.x_row + first * c.x_step;
      float* const y = c.y + (static_cast<ptrdiff_t>(row) * c.columns + first) * kPackLanes;
      switch (count) {
        case 1:
          depthwise_outputs<V, KW, 1, kSlide && slides<V, KW, 1>()>(c, begin, end, x, y);
          break;
        case 2:
          depthwise_outputs<V, KW, 2, kSlide && slides<V, KW, 2>()>(c, begin, end, x, y);
          break;
        case 3:
          depthwise_outputs<V, KW, (most < 3 ? 1 : 3), kSlide && slides<V, KW, (most < 3 ? 1 : 3)>()>(c, begin, end, x,
                                                                                                      y);
          break;
        case 4:
          depthwise_outputs<V, KW, (most < 4 ? 1 : 4), kSlide && slides<V, KW, (most < 4 ? 1 : 4)>()>(c, begin, end, x,
                                                                                                      y);
          break;
        case 5:
          depthwise_outputs<V, KW, (most < 5 ? 1 : 5), kSlide && slides<V, KW, (most < 5 ? 1 : 5)>()>(c, begin, end, x,
                                                                                                      y);
          break;
        case 6:
          depthwise_outputs<V, KW, (most < 6 ? 1 : 6), kSlide && slides<V, KW, (most < 6 ? 1 : 6)>()>(c, begin, end, x,
                                                                                                      y);
          break;
        case 7:
          depthwise_outputs<V, KW, (most < 7 ? 1 : 7), kSlide && slides<V, KW, (most < 7 ? 1 : 7)>()>(c, begin, end, x,
                                                                                                      y);
          break;
        case 8:
          depthwise_outputs<V, KW, (most < 8 ? 1 : 8), kSlide && slides<V, KW, (most < 8 ? 1 : 8)>()>(c, begin, end, x,
                                                                                                      y);
          break;
      }
      first += count;
    }
  }
}

template <class V>
void depthwise_block(const DepthwiseBlockCall& c) {
  const bool slide = c.x_step == c.tap_step;
  if (c.taps_w == 3) return slide ? depthwise_rows<V, 3, true>(c) : depthwise_rows<V, 3, false>(c);
  if (c.taps_w == 5) return slide ? depthwise_rows<V, 5, true>(c) : depthwise_rows<V, 5, false>(c);
  depthwise_rows<V, 0, false>(c);
}

template <class V>
void turn_rows(const float* w, const ptrdiff_t* at, int64_t columns, float* out, const FetchRows& rows) {
  constexpr int NV = kPackLanes / V::kLanes;
  int64_t i = 0;
  RowFetcher next(rows);
  for (; i + 4 <= columns; i += 4) {
    next.step();
    next.step();
    for (int v = 0; v < NV; ++v) {
      typename V::F four[4];
      V::load_4_each(w + i, at + v * V::kLanes, four);
      for (int k = 0; k < 4; ++k) V::store(out + (i + k) * kPackLanes + v * V::kLanes, four[k]);
    }
  }
  for (; i < columns; ++i)
    for (int j = 0; j < kPackLanes; ++j) out[i * kPackLanes + j] = w[at[j] + i];
}

}  // namespace sanp
