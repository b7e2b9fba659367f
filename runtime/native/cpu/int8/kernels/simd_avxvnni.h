// Byte SIMD wrapper: AVX-VNNI, the products of AVX-512 VNNI on 256 bits for processors without AVX-512.
#pragma once

#include "cpu/int8/kernels/simd_256.h"

namespace sanp {

// Eight bytes a step, while products are as fast as those of 512 bits.
constexpr int kVnni256CompressCost = 17;

// Self adds accumulate(acc, x, w): the instruction has two encodings, and a processor may have one of them.
template <class Self>
struct Int8Vnni256 : Int8Ymm<Self> {
  static constexpr uint8_t kFlip = 0;
  using X = __m256i;
  static X load_pixels(const uint8_t* p) { return Int8Ymm<Self>::load(p); }
  static void accumulate_weight(__m256i& acc, X x, const int8_t* w) {
    Self::accumulate(acc, x, Int8Ymm<Self>::broadcast(w));
  }
};

}  // namespace sanp
