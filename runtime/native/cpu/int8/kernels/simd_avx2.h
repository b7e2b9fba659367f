// Byte SIMD wrapper: AVX2, exact.
//
// VPMADDUBSW adds two products of an unsigned and a signed byte into 16 bits and saturates. So pixels are moved to -128
// to 127, and the unsigned factor is their magnitude: 2 * 128 * 127 fits. The sign goes to the weight.
#pragma once

#include "cpu/int8/kernels/simd_256.h"

namespace sanp {

struct Int8Avx2 : Int8Ymm<Int8Avx2> {
  static constexpr uint8_t kFlip = 0x80;
  struct X {
    __m256i value, magnitude;
  };

  static X load_pixels(const uint8_t* p) {
    const __m256i x = load(p);
    return {x, _mm256_abs_epi8(x)};
  }
  static void accumulate(I& acc, const X& x, W w) {
    const __m256i pairs = _mm256_maddubs_epi16(x.magnitude, _mm256_sign_epi8(w, x.value));
    acc = add(acc, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
  }
  static void accumulate_weight(I& acc, const X& x, const int8_t* w) { accumulate(acc, x, broadcast(w)); }
};

}  // namespace sanp
