// The products: tiles whose lanes are pixels, dot products whose lanes are inputs, and the end of a row.
#pragma once

#include "cpu/int8/kernels/calls.h"

namespace sanp {

// The rest of a row in steps of y: `count` of its bytes at y.
template <class V>
inline void int8_store(const Int8Finish& e, typename V::F v, uint8_t* y, int count) {
  V::store_bytes(y, V::min(V::set1(e.high), V::max(V::set1(e.low), v)), e.zero, count);
}

// `count` bytes of a residual, in steps of y.
template <class V>
inline typename V::F int8_residual(const Int8Finish& e, const uint8_t* residual, int count) {
  return V::mul(V::sub(V::load_bytes(residual, count), V::set1(e.residual_zero)), V::set1(e.residual_factor));
}

// One vector of row m, stored at y[at]. Products and sums are rounded one by one, so that every instruction set stores
// the same bytes.
template <class V>
inline void int8_finish(const Int8Finish& e, int m, typename V::I sum, ptrdiff_t at, int count) {
  using F = typename V::F;
  F v = V::to_float(V::add(sum, V::set1(e.correction[m])));
  v = V::add(V::mul(v, V::set1(e.factor[m])), V::set1(e.shift[m]));
  if (e.residual) v = V::add(v, int8_residual<V>(e, e.residual[m] + at, count));
  int8_store<V>(e, v, e.y[m] + at, count);
}

// A row that is not computed: its shift and a map that is added.
template <class V>
void int8_finish_closed(const Int8Finish& end, float shift, const uint8_t* residual, uint8_t* y, ptrdiff_t pixels) {
  const Int8Finish e = end;
  for (ptrdiff_t p = 0; p < pixels; p += V::kLanes) {
    const int count = pixels - p < V::kLanes ? static_cast<int>(pixels - p) : V::kLanes;
    int8_store<V>(e, V::add(V::set1(shift), int8_residual<V>(e, residual + p, count)), y + p, count);
  }
}

// Spreads the lines of the rows ahead over the steps of a call.
template <class V>
class Int8Fetch {
 public:
  Int8Fetch(const Int8Ahead& a, ptrdiff_t steps) : row_(a.rows), left_(a.count), bytes_(a.bytes) {
    const ptrdiff_t lines = a.count * ((a.bytes + 63) / 64);
    each_ = steps > 0 ? (lines + steps - 1) / steps : 0;
  }
  void step() {
    for (ptrdiff_t i = 0; i < each_ && left_ > 0; ++i) {
      __builtin_prefetch(*row_ + at_, 0, 2);
      at_ += 64;
      if (at_ >= bytes_) at_ = 0, ++row_, --left_;
    }
  }

 private:
  const int8_t* const* row_;
  int32_t left_;
  ptrdiff_t bytes_, at_ = 0, each_;
};

template <class V, int MR, int NR>
void int8_tile(const Int8TileCall& c) {
  typename V::I acc[MR][NR];
#pragma GCC unroll 8
  for (int m = 0; m < MR; ++m)
#pragma GCC unroll 4
    for (int v = 0; v < NR; ++v) acc[m][v] = V::zero();
  const int8_t* w[MR];
#pragma GCC unroll 8
  for (int m = 0; m < MR; ++m) w[m] = c.w[m];
  const ptrdiff_t quad_step = c.quad_step;
  ptrdiff_t at = 0;  // in every row of weights
  Int8Fetch<V> fetch(c.ahead, c.n_taps);
  for (int t = 0; t < c.n_taps; ++t) {
    fetch.step();
    const uint8_t* x = c.x + c.taps[t];
    for (int q = 0; q < c.quads; ++q, x += quad_step, at += kQuad) {
      typename V::X pixels[NR];
#pragma GCC unroll 4
      for (int v = 0; v < NR; ++v) pixels[v] = V::load_pixels(x + v * V::kLanes * kQuad);
#pragma GCC unroll 8
      for (int m = 0; m < MR; ++m) {
        if (NR == 1) {
          V::accumulate_weight(acc[m][0], pixels[0], w[m] + at);
          continue;
        }
        const typename V::W weight = V::broadcast(w[m] + at);
#pragma GCC unroll 4
        for (int v = 0; v < NR; ++v) V::accumulate(acc[m][v], pixels[v], weight);
      }
    }
  }
  const Int8Finish end = c.end;
#pragma GCC unroll 8
  for (int m = 0; m < MR; ++m)
#pragma GCC unroll 4
    for (int v = 0; v < NR; ++v)
      int8_finish<V>(end, m, acc[m][v], c.at + v * V::kLanes, v + 1 < NR ? V::kLanes : c.last);
}

template <class V, int MR, int PR>
void int8_dot(const Int8DotCall& c) {
  typename V::I acc[MR][PR];
#pragma GCC unroll 8
  for (int m = 0; m < MR; ++m)
#pragma GCC unroll 4
    for (int p = 0; p < PR; ++p) acc[m][p] = V::zero();
  const int8_t* w[MR];
#pragma GCC unroll 8
  for (int m = 0; m < MR; ++m) w[m] = c.w[m];
  Int8Fetch<V> fetch(c.ahead, c.length / (V::kLanes * kQuad));
  for (ptrdiff_t k = 0; k < c.length; k += V::kLanes * kQuad) {
    fetch.step();
    typename V::X pixels[PR];
#pragma GCC unroll 4
    for (int p = 0; p < PR; ++p) pixels[p] = V::load_pixels(c.x + p * c.x_step + k);
#pragma GCC unroll 8
    for (int m = 0; m < MR; ++m) {
      const typename V::W weights = V::load_weights(w[m] + k);
#pragma GCC unroll 4
      for (int p = 0; p < PR; ++p) V::accumulate(acc[m][p], pixels[p], weights);
    }
  }
#pragma GCC unroll 8
  for (int m = 0; m < MR; ++m) V::template store_sums<PR>(acc[m], c.sums + m * kInt8DotMap);
}

// `rows` rows of at most kInt8DotMap sums.
template <class V>
void int8_finish_sums(const Int8Finish& e, int rows, const int32_t* sums, int pixels) {
  for (int m = 0; m < rows; ++m, sums += kInt8DotMap)
    for (int p = 0; p < pixels; p += V::kLanes)
      int8_finish<V>(e, m, V::load_sums(sums + p), p, pixels - p < V::kLanes ? pixels - p : V::kLanes);
}

}  // namespace sanp
