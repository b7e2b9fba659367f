// Depthwise convolution with a stride of two where the channel lies: lanes = output columns, registers = output rows.
//
// Two loads and a permutation pick the columns of a tap, once for all output rows that an input row meets. Copying the
// columns apart first, as for other strides, took two to four times as long.
#pragma once

#include "cpu/microkernels/depthwise_inl.h"
#include "cpu/microkernels/depthwise_strided.h"

namespace sanp {

constexpr int kStridedRows = 4;

// R output rows from row y. Every pixel adds its taps row by row, whatever rows it is computed with.
template <class V, int K, int R>
inline void depthwise_strided_rows(const DepthwiseStridedCall& c, const StridedVec& vec, const ChannelEnd<V>& end,
                                   int y) {
  using F = typename V::F;
  F acc[R];
#pragma GCC unroll 4
  for (int r = 0; r < R; ++r) acc[r] = V::zero();
  const int top = 2 * y - c.pad_top;
#pragma GCC unroll 16
  for (int i = 0; i < 2 * (R - 1) + K; ++i) {
    const int row = top + i;
    if (row < 0 || row >= c.height) continue;
    const float* const x = c.x + static_cast<ptrdiff_t>(row) * c.width + vec.x;
    F tap[K + 1];
#pragma GCC unroll 3
    for (int k = 0; k < K; k += 2) {
      const F a = V::load_part(x + k, V::bits(vec.masks[k]));
      const F b = V::load_part(x + k + V::kLanes, V::bits(vec.masks[k + 1]));
      tap[k] = V::even_of(a, b);
      if (k + 1 < K) tap[k + 1] = V::odd_of(a, b);
    }
#pragma GCC unroll 4
    for (int r = 0; r < R; ++r)
      if (i - 2 * r >= 0 && i - 2 * r < K)
#pragma GCC unroll 5
        for (int k = 0; k < K; ++k) V::accumulate_weight(acc[r], tap[k], c.w + (i - 2 * r) * K + k);
  }
  const typename V::Mask mask = V::mask(0, vec.count);
#pragma GCC unroll 4
  for (int r = 0; r < R; ++r) {
    const ptrdiff_t at = static_cast<ptrdiff_t>(y + r) * c.out_w + vec.y;
    if (vec.count == V::kLanes)
      end.store(acc[r], at);
    else
      end.store_part(acc[r], at, mask);
  }
}

template <class V, int K>
void depthwise_strided(const DepthwiseStridedCall& c) {
  const ChannelEnd<V> end(c.end, 0);
  static_assert(kStridedRows == 4, "one case per remainder");
  for (int y = 0; y < c.out_h; y += kStridedRows)
    for (ptrdiff_t v = 0; v < c.n_vecs; ++v) {
      switch (c.out_h - y) {
        case 1:
          depthwise_strided_rows<V, K, 1>(c, c.vecs[v], end, y);
          break;
        case 2:
          depthwise_strided_rows<V, K, 2>(c, c.vecs[v], end, y);
          break;
        case 3:
          depthwise_strided_rows<V, K, 3>(c, c.vecs[v], end, y);
          break;
        default:
          depthwise_strided_rows<V, K, kStridedRows>(c, c.vecs[v], end, y);
      }
    }
}

}  // namespace sanp
