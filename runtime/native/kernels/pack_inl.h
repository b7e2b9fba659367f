// Copies one active input channel into the form the micro-kernels read: a bordered plane, or a tap-expanded panel.
#pragma once

#include "plane.h"
#include "tile.h"

namespace sanp {

inline void zero_floats(float* p, ptrdiff_t n) {
  for (ptrdiff_t i = 0; i < n; ++i) p[i] = 0.0f;
}

template <class V>
inline void copy_row(const float* src, float* dst, ptrdiff_t n) {
  ptrdiff_t j = 0;
  for (; j + V::kLanes <= n; j += V::kLanes) V::store(dst + j, V::load(src + j));
  if (j < n) V::store_part(dst + j, 0, static_cast<int>(n - j), V::load_part(src + j, 0, static_cast<int>(n - j)));
}

// Never reads past src[(n - 1) * stride].
template <class V>
inline void copy_strided_row(const float* src, float* dst, ptrdiff_t n, ptrdiff_t stride) {
  ptrdiff_t j = 0;
  if (stride == 2)
    for (; j + V::kLanes <= n; j += V::kLanes) V::store(dst + j, V::load_even(src + 2 * j));
  for (; j < n; ++j) dst[j] = src[j * stride];
}

template <class V>
void pack_plane(const Plane& g, const float* channel, float* dst) {
  for (int p = 0; p < g.n_phases; ++p, dst += g.phase_floats) {
    const Phase& phase = g.phases[p];
    const ptrdiff_t n = phase.col_end - phase.col_begin;
    zero_floats(dst, static_cast<ptrdiff_t>(phase.row_begin) * g.pitch);
    const float* src = channel + phase.source;
    float* row = dst + static_cast<ptrdiff_t>(phase.row_begin) * g.pitch;
    for (int r = phase.row_begin; r < phase.row_end; ++r, row += g.pitch, src += g.width * g.stride_y) {
      zero_floats(row, phase.col_begin);
      if (g.stride_x == 1)
        copy_row<V>(src, row + phase.col_begin, n);
      else
        copy_strided_row<V>(src, row + phase.col_begin, n, g.stride_x);
      zero_floats(row + phase.col_end, g.cols - phase.col_end);
    }
    zero_floats(row, dst + g.phase_floats - row);
  }
}

// One channel of one tile, [tap][nr][lanes], from its plane.
template <class V>
void pack_panel(const PanelLayout& layout, const float* plane, int first_vec, int nr, float* dst) {
  for (int t = 0; t < layout.n_taps; ++t) {
    const float* const tap = plane + layout.taps[t];
    for (int v = first_vec; v < first_vec + nr; ++v, dst += V::kLanes) {
      const Vec& vec = layout.vecs[v];
      const Piece* piece = layout.pieces + vec.piece;
      typename V::F pixels = V::load_part(tap + piece->offset, piece->first, piece->count);
      for (int i = 1; i < vec.n_pieces; ++i)
        pixels = V::join(pixels, V::load_part(tap + piece[i].offset, piece[i].first, piece[i].count));
      V::store(dst, pixels);
    }
  }
}

}  // namespace sanp
