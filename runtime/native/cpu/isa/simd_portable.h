// SIMD wrapper: four float lanes from the compiler's generic vectors; runs on every CPU GCC and Clang know.
#pragma once

#include <stddef.h>
#include <string.h>

#include "cpu/base/weights.h"

namespace sanp {

struct Portable {
  typedef float F __attribute__((vector_size(16)));
  static constexpr int kLanes = 4;
  static constexpr int kRegisters = 16;

  static F zero() { return F{0, 0, 0, 0}; }
  static F set1(float v) { return F{v, v, v, v}; }
  static F load(const float* p) {
    F v;
    memcpy(&v, p, sizeof v);
    return v;
  }
  static void store(float* p, F v) { memcpy(p, &v, sizeof v); }
  static F add(F a, F b) { return a + b; }
  static F sub(F a, F b) { return a - b; }
  static F mul(F a, F b) { return a * b; }
  static F fma(F a, F b, F c) { return a * b + c; }
  static void accumulate(F& acc, F a, F b) { acc = a * b + acc; }
  static F broadcast(const float* w) { return set1(*w); }
  static F broadcast(const Bf16* w) {
    const uint32_t bits = static_cast<uint32_t>(w->upper) << 16;
    float v;
    memcpy(&v, &bits, sizeof v);
    return set1(v);
  }
  template <class T>
  static void accumulate_weight(F& acc, F x, const T* w) {
    accumulate(acc, broadcast(w), x);
  }
  // The second operand comes back when either is NaN, so a NaN in `v` survives max(low, v) and min(high, v).
  static F max(F a, F b) { return a > b ? a : b; }
  static F min(F a, F b) { return a < b ? a : b; }

  struct Mask {
    int first, end;
  };
  static Mask mask(int first, int count) { return {first, first + count}; }
  // Lanes outside the mask are not touched in memory; p is the address of lane 0. Loads make them zero.
  static F load_part(const float* p, Mask m) {
    F v = zero();
    for (int j = m.first; j < m.end; ++j) v[j] = p[j];
    return v;
  }
  // Whole vectors: behind a row there are zeros.
  static F load(const Bf16* p) {
    typedef uint32_t U __attribute__((vector_size(16)));
    const U bits = {p[0].upper, p[1].upper, p[2].upper, p[3].upper};
    return reinterpret_cast<F>(bits << 16);
  }
  static F load_part(const Bf16* p, Mask) { return load(p); }
  static void store_part(float* p, Mask m, F v) {
    for (int j = m.first; j < m.end; ++j) p[j] = v[j];
  }
  // p[0], p[2], p[4], p[6]; reads 7 floats.
  static F load_even(const float* p) { return F{p[0], p[2], p[4], p[6]}; }
  // Lanes from `count` on are zero; reads 2 * count - 1 floats.
  static F load_even_part(const float* p, int count) {
    F v = zero();
    for (int j = 0; j < count; ++j) v[j] = p[2 * j];
    return v;
  }
  // Lane j of out[k] is p[at[j] + k].
  static void load_4_each(const float* p, const ptrdiff_t* at, F* out) {
    for (int k = 0; k < 4; ++k) out[k] = F{p[at[0] + k], p[at[1] + k], p[at[2] + k], p[at[3] + k]};
  }
  // p[at[j] + k] is lane j of v[k].
  static void store_4_each(float* p, const ptrdiff_t* at, const F* v) {
    for (int j = 0; j < 4; ++j)
      for (int k = 0; k < 4; ++k) p[at[j] + k] = v[k][j];
  }
  // The same for two rows of two: p[at[j]], p[at[j] + 1], p[at[j] + pitch], p[at[j] + pitch + 1].
  static void store_2x2_each(float* p, const ptrdiff_t* at, ptrdiff_t pitch, const F* v) {
    for (int j = 0; j < 4; ++j)
      for (int k = 0; k < 4; ++k) p[at[j] + k / 2 * pitch + k % 2] = v[k][j];
  }
  // Lanes folded half on half: 2 + 2, 1 + 1. The order is part of the contract of the gate.
  static float fold(F v) { return sum(v); }
  static float sum(F v) { return (v[0] + v[2]) + (v[1] + v[3]); }
};

}  // namespace sanp
