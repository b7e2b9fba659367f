// Winograd's transforms and products with lanes = tiles, for any SIMD wrapper V.
#pragma once

#include "cpu/microkernels/epilogue_inl.h"
#include "cpu/microkernels/winograd.h"

namespace sanp {

// One-dimensional transforms: `input` of m + 2 pixels to m + 2 points, `output` of m + 2 sums to m pixels.
template <class V, int M>
struct Winograd;

template <class V>
struct Winograd<V, 2> {
  using F = typename V::F;
  static void input(const F* d, F* t) {
    t[0] = V::sub(d[0], d[2]);
    t[1] = V::add(d[1], d[2]);
    t[2] = V::sub(d[2], d[1]);
    t[3] = V::sub(d[3], d[1]);
  }
  static void output(const F* s, F* y) {
    y[0] = V::add(s[0], V::add(s[1], s[2]));
    y[1] = V::add(V::sub(s[1], s[2]), s[3]);
  }
};

// Row t of the input transform holds the coefficients of the product of (z - p) over all points p but its own.
template <class V>
struct Winograd<V, 4> {
  using F = typename V::F;
  static constexpr float a = kWinogradA, b = kWinogradB;
  static void input(const F* d, F* t) {
    const F sum = V::set1(-(a * a + b * b)), product = V::set1(a * a * b * b);
    t[0] = V::fma(sum, d[2], V::fma(product, d[0], d[4]));
    t[5] = V::fma(sum, d[3], V::fma(product, d[1], d[5]));
    const F even_a = V::fma(V::set1(-b * b), d[2], d[4]), odd_a = V::fma(V::set1(-b * b), d[1], d[3]);
    const F even_b = V::fma(V::set1(-a * a), d[2], d[4]), odd_b = V::fma(V::set1(-a * a), d[1], d[3]);
    t[1] = V::fma(V::set1(a), odd_a, even_a);
    t[2] = V::fma(V::set1(-a), odd_a, even_a);
    t[3] = V::fma(V::set1(b), odd_b, even_b);
    t[4] = V::fma(V::set1(-b), odd_b, even_b);
  }
  static void output(const F* s, F* y) {
    const F even_a = V::add(s[1], s[2]), odd_a = V::sub(s[1], s[2]);
    const F even_b = V::add(s[3], s[4]), odd_b = V::sub(s[3], s[4]);
    y[0] = V::add(s[0], V::add(even_a, even_b));
    y[1] = V::fma(V::set1(b), odd_b, V::mul(V::set1(a), odd_a));
    y[2] = V::fma(V::set1(b * b), even_b, V::mul(V::set1(a * a), even_a));
    y[3] = V::add(s[5], V::fma(V::set1(b * b * b), odd_b, V::mul(V::set1(a * a * a), odd_a)));
  }
};

template <class V, int T>
inline void zero_column(float* out, ptrdiff_t pitch) {
#pragma GCC unroll 6
  for (int t = 0; t < T; ++t, out += pitch) V::store(out, V::zero());
}

// Points of one vector of neighbouring columns, T rows apart by `pitch`.
template <class V, int M, class Load>
inline void transform_column(float* out, ptrdiff_t pitch, Load load) {
  constexpr int T = M + 2;
  typename V::F d[T], points[T];
#pragma GCC unroll 6
  for (int t = 0; t < T; ++t) d[t] = load(t);
  Winograd<V, M>::input(d, points);
#pragma GCC unroll 6
  for (int t = 0; t < T; ++t, out += pitch) V::store(out, points[t]);
}

// Down the columns first, on whole vectors of neighbouring pixels: columns that two tiles share are done once, and the
// zero border is made on the way. Everything from the call is copied first: a vector store may alias its fields.
template <class V, int M>
inline void transform_columns(const WinogradInput& c) {
  constexpr int T = M + 2;
  const ptrdiff_t pitch = c.pitch, left = c.pad_left, width = c.width, height = c.height;
  const ptrdiff_t whole = width - width % V::kLanes, data = left + (width + V::kLanes - 1) / V::kLanes * V::kLanes;
  const typename V::Mask tail = V::mask(0, static_cast<int>(width - whole));
  const float* const x = c.x;
  const float* const zeros = c.zeros;
  float* out = c.rows;
  ptrdiff_t y = static_cast<ptrdiff_t>(c.block->first_row) * M - c.pad_top;
  for (int32_t r = c.block->rows; r > 0; --r, y += M, out += T * pitch) {
    const float* row[T];
#pragma GCC unroll 6
    for (int t = 0; t < T; ++t) row[t] = y + t >= 0 && y + t < height ? x + (y + t) * width : zeros;
    if (left > 0) zero_column<V, T>(out, pitch);  // a whole vector: the data overwrites what is too much
    for (ptrdiff_t j = data; j < pitch; j += V::kLanes) zero_column<V, T>(out + j, pitch);
    for (ptrdiff_t j = 0; j < whole; j += V::kLanes)
      transform_column<V, M>(out + left + j, pitch, [&](int t) { return V::load(row[t] + j); });
    if (whole < width)
      transform_column<V, M>(out + left + whole, pitch, [&](int t) { return V::load_part(row[t] + whole, tail); });
  }
}

template <class V, int M>
void winograd_input(const WinogradInput& c) {
  constexpr int T = M + 2;
  using F = typename V::F;
  transform_columns<V, M>(c);
  const ptrdiff_t pitch = c.pitch, v_step = c.v_step;
  const ptrdiff_t* read = c.block->read;
  float* vec = c.v;
  for (int32_t n = c.nr; n > 0; --n, read += V::kLanes, vec += V::kLanes) {
    float* out = vec;
    const float* rows = c.rows;
#pragma GCC unroll 6
    for (int r = 0; r < T; ++r, rows += pitch) {
      F d[8], points[T];
      V::load_4_each(rows, read, d);
      if (M == 4) V::load_4_each(rows + 4, read, d + 4);
      Winograd<V, M>::input(d, points);
#pragma GCC unroll 6
      for (int t = 0; t < T; ++t, out += v_step) V::store(out, points[t]);
    }
  }
}

template <class V, int MR, int NR>
void multiply_points(const PointsCall& c) {
  using F = typename V::F;
  const float* w[MR];
#pragma GCC unroll 8
  for (int m = 0; m < MR; ++m) w[m] = static_cast<const float*>(c.w[m]);
  float* sums = c.sums;
  const ptrdiff_t vec = static_cast<ptrdiff_t>(c.n_points) * V::kLanes;
  for (int32_t p = 0; p < c.n_points; ++p, sums += V::kLanes) {
    const float* v = c.v + p * c.v_step;
    F acc[MR][NR];
#pragma GCC unroll 8
    for (int m = 0; m < MR; ++m)
#pragma GCC unroll 4
      for (int n = 0; n < NR; ++n) acc[m][n] = V::zero();
    const Step* const end = c.steps + c.n_steps;
    for (const Step* s = c.steps; s != end; ++s, v += NR * V::kLanes) {
      const ptrdiff_t at = s->w_offset;
      F x[NR];
#pragma GCC unroll 4
      for (int n = 0; n < NR; ++n) x[n] = V::load(v + n * V::kLanes);
#pragma GCC unroll 8
      for (int m = 0; m < MR; ++m) {
        if (NR == 1) {
          V::accumulate_weight(acc[m][0], x[0], w[m] + at);
          continue;
        }
        const F weight = V::broadcast(w[m] + at);
#pragma GCC unroll 4
        for (int n = 0; n < NR; ++n) V::accumulate(acc[m][n], weight, x[n]);
      }
    }
#pragma GCC unroll 8
    for (int m = 0; m < MR; ++m) {
      w[m] += c.w_step;
#pragma GCC unroll 4
      for (int n = 0; n < NR; ++n) V::store(sums + (m * NR + n) * vec, acc[m][n]);
    }
  }
}

template <class V, int M>
void winograd_output(const WinogradOutput& c) {
  constexpr int T = M + 2;
  using F = typename V::F;
  for (int32_t n = 0; n < c.nr; ++n) {
    const float* const sums = c.sums + n * T * T * V::kLanes;
    F half[M][T];
#pragma GCC unroll 6
    for (int t = 0; t < T; ++t) {
      F s[T], y[M];
#pragma GCC unroll 6
      for (int r = 0; r < T; ++r) s[r] = V::load(sums + (r * T + t) * V::kLanes);
      Winograd<V, M>::output(s, y);
#pragma GCC unroll 4
      for (int r = 0; r < M; ++r) half[r][t] = y[r];
    }
    F y[4];
#pragma GCC unroll 4
    for (int r = 0; r < M; ++r) {
      Winograd<V, M>::output(half[r], M == 2 ? y + 2 * r : y);
      if (M == 4) V::store_4_each(c.plane + r * c.pitch, c.block->write + n * V::kLanes, y);
    }
    if (M == 2) V::store_2x2_each(c.plane, c.block->write + n * V::kLanes, c.pitch, y);
  }
  const float scale = c.end.scale[0], shift = c.end.shift[0];
  const float* const residual = c.end.residual ? c.end.residual[0] : nullptr;
  float* const y = c.end.y[0];
  const Epilogue end{&scale, &shift, &y, residual ? &residual : nullptr, c.end.act_min, c.end.act_max};
  for (int32_t i = 0; i < c.block->n_runs; ++i) {
    const PixelRun& run = c.block->runs[i];
    const typename V::Mask mask = V::mask(0, run.count % V::kLanes);
    int32_t j = 0;
    for (; j + V::kLanes <= run.count; j += V::kLanes)
      store_pixels<V, true>(end, 0, V::load(c.plane + run.from + j), run.to + j, mask);
    if (j < run.count) store_pixels<V, false>(end, 0, V::load(c.plane + run.from + j), run.to + j, mask);
  }
}

}  // namespace sanp
