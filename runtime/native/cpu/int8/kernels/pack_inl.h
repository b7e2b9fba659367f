// Bytes on their way to the products: four channels interleaved into planes or rows of inputs, and sums of weights.
#pragma once

#include <string.h>

#include "cpu/int8/kernels/calls.h"

namespace sanp {

// Whole vectors of 32-bit cells: up to kInt8Slack bytes are read and written behind them.
template <class V>
inline void copy_cells(const uint32_t* from, uint32_t* to, ptrdiff_t n) {
  for (ptrdiff_t i = 0; i < n; i += V::kLanes) V::copy_vector(from + i, to + i);
}

template <class V>
inline void copy_strided_cells(const uint32_t* __restrict from, uint32_t* __restrict to, ptrdiff_t n, ptrdiff_t step) {
  if (step == 2)
    for (ptrdiff_t i = 0; i < n; ++i) to[i] = from[2 * i];
  else
    for (ptrdiff_t i = 0; i < n; ++i) to[i] = from[step * i];
}

// A template, so that every instruction set has a copy of its own.
template <class V>
inline void fill_cells(uint32_t* to, ptrdiff_t n, uint32_t value) {
  for (ptrdiff_t i = 0; i < n; ++i) to[i] = value;
}

// Four channels into the planes of their quad. `cells` holds height * width cells and slack. Rows are written in order:
// what a vector writes behind one is written again by the next, or lies in the slack of the quad.
template <class V>
void int8_pack_quad(const Int8Planes& g, const uint8_t* const* channels, uint8_t zero, uint32_t* cells, uint8_t* out) {
  const ptrdiff_t pixels = g.height * g.width;
  if (g.direct) {
    V::interleave(channels, pixels, reinterpret_cast<uint32_t*>(out));
    return;
  }
  V::interleave(channels, pixels, cells);
  const uint32_t fill = 0x01010101u * static_cast<uint32_t>(zero ^ V::kFlip);
  for (int32_t p = 0; p < g.count; ++p) {
    const Int8Plane& plane = g.planes[p];
    uint32_t* to = reinterpret_cast<uint32_t*>(out + plane.offset);
    int64_t row = plane.row0;
    for (int32_t j = 0; j < plane.rows; ++j, row += plane.row_step, to += g.cols) {
      if (row < 0 || row >= g.height || plane.col_begin >= plane.col_end) {
        fill_cells<V>(to, g.cols, fill);
        continue;
      }
      const uint32_t* const from = cells + row * g.width + plane.col_begin * plane.col_step + plane.col0;
      fill_cells<V>(to, plane.col_begin, fill);
      if (plane.col_step == 1)
        copy_cells<V>(from, to + plane.col_begin, plane.col_end - plane.col_begin);
      else
        copy_strided_cells<V>(from, to + plane.col_begin, plane.col_end - plane.col_begin, plane.col_step);
      fill_cells<V>(to + plane.col_end, g.cols - plane.col_end, fill);
    }
  }
}

// Four channels of every pixel into its row of inputs, `step` bytes from one pixel to the next.
template <class V>
void int8_pack_inputs(const uint8_t* const* channels, ptrdiff_t pixels, uint32_t* cells, uint8_t* out, ptrdiff_t step) {
  V::interleave(channels, pixels, cells);
  for (ptrdiff_t p = 0; p < pixels; ++p, out += step) memcpy(out, cells + p, sizeof *cells);
}

// The bytes of the active channels of every tap pushed together, each tap filled up with zeros to whole quads. Writes
// up to kInt8Slack bytes behind the row.
template <class V>
void int8_compress(const int8_t* row, int taps, ptrdiff_t channels, const Int8Channels& active, int8_t* out) {
  const ptrdiff_t step = (active.count + kQuad - 1) / kQuad * kQuad;
  for (int t = 0; t < taps; ++t, row += channels, out += step) {
    V::compress(row, channels, active, out);
    memset(out + active.count, 0, kQuad);
  }
}

}  // namespace sanp
