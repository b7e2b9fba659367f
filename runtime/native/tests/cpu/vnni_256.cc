// The kernels of AVX-VNNI with the encoding of AVX-512 VL, which more machines have: the same instruction, registers
// and order, so what is proved here holds there.
#include "cpu/int8/kernels/simd_avxvnni.h"
#include "cpu/int8/kernels/table_inl.h"
#include "tests/cpu/int8_sets.h"

namespace sanp {
namespace test {
namespace {

struct Int8Vnni256Evex : Int8Vnni256<Int8Vnni256Evex> {
  static void accumulate(__m256i& acc, __m256i x, __m256i w) {
    asm("%{evex%} vpdpbusd %2, %1, %0" : "+x"(acc) : "x"(x), "x"(w));
  }
};

constexpr Int8Kernels make() {
  Int8Kernels k = common_int8_kernels<Int8Vnni256Evex>("avx-vnni as avx512vl");
#define SANP_INT8_TILE_AVXVNNI(mr, nr) add_int8_tile<Int8Vnni256Evex, mr, nr>(k);
#define SANP_INT8_DOT_AVXVNNI(mr, pr) add_int8_dot<Int8Vnni256Evex, mr, pr>(k);
#include "cpu/int8/kernels/kernels.inc"
  k.compress_cost = kVnni256CompressCost;
  return k;
}

constexpr Int8Kernels kKernels = make();

}  // namespace

const Int8Kernels& vnni_256_kernels() { return kKernels; }

}  // namespace test
}  // namespace sanp
