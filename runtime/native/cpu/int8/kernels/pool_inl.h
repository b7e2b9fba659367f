// Max pooling of bytes: planes one after the other, rows as vectors.
#pragma once

#include "cpu/int8/kernels/calls.h"

namespace sanp {

template <class V>
inline void max_into(const uint8_t* __restrict from, uint8_t* __restrict to, ptrdiff_t n) {
  for (ptrdiff_t i = 0; i < n; ++i) to[i] = to[i] > from[i] ? to[i] : from[i];
}

// Windows of 2 x 2 that touch: the shape of most networks for small images.
template <class V>
void int8_pool_pairs(const Int8PoolCall& c) {
  const Int8PoolCall s = c;
  const uint8_t* x = c.x;
  uint8_t* y = c.y;
  for (ptrdiff_t p = 0; p < c.planes; ++p, x += s.height * s.width)
    for (int64_t row = 0; row < s.out_h; ++row, y += s.out_w) {
      const uint8_t* const above = x + 2 * row * s.width;
      V::max_of_pairs(above, above + s.width, s.out_w, y);
    }
}

// Any window: the rows of one, then their columns. Zeros stand where the window leaves the plane, no byte is smaller.
template <class V>
void int8_max_pool(const Int8PoolCall& c) {
  const Int8PoolCall s = c;
  if (s.kernel_h == 2 && s.kernel_w == 2 && s.stride_y == 2 && s.stride_x == 2 && s.pad_top == 0 && s.pad_left == 0 &&
      2 * s.out_w <= s.width && 2 * s.out_h <= s.height)
    return int8_pool_pairs<V>(c);
  const ptrdiff_t reach = (s.out_w - 1) * s.stride_x + s.kernel_w, wide = reach - s.kernel_w + 1;
  const ptrdiff_t inside = s.width < reach - s.pad_left ? s.width : reach - s.pad_left;
  uint8_t* const rows = c.scratch;
  uint8_t* const columns = rows + reach;
  const uint8_t* x = c.x;
  uint8_t* y = c.y;
  for (ptrdiff_t p = 0; p < c.planes; ++p, x += s.height * s.width)
    for (int64_t row = 0; row < s.out_h; ++row, y += s.out_w) {
      __builtin_memset(rows, 0, static_cast<size_t>(reach));
      for (int64_t k = 0; k < s.kernel_h; ++k) {
        const int64_t at = row * s.stride_y - s.pad_top + k;
        if (at >= 0 && at < s.height) max_into<V>(x + at * s.width, rows + s.pad_left, inside);
      }
      __builtin_memcpy(columns, rows, static_cast<size_t>(wide));
      for (int64_t k = 1; k < s.kernel_w; ++k) max_into<V>(rows + k, columns, wide);
      for (int64_t i = 0; i < s.out_w; ++i) y[i] = columns[i * s.stride_x];
    }
}

}  // namespace sanp
