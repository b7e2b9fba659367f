// Byte SIMD wrapper: AVX-512 with VNNI and VBMI2, 16 sums of four products.
#pragma once

#include <immintrin.h>

#include "cpu/int8/kernels/calls.h"

namespace sanp {

struct Int8Avx512 {
  static constexpr int kLanes = 16;
  static constexpr uint8_t kFlip = 0;
  using I = __m512i;
  using F = __m512;
  using X = __m512i;
  using W = __m512i;

  static I zero() { return _mm512_setzero_si512(); }
  static I set1(int32_t a) { return _mm512_set1_epi32(a); }
  static I add(I a, I b) { return _mm512_add_epi32(a, b); }
  static X load_pixels(const uint8_t* p) { return _mm512_loadu_si512(p); }
  static W load_weights(const int8_t* p) { return _mm512_loadu_si512(p); }
  static W broadcast(const int8_t* p) {
    int32_t quad;
    __builtin_memcpy(&quad, p, sizeof quad);
    return _mm512_set1_epi32(quad);
  }
  // In place, as an instruction: see simd_avx512.h of the float kernels.
  static void accumulate(I& acc, X x, W w) { asm("vpdpbusd %2, %1, %0" : "+v"(acc) : "v"(x), "v"(w)); }
  static void accumulate_weight(I& acc, X x, const int8_t* w) {
    asm("vpdpbusd %2%{1to16%}, %1, %0" : "+v"(acc) : "v"(x), "m"(*reinterpret_cast<const int32_t (*)[1]>(w)));
  }
  // Four sums at once share their shuffles.
  template <int P>
  static void store_sums(const I* acc, int32_t* out) {
    if (P < 4) {
      for (int p = 0; p < P; ++p) out[p] = _mm512_reduce_add_epi32(acc[p]);
      return;
    }
    const I ab = add(_mm512_unpacklo_epi32(acc[0], acc[1]), _mm512_unpackhi_epi32(acc[0], acc[1]));
    const I cd = add(_mm512_unpacklo_epi32(acc[2], acc[3]), _mm512_unpackhi_epi32(acc[2], acc[3]));
    const I s = add(_mm512_unpacklo_epi64(ab, cd), _mm512_unpackhi_epi64(ab, cd));
    const __m256i half = _mm256_add_epi32(_mm512_castsi512_si256(s), _mm512_extracti64x4_epi64(s, 1));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(out),
                     _mm_add_epi32(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1)));
  }
  static I load_sums(const int32_t* p) { return _mm512_loadu_si512(p); }

  static F set1(float a) { return _mm512_set1_ps(a); }
  static F to_float(I a) { return _mm512_cvtepi32_ps(a); }
  static F add(F a, F b) { return _mm512_add_ps(a, b); }
  static F sub(F a, F b) { return _mm512_sub_ps(a, b); }
  static F mul(F a, F b) { return _mm512_mul_ps(a, b); }
  static F max(F a, F b) { return _mm512_max_ps(a, b); }
  static F min(F a, F b) { return _mm512_min_ps(a, b); }
  static __mmask16 lanes(int count) { return static_cast<__mmask16>((1u << count) - 1u); }
  static F load_bytes(const uint8_t* p, int count) {
    const __m128i bytes =
        count == kLanes ? _mm_loadu_si128(reinterpret_cast<const __m128i*>(p)) : _mm_maskz_loadu_epi8(lanes(count), p);
    return _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(bytes));
  }
  static void store_bytes(uint8_t* p, F v, int32_t zero, int count) {
    const __m128i bytes = _mm512_cvtepi32_epi8(add(_mm512_cvtps_epi32(v), set1(zero)));
    if (count == kLanes)
      _mm_storeu_si128(reinterpret_cast<__m128i*>(p), bytes);
    else
      _mm_mask_storeu_epi8(p, lanes(count), bytes);
  }

  static void copy_vector(const uint32_t* from, uint32_t* to) { _mm512_storeu_si512(to, _mm512_loadu_si512(from)); }
  static I cells(const uint8_t* const* c, ptrdiff_t i, __mmask16 m) {
    const I a = _mm512_cvtepu8_epi32(_mm_maskz_loadu_epi8(m, c[0] + i));
    const I b = _mm512_slli_epi32(_mm512_cvtepu8_epi32(_mm_maskz_loadu_epi8(m, c[1] + i)), 8);
    const I d = _mm512_slli_epi32(_mm512_cvtepu8_epi32(_mm_maskz_loadu_epi8(m, c[2] + i)), 16);
    const I e = _mm512_slli_epi32(_mm512_cvtepu8_epi32(_mm_maskz_loadu_epi8(m, c[3] + i)), 24);
    return _mm512_or_si512(_mm512_or_si512(a, b), _mm512_or_si512(d, e));
  }
  static __m128i bytes16(const uint8_t* p) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(p)); }
  static void interleave(const uint8_t* const* c, ptrdiff_t n, uint32_t* out) {
    ptrdiff_t i = 0;
    for (; i + kLanes <= n; i += kLanes) {
      const __m128i a = bytes16(c[0] + i), b = bytes16(c[1] + i), d = bytes16(c[2] + i), e = bytes16(c[3] + i);
      const __m128i ab = _mm_unpacklo_epi8(a, b), ab2 = _mm_unpackhi_epi8(a, b);
      const __m128i de = _mm_unpacklo_epi8(d, e), de2 = _mm_unpackhi_epi8(d, e);
      __m128i* const to = reinterpret_cast<__m128i*>(out + i);
      _mm_storeu_si128(to, _mm_unpacklo_epi16(ab, de));
      _mm_storeu_si128(to + 1, _mm_unpackhi_epi16(ab, de));
      _mm_storeu_si128(to + 2, _mm_unpacklo_epi16(ab2, de2));
      _mm_storeu_si128(to + 3, _mm_unpackhi_epi16(ab2, de2));
    }
    if (i < n) _mm512_storeu_si512(out + i, cells(c, i, lanes(static_cast<int>(n - i))));
  }
  // To a register and then to memory: the form that stores by itself is microcode on Zen 4.
  static void compress(const int8_t* row, ptrdiff_t channels, const Int8Channels& active, int8_t* out) {
    const uint64_t* mask = active.masks;
    for (ptrdiff_t i = 0; i < channels; i += 64, ++mask) {
      _mm512_storeu_si512(out, _mm512_maskz_compress_epi8(*mask, _mm512_loadu_si512(row + i)));
      out += __builtin_popcountll(*mask);
    }
  }
  // Both rows, then neighbours: a byte moved down by one in each word meets the other of its pair.
  static __m128i max_of_words(const uint8_t* a, const uint8_t* b) {
    const __m128i both = _mm_max_epu8(bytes16(a), bytes16(b));
    return _mm_and_si128(_mm_max_epu8(both, _mm_srli_epi16(both, 8)), _mm_set1_epi16(0xff));
  }
  static void max_of_pairs(const uint8_t* a, const uint8_t* b, ptrdiff_t n, uint8_t* out) {
    ptrdiff_t i = 0;
    for (; i + 16 <= n; i += 16) {
      const __m128i low = max_of_words(a + 2 * i, b + 2 * i), high = max_of_words(a + 2 * i + 16, b + 2 * i + 16);
      _mm_storeu_si128(reinterpret_cast<__m128i*>(out + i), _mm_packus_epi16(low, high));
    }
    for (; i + 8 <= n; i += 8) {
      const __m128i low = max_of_words(a + 2 * i, b + 2 * i);
      _mm_storel_epi64(reinterpret_cast<__m128i*>(out + i), _mm_packus_epi16(low, low));
    }
    for (; i < n; ++i) out[i] = max_of_four(a + 2 * i, b + 2 * i);
  }
  static int32_t sum_weights(const int8_t* row, ptrdiff_t n) {
    const X ones = _mm512_set1_epi8(1);
    I sum = zero();
    ptrdiff_t i = 0;
    for (; i + 64 <= n; i += 64) accumulate(sum, ones, load_weights(row + i));
    accumulate(sum, ones, _mm512_maskz_loadu_epi8((uint64_t{1} << (n - i)) - 1, row + i));
    return _mm512_reduce_add_epi32(sum);
  }
  static void channel_sums(const uint8_t* x, ptrdiff_t channels, ptrdiff_t pixels, int32_t* sums) {
    for (ptrdiff_t c = 0; c < channels; ++c, x += pixels) {
      I sum = zero();
      ptrdiff_t i = 0;
      for (; i + 64 <= pixels; i += 64) sum = add(sum, _mm512_sad_epu8(_mm512_loadu_si512(x + i), zero()));
      const __mmask64 rest = (uint64_t{1} << (pixels - i)) - 1;
      sum = add(sum, _mm512_sad_epu8(_mm512_maskz_loadu_epi8(rest, x + i), zero()));
      sums[c] = _mm512_reduce_add_epi32(sum);
    }
  }
};

}  // namespace sanp
