// Sums of the channel gate in one fixed order, so that two instruction sets open the same gates bit for bit.
//
// Order: element j goes to partial sum j mod 16; the 16 partials are folded 8 + 8, 4 + 4, 2 + 2, 1 + 1. A multiply and
// the add after it are rounded separately, because portable hardware has no fused form.
#pragma once

#include <stddef.h>

namespace sanp {

constexpr int kGateLanes = 16;

template <class V>
struct GateSum {
  static constexpr int kVecs = kGateLanes / V::kLanes;
  typename V::F part[kVecs];

  GateSum() {
    for (int v = 0; v < kVecs; ++v) part[v] = V::zero();
  }

  float fold() const {
    typename V::F s[kVecs];
#pragma GCC unroll 4
    for (int v = 0; v < kVecs; ++v) s[v] = part[v];
#pragma GCC unroll 4
    for (int half = kVecs / 2; half > 0; half /= 2)
#pragma GCC unroll 4
      for (int v = 0; v < half; ++v) s[v] = V::add(s[v], s[v + half]);
    return V::fold(s[0]);
  }
};

// Calls add(vector index, offset, lanes in use) for every vector of every group of 16.
template <class V, class Add>
inline void for_gate_lanes(ptrdiff_t n, Add add) {
  ptrdiff_t j = 0;
  for (; j + kGateLanes <= n; j += kGateLanes)
#pragma GCC unroll 4
    for (int v = 0; v < GateSum<V>::kVecs; ++v) add(v, j + v * V::kLanes, V::kLanes);
  for (int v = 0; v < GateSum<V>::kVecs && j < n; ++v, j += V::kLanes)
    add(v, j, static_cast<int>(n - j < V::kLanes ? n - j : V::kLanes));
}

template <class V>
void channel_means(const float* x, ptrdiff_t channels, ptrdiff_t pixels, float* z) {
  for (ptrdiff_t c = 0; c < channels; ++c, x += pixels) {
    GateSum<V> sum;
    for_gate_lanes<V>(pixels, [&](int v, ptrdiff_t j, int lanes) {
      sum.part[v] = V::add(sum.part[v], lanes == V::kLanes ? V::load(x + j) : V::load_part(x + j, V::mask(0, lanes)));
    });
    z[c] = sum.fold() / static_cast<float>(pixels);
  }
}

// out = relu(w v + b), w of shape [rows, cols]. A NaN stays NaN: a broken gate must show, not close.
template <class V>
void dense_relu(const float* w, const float* b, const float* v, ptrdiff_t rows, ptrdiff_t cols, float* out) {
  for (ptrdiff_t r = 0; r < rows; ++r, w += cols) {
    GateSum<V> sum;
    for_gate_lanes<V>(cols, [&](int i, ptrdiff_t j, int lanes) {
      const bool full = lanes == V::kLanes;
      const typename V::F a = full ? V::load(w + j) : V::load_part(w + j, V::mask(0, lanes));
      const typename V::F x = full ? V::load(v + j) : V::load_part(v + j, V::mask(0, lanes));
      sum.part[i] = V::add(sum.part[i], V::mul(a, x));
    });
    const float u = sum.fold() + b[r];
    out[r] = u < 0.0f ? 0.0f : u;
  }
}

}  // namespace sanp
