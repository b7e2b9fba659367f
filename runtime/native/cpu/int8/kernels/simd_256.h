// What the byte wrappers of 256 bits share: everything but the products. 8 sums of four products.
//
// Self: the wrapper. A template, so that each of them has functions of its own, compiled with its flags.
#pragma once

#include <immintrin.h>

#include "cpu/int8/kernels/byte_shuffles.h"
#include "cpu/int8/kernels/calls.h"

namespace sanp {

template <class Self>
struct Int8Ymm {
  static constexpr int kLanes = 8;
  using I = __m256i;
  using F = __m256;
  using W = __m256i;

  static __m256i load(const void* p) { return _mm256_loadu_si256(static_cast<const __m256i*>(p)); }
  static I zero() { return _mm256_setzero_si256(); }
  static I set1(int32_t a) { return _mm256_set1_epi32(a); }
  static I add(I a, I b) { return _mm256_add_epi32(a, b); }
  static W load_weights(const int8_t* p) { return load(p); }
  static W broadcast(const int8_t* p) {
    int32_t quad;
    __builtin_memcpy(&quad, p, sizeof quad);
    return _mm256_set1_epi32(quad);
  }
  static int32_t sum(I v) {
    __m128i s = _mm_add_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
    s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0x4e));
    return _mm_cvtsi128_si32(_mm_add_epi32(s, _mm_shuffle_epi32(s, 0xb1)));
  }
  template <int P>
  static void store_sums(const I* acc, int32_t* out) {
    for (int p = 0; p < P; ++p) out[p] = sum(acc[p]);
  }
  static I load_sums(const int32_t* p) { return load(p); }

  static F set1(float a) { return _mm256_set1_ps(a); }
  static F to_float(I a) { return _mm256_cvtepi32_ps(a); }
  static F add(F a, F b) { return _mm256_add_ps(a, b); }
  static F sub(F a, F b) { return _mm256_sub_ps(a, b); }
  static F mul(F a, F b) { return _mm256_mul_ps(a, b); }
  static F max(F a, F b) { return _mm256_max_ps(a, b); }
  static F min(F a, F b) { return _mm256_min_ps(a, b); }
  static F load_bytes(const uint8_t* p, int count) {
    uint64_t bytes = 0;
    if (count == kLanes)
      __builtin_memcpy(&bytes, p, sizeof bytes);
    else
      for (int i = 0; i < count; ++i) bytes |= static_cast<uint64_t>(p[i]) << 8 * i;
    return _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_cvtsi64_si128(static_cast<long long>(bytes))));
  }
  static void store_bytes(uint8_t* p, F v, int32_t zero, int count) {
    const I whole = add(_mm256_cvtps_epi32(v), set1(zero));
    const __m128i words = _mm_packus_epi32(_mm256_castsi256_si128(whole), _mm256_extracti128_si256(whole, 1));
    uint64_t bytes = static_cast<uint64_t>(_mm_cvtsi128_si64(_mm_packus_epi16(words, words)));
    if (count == kLanes)
      __builtin_memcpy(p, &bytes, sizeof bytes);
    else
      for (int i = 0; i < count; ++i, bytes >>= 8) p[i] = static_cast<uint8_t>(bytes);
  }

  static void copy_vector(const uint32_t* from, uint32_t* to) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), load(from));
  }
  static __m128i bytes16(const uint8_t* p) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(p)); }
  static void interleave(const uint8_t* const* c, ptrdiff_t n, uint32_t* out) {
    const __m128i flip = _mm_set1_epi8(static_cast<char>(Self::kFlip));
    ptrdiff_t i = 0;
    for (; i + 16 <= n; i += 16) {
      const __m128i a = bytes16(c[0] + i), b = bytes16(c[1] + i), d = bytes16(c[2] + i), e = bytes16(c[3] + i);
      const __m128i ab = _mm_unpacklo_epi8(a, b), ab2 = _mm_unpackhi_epi8(a, b);
      const __m128i de = _mm_unpacklo_epi8(d, e), de2 = _mm_unpackhi_epi8(d, e);
      __m128i* const to = reinterpret_cast<__m128i*>(out + i);
      _mm_storeu_si128(to, _mm_xor_si128(flip, _mm_unpacklo_epi16(ab, de)));
      _mm_storeu_si128(to + 1, _mm_xor_si128(flip, _mm_unpackhi_epi16(ab, de)));
      _mm_storeu_si128(to + 2, _mm_xor_si128(flip, _mm_unpacklo_epi16(ab2, de2)));
      _mm_storeu_si128(to + 3, _mm_xor_si128(flip, _mm_unpackhi_epi16(ab2, de2)));
    }
    for (; i < n; ++i) out[i] = quad_of(c, i) ^ 0x01010101u * Self::kFlip;
  }
  static void compress(const int8_t* row, ptrdiff_t channels, const Int8Channels& active, int8_t* out) {
    const uint8_t* const masks = reinterpret_cast<const uint8_t*>(active.masks);
    for (ptrdiff_t i = 0; i < channels; i += 8) {
      const int m = masks[i / 8];
      const __m128i from = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(kByteShuffles.from[m]));
      const __m128i bytes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(row + i));
      _mm_storel_epi64(reinterpret_cast<__m128i*>(out), _mm_shuffle_epi8(bytes, from));
      out += __builtin_popcount(static_cast<unsigned>(m));
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
    I total = zero();
    ptrdiff_t i = 0;
    for (; i + 32 <= n; i += 32)
      total =
          add(total, _mm256_madd_epi16(_mm256_maddubs_epi16(_mm256_set1_epi8(1), load(row + i)), _mm256_set1_epi16(1)));
    int32_t rest = sum(total);
    for (; i < n; ++i) rest += row[i];
    return rest;
  }
  static void channel_sums(const uint8_t* x, ptrdiff_t channels, ptrdiff_t pixels, int32_t* sums) {
    for (ptrdiff_t c = 0; c < channels; ++c, x += pixels) {
      I total = zero();
      ptrdiff_t i = 0;
      for (; i + 32 <= pixels; i += 32) total = add(total, _mm256_sad_epu8(load(x + i), zero()));
      int32_t rest = sum(total);
      for (; i < pixels; ++i) rest += x[i];
      sums[c] = rest;
    }
  }
};

}  // namespace sanp
