// Depthwise convolution of one channel where it lies: lanes = input columns, and every tap has a mask of the lanes for
// which it is inside the map.
//
// Vectors run over row ends, so that a map of 7x7 pixels is four vectors, and nothing is copied. With a column stride
// of two every second lane is an output; the others cost less than picking columns for every tap.
#pragma once

#include "cpu/microkernels/depthwise_in_place.h"

namespace sanp {

// One tap of one vector.
template <class V>
inline void add_tap(const DepthwiseInPlaceCall& c, const char* x, const uint16_t* masks, int t, typename V::F weight,
                    typename V::F& acc) {
  V::accumulate_part(acc, weight, reinterpret_cast<const float*>(x + c.taps[t]), V::bits(masks[t]));
}

template <class V, int kStride>
inline void store_outputs(typename V::F sum, const EdgeVec& vec, const Epilogue& e, typename V::F scale,
                          typename V::F shift) {
  typename V::F out = V::fma(sum, scale, shift);
  if (kStride == 2) out = V::even(out);
  const bool whole = kStride == 1 && vec.count == V::kLanes;
  const typename V::Mask mask = V::mask(0, vec.count);
  if (e.residual) {
    const float* const r = e.residual[0] + vec.y;
    out = V::add(out, whole ? V::load(r) : V::load_part(r, mask));
  }
  out = V::min(V::set1(e.act_max), V::max(V::set1(e.act_min), out));
  if (whole)
    V::store(e.y[0] + vec.y, out);
  else if (kStride == 2)
    V::store_half(e.y[0] + vec.y, out, vec.count);
  else
    V::store_part(e.y[0] + vec.y, mask, out);
}

// kTaps: their number, 0 for "read it from the call".
template <class V, int kStride, int kTaps>
inline void depthwise_in_place_taps(const DepthwiseInPlaceCall& c) {
  using F = typename V::F;
  const Epilogue end = c.end;
  const F scale = V::set1(end.scale[0]), shift = V::set1(end.shift[0]);
  F weight[kTaps ? kTaps : 1];
#pragma GCC unroll 25
  for (int t = 0; t < kTaps; ++t) weight[t] = V::broadcast(c.w + t);
  const EdgeVec* const last = c.vecs + c.n_vecs;
  for (const EdgeVec* vec = c.vecs; vec != last; ++vec) {
    const char* const x = reinterpret_cast<const char*>(c.x) + vec->x * static_cast<ptrdiff_t>(sizeof(float));
    const uint16_t* const masks = c.masks + vec->masks;
    F acc = V::zero();
    if (kTaps) {
#pragma GCC unroll 25
      for (int t = 0; t < kTaps; ++t) add_tap<V>(c, x, masks, t, weight[t], acc);
    } else {
      for (int t = 0; t < c.n_taps; ++t) add_tap<V>(c, x, masks, t, V::broadcast(c.w + t), acc);
    }
    store_outputs<V, kStride>(acc, *vec, end, scale, shift);
  }
}

template <class V, int kStride>
void depthwise_in_place(const DepthwiseInPlaceCall& c) {
  if (c.n_taps == 9) return depthwise_in_place_taps<V, kStride, 9>(c);
  if (c.n_taps == 25 && V::kRegisters == 32) return depthwise_in_place_taps<V, kStride, 25>(c);
  depthwise_in_place_taps<V, kStride, 0>(c);
}

}  // namespace sanp
