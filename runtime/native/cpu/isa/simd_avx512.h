// SIMD wrapper: AVX-512 (F, VL, DQ, BW), 16 float lanes.
#pragma once

#include <immintrin.h>
#include <stddef.h>
#include <string.h>

#include "cpu/base/weights.h"

namespace sanp {

struct Avx512 {
  using F = __m512;
  static constexpr int kLanes = 16;
  static constexpr int kRegisters = 32;

  static F zero() { return _mm512_setzero_ps(); }
  static F set1(float v) { return _mm512_set1_ps(v); }
  static F load(const float* p) { return _mm512_loadu_ps(p); }
  static void store(float* p, F v) { _mm512_storeu_ps(p, v); }
  static F add(F a, F b) { return _mm512_add_ps(a, b); }
  static F sub(F a, F b) { return _mm512_sub_ps(a, b); }
  static F mul(F a, F b) { return _mm512_mul_ps(a, b); }
  static F fma(F a, F b, F c) { return _mm512_fmadd_ps(a, b, c); }
  // acc += a * b in place. From the intrinsic GCC 12 picks the 132 and 213 forms too and then moves accumulators
  // around, up to two register moves a multiply-add and spills in the 6 x 4 tile; the instruction itself cannot be
  // rewritten.
  static void accumulate(F& acc, F a, F b) { asm("vfmadd231ps %2, %1, %0" : "+v"(acc) : "v"(a), "v"(b)); }
  static F broadcast(const float* w) { return set1(*w); }
  // The weight and the one behind it as 32 bits; the shift, which broadcasts by itself, drops the other.
  static F broadcast(const Bf16* w) {
    int both;
    memcpy(&both, w, sizeof both);
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_set1_epi32(both), 16));
  }
  static void accumulate_weight(F& acc, F x, const Bf16* w) { accumulate(acc, broadcast(w), x); }
  // acc += x * *w with the broadcast inside the instruction: where a weight is used once, a separate broadcast costs
  // a quarter of the speed (8 x 1 tile: 69 % of the FMA ceiling against 92 %).
  static void accumulate_weight(F& acc, F x, const float* w) {
    asm("vfmadd231ps %2%{1to16%}, %1, %0" : "+v"(acc) : "v"(x), "m"(*w));
  }
  // The second operand comes back when either is NaN, so a NaN in `v` survives max(low, v) and min(high, v).
  static F max(F a, F b) { return _mm512_max_ps(a, b); }
  static F min(F a, F b) { return _mm512_min_ps(a, b); }

  using Mask = __mmask16;
  static Mask mask(int first, int count) { return static_cast<Mask>(((1u << count) - 1u) << first); }
  // Lanes outside the mask are not touched in memory; p is the address of lane 0. Loads make them zero.
  static F load_part(const float* p, Mask m) { return _mm512_maskz_loadu_ps(m, p); }
  // Whole vectors: behind a row there are zeros.
  static F load(const Bf16* p) { return widen(load_halves(p)); }
  static F load_part(const Bf16* p, Mask) { return load(p); }
  static __m256i load_halves(const Bf16* p) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)); }
  static F widen(__m256i upper) { return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(upper), 16)); }
  static void store_part(float* p, Mask m, F v) { _mm512_mask_storeu_ps(p, m, v); }
  // One bit a lane.
  static Mask bits(uint16_t lanes) { return lanes; }
  // acc += a * p[lane] in the lanes of the mask; the others are not touched in memory. Merging inside the instruction
  // needs no register for what is loaded.
  static void accumulate_part(F& acc, F a, const float* p, Mask m) {
    struct Lanes {
      float v[kLanes];
    };
    asm("vfmadd231ps %2, %1, %0%{%3%}" : "+v"(acc) : "v"(a), "m"(*reinterpret_cast<const Lanes*>(p)), "Yk"(m));
  }
  // Lanes 0, 2, ... 14 in the lower half.
  static F even(F v) {
    const __m512i pick = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 0, 2, 4, 6, 8, 10, 12, 14);
    return _mm512_permutexvar_ps(pick, v);
  }
  // The first `count` lanes of the lower half.
  static void store_half(float* p, F v, int count) {
    if (count == kLanes / 2)
      _mm256_storeu_ps(p, _mm512_castps512_ps256(v));
    else
      store_part(p, mask(0, count), v);
  }
  // Lanes 0, 2, ... 14 of a, then those of b; and lanes 1, 3, ... 15.
  static F even_of(F a, F b) {
    const __m512i pick = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    return _mm512_permutex2var_ps(a, pick, b);
  }
  static F odd_of(F a, F b) {
    const __m512i pick = _mm512_setr_epi32(1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31);
    return _mm512_permutex2var_ps(a, pick, b);
  }
  // p[0], p[2], ... p[30]; reads 31 floats.
  static F load_even(const float* p) {
    const __m512i pick = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 17, 19, 21, 23, 25, 27, 29, 31);
    return _mm512_permutex2var_ps(_mm512_loadu_ps(p), pick, _mm512_loadu_ps(p + 15));
  }
  // Lanes from `count` on are zero; reads 2 * count - 1 floats.
  static F load_even_part(const float* p, int count) {
    const int n = 2 * count - 1;
    const __m512i pick = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 17, 19, 21, 23, 25, 27, 29, 31);
    const F low = load_part(p, mask(0, n < 16 ? n : 16)), high = load_part(p + 15, mask(0, n < 16 ? 0 : n - 15));
    return _mm512_maskz_permutex2var_ps(mask(0, count), low, pick, high);
  }
  // Lane j of load_spread is p[taps[j]], or zero where taps[j] is negative; reads p[0] to p[n_taps - 1].
  struct Spread {
    __m512i from;
    Mask used, read;
    __mmask32 upper;  // the upper halves of the lanes in use
  };
  static bool make_spread(const int* taps, int n_taps, Spread* s) {
    s->from = _mm512_loadu_si512(taps);
    s->used = _mm512_cmpge_epi32_mask(s->from, _mm512_setzero_si512());
    s->read = mask(0, n_taps);
    s->upper = _mm512_movepi16_mask(_mm512_maskz_set1_epi32(s->used, INT32_MIN));
    return n_taps <= kLanes;
  }
  static F load_spread(const float* p, const Spread& s) {
    return _mm512_maskz_permutexvar_ps(s.used, s.from, load_part(p, s.read));
  }
  // The same; reads 16 taps, and one permutation of halves widens, permutes and clears.
  static F load_spread(const Bf16* p, const Spread& s) {
    const __m512i halves = _mm512_castsi256_si512(load_halves(p));
    return _mm512_castsi512_ps(_mm512_maskz_permutexvar_epi16(s.upper, _mm512_slli_epi32(s.from, 16), halves));
  }
  // Lane j of out[k] is p[at[j] + k].
  static void load_4_each(const float* p, const ptrdiff_t* at, F* out) {
    for (int j = 0; j < 4; ++j) {
      F v = _mm512_castps128_ps512(_mm_loadu_ps(p + at[j]));
      v = _mm512_insertf32x4(v, _mm_loadu_ps(p + at[j + 4]), 1);
      v = _mm512_insertf32x4(v, _mm_loadu_ps(p + at[j + 8]), 2);
      out[j] = _mm512_insertf32x4(v, _mm_loadu_ps(p + at[j + 12]), 3);
    }
    transpose_4x4(out);
  }
  // p[at[j] + k] is lane j of v[k]. Changes v.
  static void store_4_each(float* p, const ptrdiff_t* at, F* v) {
    transpose_4x4(v);
    for (int j = 0; j < 4; ++j) {
      _mm_storeu_ps(p + at[j], _mm512_castps512_ps128(v[j]));
      _mm_storeu_ps(p + at[j + 4], _mm512_extractf32x4_ps(v[j], 1));
      _mm_storeu_ps(p + at[j + 8], _mm512_extractf32x4_ps(v[j], 2));
      _mm_storeu_ps(p + at[j + 12], _mm512_extractf32x4_ps(v[j], 3));
    }
  }
  // The same for two rows of two: p[at[j]], p[at[j] + 1], p[at[j] + pitch], p[at[j] + pitch + 1].
  static void store_2x2_each(float* p, const ptrdiff_t* at, ptrdiff_t pitch, F* v) {
    transpose_4x4(v);
    for (int j = 0; j < 4; ++j) {
      store_2x2(p + at[j], pitch, _mm512_castps512_ps128(v[j]));
      store_2x2(p + at[j + 4], pitch, _mm512_extractf32x4_ps(v[j], 1));
      store_2x2(p + at[j + 8], pitch, _mm512_extractf32x4_ps(v[j], 2));
      store_2x2(p + at[j + 12], pitch, _mm512_extractf32x4_ps(v[j], 3));
    }
  }
  static void store_2x2(float* p, ptrdiff_t pitch, __m128 v) {
    _mm_storel_pi(reinterpret_cast<__m64*>(p), v);
    _mm_storeh_pi(reinterpret_cast<__m64*>(p + pitch), v);
  }
  // Four by four within each group of four lanes.
  static void transpose_4x4(F* v) {
    const F a = _mm512_unpacklo_ps(v[0], v[1]), b = _mm512_unpackhi_ps(v[0], v[1]);
    const F c = _mm512_unpacklo_ps(v[2], v[3]), d = _mm512_unpackhi_ps(v[2], v[3]);
    v[0] = _mm512_shuffle_ps(a, c, _MM_SHUFFLE(1, 0, 1, 0));
    v[1] = _mm512_shuffle_ps(a, c, _MM_SHUFFLE(3, 2, 3, 2));
    v[2] = _mm512_shuffle_ps(b, d, _MM_SHUFFLE(1, 0, 1, 0));
    v[3] = _mm512_shuffle_ps(b, d, _MM_SHUFFLE(3, 2, 3, 2));
  }
  // Lanes folded half on half: 8 + 8, 4 + 4, 2 + 2, 1 + 1. The order is part of the contract of the gate.
  static float fold(F v) {
    const __m256 s = _mm256_add_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1));
    __m128 q = _mm_add_ps(_mm256_castps256_ps128(s), _mm256_extractf128_ps(s, 1));
    q = _mm_add_ps(q, _mm_movehl_ps(q, q));
    return _mm_cvtss_f32(_mm_add_ss(q, _mm_shuffle_ps(q, q, 1)));
  }
  static float sum(F v) { return _mm512_reduce_add_ps(v); }
};

}  // namespace sanp
