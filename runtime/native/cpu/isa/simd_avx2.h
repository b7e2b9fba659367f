// SIMD wrapper: AVX2 with FMA, 8 float lanes.
#pragma once

#include <immintrin.h>
#include <stddef.h>
#include <string.h>

#include "cpu/base/weights.h"

namespace sanp {

struct Avx2 {
  using F = __m256;
  static constexpr int kLanes = 8;
  static constexpr int kRegisters = 16;

  static F zero() { return _mm256_setzero_ps(); }
  static F set1(float v) { return _mm256_set1_ps(v); }
  static F load(const float* p) { return _mm256_loadu_ps(p); }
  static void store(float* p, F v) { _mm256_storeu_ps(p, v); }
  static F add(F a, F b) { return _mm256_add_ps(a, b); }
  static F sub(F a, F b) { return _mm256_sub_ps(a, b); }
  static F mul(F a, F b) { return _mm256_mul_ps(a, b); }
  static F fma(F a, F b, F c) { return _mm256_fmadd_ps(a, b, c); }
  // acc += a * b in place. From the intrinsic GCC 12 picks the 132 and 213 forms too and then moves accumulators
  // around, up to two register moves a multiply-add and spills in the 6 x 2 tile; the instruction itself cannot be
  // rewritten.
  static void accumulate(F& acc, F a, F b) { asm("vfmadd231ps %2, %1, %0" : "+x"(acc) : "x"(a), "x"(b)); }
  static F broadcast(const float* w) { return set1(*w); }
  // The weight and the one behind it as 32 bits; the shift drops the other.
  static F broadcast(const Bf16* w) {
    int both;
    memcpy(&both, w, sizeof both);
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_set1_epi32(both), 16));
  }
  template <class T>
  static void accumulate_weight(F& acc, F x, const T* w) {
    accumulate(acc, broadcast(w), x);
  }
  // The second operand comes back when either is NaN, so a NaN in `v` survives max(low, v) and min(high, v).
  static F max(F a, F b) { return _mm256_max_ps(a, b); }
  static F min(F a, F b) { return _mm256_min_ps(a, b); }

  using Mask = __m256i;
  static Mask mask(int first, int count) {
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return _mm256_and_si256(_mm256_cmpgt_epi32(lane, _mm256_set1_epi32(first - 1)),
                            _mm256_cmpgt_epi32(_mm256_set1_epi32(first + count), lane));
  }
  // Lanes outside the mask are not touched in memory; p is the address of lane 0. Loads make them zero.
  static F load_part(const float* p, Mask m) { return _mm256_maskload_ps(p, m); }
  // Whole vectors: behind a row there are zeros. One shuffle; widening with vpmovzxwd and a shift took 10 % longer.
  static F load(const Bf16* p) {
    return shuffle_halves(p, _mm256_setr_epi8(-1, -1, 0, 1, -1, -1, 2, 3, -1, -1, 4, 5, -1, -1, 6, 7, -1, -1, 8, 9, -1,
                                              -1, 10, 11, -1, -1, 12, 13, -1, -1, 14, 15));
  }
  // Bytes picked from 8 Bf16; -1 is zero.
  static F shuffle_halves(const Bf16* p, __m256i bytes) {
    const __m128i halves = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
    return _mm256_castsi256_ps(_mm256_shuffle_epi8(_mm256_broadcastsi128_si256(halves), bytes));
  }
  static F load_part(const Bf16* p, Mask) { return load(p); }
  static void store_part(float* p, Mask m, F v) { _mm256_maskstore_ps(p, m, v); }
  // One bit a lane.
  static Mask bits(uint16_t lanes) {
    const __m256i lane = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
    return _mm256_cmpeq_epi32(_mm256_and_si256(_mm256_set1_epi32(lanes), lane), lane);
  }
  // acc += a * p[lane] in the lanes of the mask; the others are not touched in memory.
  static void accumulate_part(F& acc, F a, const float* p, Mask m) { accumulate(acc, a, load_part(p, m)); }
  // Lanes 0, 2, 4, 6 in the lower half.
  static F even(F v) { return _mm256_permutevar8x32_ps(v, _mm256_setr_epi32(0, 2, 4, 6, 0, 2, 4, 6)); }
  // The first `count` lanes of the lower half.
  static void store_half(float* p, F v, int count) {
    if (count == kLanes / 2)
      _mm_storeu_ps(p, _mm256_castps256_ps128(v));
    else
      store_part(p, mask(0, count), v);
  }
  // p[0], p[2], ... p[14]; reads 15 floats.
  static F load_even(const float* p) { return even(_mm256_loadu_ps(p), _mm256_loadu_ps(p + 7)); }
  // Lanes from `count` on are zero; reads 2 * count - 1 floats.
  static F load_even_part(const float* p, int count) {
    const int n = 2 * count - 1;
    // Float 7 of the low half is float 0 of the high half; it is odd, so neither half keeps it.
    return _mm256_and_ps(even(load_part(p, mask(0, n < 8 ? n : 8)), load_part(p + 7, mask(0, n < 8 ? 0 : n - 7))),
                         _mm256_castsi256_ps(mask(0, count)));
  }
  static F even(__m256 low, __m256 high) {
    const __m256 mixed = _mm256_shuffle_ps(low, high, _MM_SHUFFLE(3, 1, 2, 0));
    return _mm256_castpd_ps(_mm256_permute4x64_pd(_mm256_castps_pd(mixed), _MM_SHUFFLE(3, 1, 2, 0)));
  }
  // Lane j of load_spread is p[taps[j]], or zero where taps[j] is negative; reads no further than p[n_taps - 1]. False
  // where the taps of these lanes are more than a vector apart.
  struct Spread {
    __m256i from, used, read;
    __m256i halves;  // where the bytes of each lane lie in 8 Bf16
    int base;
  };
  static bool make_spread(const int* taps, int n_taps, Spread* s) {
    int low = n_taps, high = 0;
    for (int j = 0; j < kLanes; ++j) {
      if (taps[j] < 0) continue;
      low = taps[j] < low ? taps[j] : low;
      high = taps[j] > high ? taps[j] : high;
    }
    if (low == n_taps) low = 0;
    const __m256i from = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(taps));
    s->from = _mm256_sub_epi32(from, _mm256_set1_epi32(low));
    s->used = _mm256_cmpgt_epi32(from, _mm256_set1_epi32(-1));
    const __m256i twice = _mm256_mullo_epi32(s->from, _mm256_set1_epi32(0x02020000));
    const __m256i bytes = _mm256_add_epi32(twice, _mm256_set1_epi32(0x0100ffff));
    s->halves = _mm256_blendv_epi8(_mm256_set1_epi8(-1), bytes, s->used);
    s->read = mask(0, n_taps - low < kLanes ? n_taps - low : kLanes);
    s->base = low;
    return high - low < kLanes;
  }
  static F load_spread(const float* p, const Spread& s) {
    const F cell = _mm256_maskload_ps(p + s.base, s.read);
    return _mm256_and_ps(_mm256_permutevar8x32_ps(cell, s.from), _mm256_castsi256_ps(s.used));
  }
  // The same; reads 8 taps, and the shuffle that widens them also permutes and clears.
  static F load_spread(const Bf16* p, const Spread& s) { return shuffle_halves(p + s.base, s.halves); }
  // Lane j of out[k] is p[at[j] + k].
  static void load_4_each(const float* p, const ptrdiff_t* at, F* out) {
    for (int j = 0; j < 4; ++j)
      out[j] = _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(p + at[j])), _mm_loadu_ps(p + at[j + 4]), 1);
    transpose_4x4(out);
  }
  // p[at[j] + k] is lane j of v[k]. Changes v.
  static void store_4_each(float* p, const ptrdiff_t* at, F* v) {
    transpose_4x4(v);
    for (int j = 0; j < 4; ++j) {
      _mm_storeu_ps(p + at[j], _mm256_castps256_ps128(v[j]));
      _mm_storeu_ps(p + at[j + 4], _mm256_extractf128_ps(v[j], 1));
    }
  }
  // The same for two rows of two: p[at[j]], p[at[j] + 1], p[at[j] + pitch], p[at[j] + pitch + 1].
  static void store_2x2_each(float* p, const ptrdiff_t* at, ptrdiff_t pitch, F* v) {
    transpose_4x4(v);
    for (int j = 0; j < 4; ++j) {
      store_2x2(p + at[j], pitch, _mm256_castps256_ps128(v[j]));
      store_2x2(p + at[j + 4], pitch, _mm256_extractf128_ps(v[j], 1));
    }
  }
  static void store_2x2(float* p, ptrdiff_t pitch, __m128 v) {
    _mm_storel_pi(reinterpret_cast<__m64*>(p), v);
    _mm_storeh_pi(reinterpret_cast<__m64*>(p + pitch), v);
  }
  // Four by four within each group of four lanes.
  static void transpose_4x4(F* v) {
    const F a = _mm256_unpacklo_ps(v[0], v[1]), b = _mm256_unpackhi_ps(v[0], v[1]);
    const F c = _mm256_unpacklo_ps(v[2], v[3]), d = _mm256_unpackhi_ps(v[2], v[3]);
    v[0] = _mm256_shuffle_ps(a, c, _MM_SHUFFLE(1, 0, 1, 0));
    v[1] = _mm256_shuffle_ps(a, c, _MM_SHUFFLE(3, 2, 3, 2));
    v[2] = _mm256_shuffle_ps(b, d, _MM_SHUFFLE(1, 0, 1, 0));
    v[3] = _mm256_shuffle_ps(b, d, _MM_SHUFFLE(3, 2, 3, 2));
  }
  // Lanes folded half on half: 4 + 4, 2 + 2, 1 + 1. The order is part of the contract of the gate.
  static float fold(F v) { return sum(v); }
  static float sum(F v) {
    __m128 s = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    s = _mm_add_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_add_ss(s, _mm_shuffle_ps(s, s, 1)));
  }
};

}  // namespace sanp
