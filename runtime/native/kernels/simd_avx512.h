// SIMD wrapper: AVX-512 (F, VL, DQ, BW), 16 float lanes.
#pragma once

#include <immintrin.h>

namespace sanp {

struct Avx512 {
  using F = __m512;
  static constexpr int kLanes = 16;

  static F zero() { return _mm512_setzero_ps(); }
  static F set1(float v) { return _mm512_set1_ps(v); }
  static F load(const float* p) { return _mm512_loadu_ps(p); }
  static void store(float* p, F v) { _mm512_storeu_ps(p, v); }
  static F add(F a, F b) { return _mm512_add_ps(a, b); }
  static F mul(F a, F b) { return _mm512_mul_ps(a, b); }
  static F fma(F a, F b, F c) { return _mm512_fmadd_ps(a, b, c); }
  // The second operand comes back when either is NaN, so a NaN in `v` survives max(low, v) and min(high, v).
  static F max(F a, F b) { return _mm512_max_ps(a, b); }
  static F min(F a, F b) { return _mm512_min_ps(a, b); }

  static __mmask16 mask(int first, int count) { return static_cast<__mmask16>(((1u << count) - 1u) << first); }
  // Lanes outside [first, first + count) are zero and are not touched in memory; p is the address of lane 0.
  static F load_part(const float* p, int first, int count) { return _mm512_maskz_loadu_ps(mask(first, count), p); }
  static void store_part(float* p, int first, int count, F v) { _mm512_mask_storeu_ps(p, mask(first, count), v); }
  // Joins vectors whose non-zero lanes do not overlap.
  static F join(F a, F b) {
    return _mm512_castsi512_ps(_mm512_or_si512(_mm512_castps_si512(a), _mm512_castps_si512(b)));
  }
  // p[0], p[2], ... p[30]; reads 31 floats.
  static F load_even(const float* p) {
    const __m512i pick = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 17, 19, 21, 23, 25, 27, 29, 31);
    return _mm512_permutex2var_ps(_mm512_loadu_ps(p), pick, _mm512_loadu_ps(p + 15));
  }
  static float sum(F v) { return _mm512_reduce_add_ps(v); }
};

}  // namespace sanp
