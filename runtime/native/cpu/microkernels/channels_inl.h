// 1x1 convolution with lanes = output channels: a pixel is broadcast to a block of channels.
//
// Any number of pixels fills the vectors, where lanes of pixels lose up to half on maps of 3x3 and 6x6. In return a
// closed channel costs as much as an open one, and weights are read from a copy that is turned once. Every sum adds its
// products in the order of tile_inl.h, so both give the same bits.
#pragma once

#include "cpu/microkernels/channels.h"

namespace sanp {

// Four pixels of one vector of channels: residual, clamp and store. Inlined, because a call would take the sums of all
// pixels through memory.
template <class V>
__attribute__((always_inline)) inline void store_four_pixels(const float* residual, float* y, const ptrdiff_t* at,
                                                             typename V::F low, typename V::F high,
                                                             typename V::F* sums) {
  if (residual) {
    typename V::F more[4];
    V::load_4_each(residual, at, more);
#pragma GCC unroll 4
    for (int k = 0; k < 4; ++k) sums[k] = V::add(sums[k], more[k]);
  }
#pragma GCC unroll 4
  for (int k = 0; k < 4; ++k) sums[k] = V::min(high, V::max(low, sums[k]));
  V::store_4_each(y, at, sums);
}

// The same for the last few channels, or for fewer pixels: those behind them have nowhere to go.
template <class V>
__attribute__((noinline)) void store_few(const ChannelsCall& c, ptrdiff_t from, int outputs, int pixels,
                                         const float* sums) {
  float block[V::kLanes][4], more[V::kLanes][4] = {};
  ptrdiff_t at[V::kLanes];
  typename V::F four[4];
  for (int j = 0; j < V::kLanes; ++j) at[j] = 4 * j;
  for (int k = 0; k < 4; ++k) four[k] = V::load(sums + k * V::kLanes);
  for (int j = 0; j < outputs && c.residual; ++j)
    for (int k = 0; k < pixels; ++k) more[j][k] = c.residual[from + c.at[j] + k];
  store_four_pixels<V>(c.residual ? more[0] : nullptr, block[0], at, V::set1(c.act_min), V::set1(c.act_max), four);
  for (int j = 0; j < outputs; ++j)
    for (int k = 0; k < pixels; ++k) c.y[from + c.at[j] + k] = block[j][k];
}

// Steps of P pixels between fetching weights and using them: closed channels leave gaps, so that the hardware fetches
// too late. About 700 multiply-adds.
template <int P>
constexpr int channels_ahead() {
  return 700 / P;
}

constexpr ptrdiff_t kLineBytes = 64;

// One input channel: each of P pixels, kPixel floats apart, times NV vectors of weights.
template <class V, int P, int NV, int kPixel>
__attribute__((always_inline)) inline void add_pixels(const float* w, const float* x, typename V::F (&acc)[P][NV]) {
  typename V::F weight[NV];
#pragma GCC unroll 4
  for (int v = 0; v < NV; ++v) weight[v] = V::load(w + v * V::kLanes);
#pragma GCC unroll 32
  for (int p = 0; p < P; ++p) {
    if (NV == 1) {
      V::accumulate_weight(acc[p][0], weight[0], x + p * kPixel);
      continue;
    }
    const typename V::F pixel = V::broadcast(x + p * kPixel);
#pragma GCC unroll 4
    for (int v = 0; v < NV; ++v) V::accumulate(acc[p][v], pixel, weight[v]);
  }
}

// P pixels of NV vectors of channels; kPixel floats from one pixel of x to the next.
template <class V, int P, int NV, int kPixel = 1>
void channels_tile(const ChannelsCall& c) {
  using F = typename V::F;
  for (int o = 0; o < c.outputs; ++o) __builtin_prefetch(c.y + o * c.y_step, 1);
  F acc[P][NV];
#pragma GCC unroll 32
  for (int p = 0; p < P; ++p)
#pragma GCC unroll 4
    for (int v = 0; v < NV; ++v) acc[p][v] = V::zero();
  const Step* const end = c.steps + c.n_steps;
  for (const Step* s = c.steps; s != end; ++s) {
    const float* const x = c.x + s->x_index * c.x_step;
    const float* const w = c.w + s->w_offset * c.w_step;
    const Step* const far = s + channels_ahead<P>();
    const ptrdiff_t ahead = far < end ? far->w_offset : (far - end < c.n_steps ? c.steps[far - end].w_offset : 0);
    const float* const far_w = (far < end ? c.w : c.next_w) + ahead * c.w_step;
    fetch(far_w, 0);
    for (int32_t line = 1; line < c.fetch_lines; ++line) fetch_far(far_w, line * kLineBytes);
    add_pixels<V, P, NV, kPixel>(w, x, acc);
  }
  const F low = V::set1(c.act_min), high = V::set1(c.act_max), more = V::set1(c.shift_more);
#pragma GCC unroll 4
  for (int v = 0; v < NV; ++v) {
    const int outputs = c.outputs - v * V::kLanes;
    const bool all = outputs >= V::kLanes, whole = all && P >= 4;
    const ptrdiff_t from = v * V::kLanes * c.y_step;
    const typename V::Mask mask = V::mask(0, all ? V::kLanes : outputs);
    const F scale = V::load_part(c.scale + v * V::kLanes, mask);
    const F shift = V::add(V::load_part(c.shift + v * V::kLanes, mask), more);
    // The last four pixels overlap those before them where P is no multiple of four.
#pragma GCC unroll 8
    for (int q = 0; q < P; q += 4) {
      const int p = q + 4 <= P ? q : P < 4 ? 0 : P - 4;
      F sums[4];
#pragma GCC unroll 4
      for (int k = 0; k < 4; ++k) sums[k] = V::fma(acc[p + k < P ? p + k : P - 1][v], scale, shift);
      if (whole) {
        store_four_pixels<V>(c.residual ? c.residual + from + p : nullptr, c.y + from + p, c.at, low, high, sums);
      } else {
        float spilled[4 * V::kLanes];
        for (int k = 0; k < 4; ++k) V::store(spilled + k * V::kLanes, sums[k]);
        store_few<V>(c, from + p, all ? V::kLanes : outputs, P < 4 ? P : 4, spilled);
      }
    }
  }
}

}  // namespace sanp
