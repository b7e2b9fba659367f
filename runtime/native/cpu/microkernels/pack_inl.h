// Copies one active input channel into the zero-bordered planes the micro-kernels read.
#pragma once

#include "cpu/microkernels/plane.h"
#include "cpu/microkernels/tile.h"

namespace sanp {

// Whole vectors, up to kLanes - 1 floats too many; the caller overwrites those next or owns them.
template <class V>
inline void zero_over(float* p, ptrdiff_t n) {
  for (ptrdiff_t i = 0; i < n; i += V::kLanes) V::store(p + i, V::zero());
}

// Rows [0, rows) of one part, each K vectors of data followed by zeros up to the next row. The last vector of a row is
// partial (`last` lanes) and writes zeros behind the data; `gap` floats then remain. K is a constant because the loop
// over a row's vectors otherwise costs more than the copy: 20 cycles a row at 16 x 16.
template <class V, int K, int kStride>
inline void copy_rows(const Plane& g, const float* src, float* row, int rows, int last, ptrdiff_t gap) {
  const typename V::Mask tail = V::mask(0, last);
  for (int r = 0; r < rows; ++r, row += g.pitch, src += g.source_step) {
#pragma GCC unroll 4
    for (int k = 0; k < K - 1; ++k)
      V::store(row + k * V::kLanes,
               kStride == 1 ? V::load(src + k * V::kLanes) : V::load_even(src + 2 * k * V::kLanes));
    const float* const end = src + kStride * (K - 1) * V::kLanes;
    V::store(row + (K - 1) * V::kLanes, kStride == 1 ? V::load_part(end, tail) : V::load_even_part(end, last));
    if (gap > 0) zero_over<V>(row + K * V::kLanes, gap);
  }
}

// The same for any width and stride; reads nothing past src[(n - 1) * stride].
template <class V>
inline void copy_wide_rows(const Plane& g, const float* src, float* row, int rows, ptrdiff_t n, ptrdiff_t gap) {
  const ptrdiff_t stride = g.stride_x;
  for (int r = 0; r < rows; ++r, row += g.pitch, src += g.source_step) {
    ptrdiff_t j = 0;
    if (stride == 1)
      for (; j + V::kLanes <= n; j += V::kLanes) V::store(row + j, V::load(src + j));
    else if (stride == 2)
      for (; j + V::kLanes <= n; j += V::kLanes) V::store(row + j, V::load_even(src + 2 * j));
    for (; j < n; ++j) row[j] = src[j * stride];
    if (gap > 0) zero_over<V>(row + n, gap);
  }
}

template <class V, int kStride>
inline bool copy_short_rows(const Plane& g, const float* src, float* row, int rows, ptrdiff_t n, ptrdiff_t gap) {
  const int last = static_cast<int>((n - 1) % V::kLanes) + 1;
  switch ((n + V::kLanes - 1) / V::kLanes) {
    case 1:
      copy_rows<V, 1, kStride>(g, src, row, rows, last, gap);
      return true;
    case 2:
      copy_rows<V, 2, kStride>(g, src, row, rows, last, gap);
      return true;
    case 3:
      copy_rows<V, 3, kStride>(g, src, row, rows, last, gap);
      return true;
    case 4:
      copy_rows<V, 4, kStride>(g, src, row, rows, last, gap);
      return true;
    default:
      return false;
  }
}

// `rows` rows of n floats of one part, each followed by zeros up to the next row; with kBorders unset, by none: the
// borders are zero already, and the zeros behind the last vector of a row are all that is written beside the data.
template <class V, bool kBorders>
inline void copy_part(const Plane& g, const float* src, float* row, int rows, ptrdiff_t n) {
  const bool short_rows = g.stride_x <= 2 && n <= 4 * V::kLanes;
  const ptrdiff_t written = short_rows ? (n + V::kLanes - 1) / V::kLanes * V::kLanes : n;
  const ptrdiff_t gap = kBorders ? g.pitch - written : 0;
  if (!short_rows)
    copy_wide_rows<V>(g, src, row, rows, n, gap);
  else if (g.stride_x == 1)
    copy_short_rows<V, 1>(g, src, row, rows, n, gap);
  else
    copy_short_rows<V, 2>(g, src, row, rows, n, gap);
}

// Rows are written left to right and top to bottom with whole vectors: each border store runs into the next row, which
// is written after it. The last row runs into the slack that ends every channel.
template <class V>
void pack_plane(const Plane& g, const float* channel, float* dst) {
  for (int p = 0; p < g.n_parts; ++p, dst += g.part_floats) {
    const PlanePart& part = g.parts[p];
    const ptrdiff_t n = part.col_end - part.col_begin;
    const int rows = part.row_end - part.row_begin;
    float* const first = dst + static_cast<ptrdiff_t>(part.row_begin) * g.pitch + part.col_begin;
    if (rows == 0) {
      zero_over<V>(dst, g.part_floats);
      continue;
    }
    zero_over<V>(dst, first - dst);
    copy_part<V, true>(g, channel + part.source, first, rows, n);
    // What is left of the last row's border, and the zero rows below.
    float* const rest = first + static_cast<ptrdiff_t>(rows) * g.pitch;
    zero_over<V>(rest, dst + g.part_floats - rest);
  }
}

// Plane rows [first, first + rows) of every part, at the parts' begins. What lies beside the data of these rows is zero
// already and stays so; rows without data are cleared, unless there are none but those that never held any.
template <class V>
void pack_strip(const Plane& g, const float* channel, int first, int rows, bool clear, float* dst) {
  for (int p = 0; p < g.n_parts; ++p, dst += g.part_floats) {
    const PlanePart& part = g.parts[p];
    const int begin = part.row_begin > first ? part.row_begin : first;
    const int end = part.row_end < first + rows ? part.row_end : first + rows;
    const int above = begin < end ? begin - first : rows;
    if (clear) zero_over<V>(dst, static_cast<ptrdiff_t>(above) * g.pitch);
    if (begin >= end) continue;
    copy_part<V, false>(g, channel + part.source + (begin - part.row_begin) * g.source_step,
                        dst + static_cast<ptrdiff_t>(above) * g.pitch + part.col_begin, end - begin,
                        part.col_end - part.col_begin);
    if (clear)
      zero_over<V>(dst + static_cast<ptrdiff_t>(end - first) * g.pitch,
                   (first + rows - end) * static_cast<ptrdiff_t>(g.pitch));
  }
}

}  // namespace sanp
