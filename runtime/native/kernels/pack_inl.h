// Copies one active input channel into the zero-bordered planes the micro-kernels read.
#pragma once

#include "plane.h"
#include "tile.h"

namespace sanp {

// Whole vectors, up to kLanes - 1 floats too many; the caller overwrites those next or owns them.
template <class V>
inline void zero_over(float* p, ptrdiff_t n) {
  for (ptrdiff_t i = 0; i < n; i += V::kLanes) V::store(p + i, V::zero());
}

// Copies n floats, then zeros up to the vector end. Reads exactly n floats.
template <class V>
inline void copy_over(const float* src, float* dst, ptrdiff_t n, typename V::Mask tail) {
  ptrdiff_t j = 0;
  for (; j + V::kLanes <= n; j += V::kLanes) V::store(dst + j, V::load(src + j));
  if (j < n) V::store(dst + j, V::load_part(src + j, tail));
}

// As copy_over for every stride-th float; reads nothing past src[(n - 1) * stride].
template <class V>
inline void copy_strided(const float* src, float* dst, ptrdiff_t n, ptrdiff_t stride) {
  ptrdiff_t j = 0;
  if (stride == 2) {
    for (; j + V::kLanes <= n; j += V::kLanes) V::store(dst + j, V::load_even(src + 2 * j));
    if (j < n) V::store(dst + j, V::load_even_part(src + 2 * j, static_cast<int>(n - j)));
    return;
  }
  for (; j < n; ++j) dst[j] = src[j * stride];
}

// Rows are written left to right and top to bottom with whole vectors: each border store runs into the next row, which
// is written after it. Exact scalar borders took as long as the copy itself at 32 x 32. The last row runs into the
// vector of slack that ends every channel.
template <class V>
void pack_plane(const Plane& g, const float* channel, float* dst) {
  for (int p = 0; p < g.n_parts; ++p, dst += g.part_floats) {
    const PlanePart& part = g.parts[p];
    const ptrdiff_t n = part.col_end - part.col_begin;
    const typename V::Mask tail = V::mask(0, static_cast<int>(n % V::kLanes));
    const float* src = channel + part.source;
    float* row = dst + static_cast<ptrdiff_t>(part.row_begin) * g.pitch + part.col_begin;
    zero_over<V>(dst, row - dst);
    // Floats of a row that copy_over leaves for the border: less than nothing where its last vector covers it.
    const ptrdiff_t written = g.stride_x <= 2 ? (n + V::kLanes - 1) / V::kLanes * V::kLanes : n;
    for (int r = part.row_begin; r < part.row_end; ++r, row += g.pitch, src += g.source_step) {
      if (g.stride_x == 1)
        copy_over<V>(src, row, n, tail);
      else
        copy_strided<V>(src, row, n, g.stride_x);
      if (r + 1 < part.row_end) {
        if (written < g.pitch) zero_over<V>(row + written, g.pitch - written);
      } else {
        const ptrdiff_t rest = dst + g.part_floats - (row + written);
        if (rest > 0) zero_over<V>(row + written, rest);
      }
    }
    if (part.row_begin == part.row_end) zero_over<V>(dst, g.part_floats);
  }
}

}  // namespace sanp
