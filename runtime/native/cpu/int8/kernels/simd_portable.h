// Byte SIMD wrapper: none. The reference of all others.
#pragma once

#include <string.h>

#include "cpu/int8/kernels/calls.h"

namespace sanp {

struct Int8Portable {
  static constexpr int kLanes = 4;
  static constexpr uint8_t kFlip = 0;
  struct I {
    int32_t v[kLanes];
  };
  struct F {
    float v[kLanes];
  };
  struct X {
    uint8_t v[kLanes * kQuad];
  };
  struct W {
    int8_t v[kLanes * kQuad];
  };

  template <class R, class Op>
  static R each(Op op) {
    R r;
    for (int i = 0; i < kLanes; ++i) r.v[i] = op(i);
    return r;
  }
  static I zero() { return set1(int32_t{0}); }
  static I set1(int32_t a) {
    return each<I>([&](int) { return a; });
  }
  static I add(I a, I b) {
    return each<I>([&](int i) { return a.v[i] + b.v[i]; });
  }
  static X load_pixels(const uint8_t* p) {
    X x;
    memcpy(x.v, p, sizeof x.v);
    return x;
  }
  static W load_weights(const int8_t* p) {
    W w;
    memcpy(w.v, p, sizeof w.v);
    return w;
  }
  static W broadcast(const int8_t* p) {
    W w;
    for (int i = 0; i < kLanes; ++i) memcpy(w.v + i * kQuad, p, kQuad);
    return w;
  }
  static void accumulate(I& acc, const X& x, const W& w) {
    for (int i = 0; i < kLanes; ++i)
      for (int j = 0; j < kQuad; ++j) acc.v[i] += x.v[i * kQuad + j] * w.v[i * kQuad + j];
  }
  static void accumulate_weight(I& acc, const X& x, const int8_t* w) { accumulate(acc, x, broadcast(w)); }
  template <int P>
  static void store_sums(const I* acc, int32_t* out) {
    for (int p = 0; p < P; ++p) out[p] = acc[p].v[0] + acc[p].v[1] + acc[p].v[2] + acc[p].v[3];
  }
  static I load_sums(const int32_t* p) {
    return each<I>([&](int i) { return p[i]; });
  }

  static F set1(float a) {
    return each<F>([&](int) { return a; });
  }
  static F to_float(I a) {
    return each<F>([&](int i) { return static_cast<float>(a.v[i]); });
  }
  static F add(F a, F b) {
    return each<F>([&](int i) { return a.v[i] + b.v[i]; });
  }
  static F sub(F a, F b) {
    return each<F>([&](int i) { return a.v[i] - b.v[i]; });
  }
  static F mul(F a, F b) {
    return each<F>([&](int i) { return a.v[i] * b.v[i]; });
  }
  static F max(F a, F b) {
    return each<F>([&](int i) { return a.v[i] > b.v[i] ? a.v[i] : b.v[i]; });
  }
  static F min(F a, F b) {
    return each<F>([&](int i) { return a.v[i] < b.v[i] ? a.v[i] : b.v[i]; });
  }
  static F load_bytes(const uint8_t* p, int count) {
    return each<F>([&](int i) { return i < count ? static_cast<float>(p[i]) : 0.0f; });
  }
  // Numbers from -255 to 255, rounded half to even: below 2^22 the last bit of v + 1.5 * 2^23 is a one.
  static void store_bytes(uint8_t* p, F v, int32_t zero, int count) {
    constexpr float kShift = 12582912.0f;
    for (int i = 0; i < count; ++i) {
      const float whole = v.v[i] + kShift - kShift;
      p[i] = static_cast<uint8_t>((whole == whole ? static_cast<int32_t>(whole) : 0) + zero);
    }
  }

  static void copy_vector(const uint32_t* from, uint32_t* to) { memcpy(to, from, kLanes * sizeof *to); }
  static void interleave(const uint8_t* const* c, ptrdiff_t n, uint32_t* out) {
    for (ptrdiff_t i = 0; i < n; ++i) {
      const uint8_t cell[kQuad] = {c[0][i], c[1][i], c[2][i], c[3][i]};
      memcpy(out + i, cell, sizeof cell);
    }
  }
  static void compress(const int8_t* row, ptrdiff_t, const Int8Channels& active, int8_t* out) {
    for (int32_t i = 0; i < active.count; ++i) out[i] = row[active.list[i]];
  }
  static void max_of_pairs(const uint8_t* a, const uint8_t* b, ptrdiff_t n, uint8_t* out) {
    for (ptrdiff_t i = 0; i < n; ++i) out[i] = max_of_four(a + 2 * i, b + 2 * i);
  }
  static int32_t sum_weights(const int8_t* row, ptrdiff_t n) {
    int32_t sum = 0;
    for (ptrdiff_t i = 0; i < n; ++i) sum += row[i];
    return sum;
  }
  static void channel_sums(const uint8_t* x, ptrdiff_t channels, ptrdiff_t pixels, int32_t* sums) {
    for (ptrdiff_t c = 0; c < channels; ++c, x += pixels) {
      int32_t sum = 0;
      for (ptrdiff_t i = 0; i < pixels; ++i) sum += x[i];
      sums[c] = sum;
    }
  }
};

}  // namespace sanp
