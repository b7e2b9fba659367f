// SIMD wrapper: four float lanes from the compiler's generic vectors; runs on every CPU GCC and Clang know.
#pragma once

#include <string.h>

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
  static F mul(F a, F b) { return a * b; }
  static F fma(F a, F b, F c) { return a * b + c; }
  static void accumulate(F& acc, F a, F b) { acc = a * b + acc; }
  static void accumulate_weight(F& acc, F x, const float* w) { accumulate(acc, set1(*w), x); }
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
  static float sum(F v) { return (v[0] + v[2]) + (v[1] + v[3]); }
};

}  // namespace sanp
