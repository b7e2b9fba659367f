// Int8 kernels for AVX-VNNI.
#include "cpu/int8/kernels/simd_avxvnni.h"
#include "cpu/int8/kernels/table_inl.h"

namespace sanp {
namespace {

struct Int8AvxVnni : Int8Vnni256<Int8AvxVnni> {
  static void accumulate(__m256i& acc, __m256i x, __m256i w) {
    asm("%{vex%} vpdpbusd %2, %1, %0" : "+x"(acc) : "x"(x), "x"(w));
  }
};

constexpr Int8Kernels make() {
  Int8Kernels k = common_int8_kernels<Int8AvxVnni>("avx-vnni");
#define SANP_INT8_TILE_AVXVNNI(mr, nr) add_int8_tile<Int8AvxVnni, mr, nr>(k);
#define SANP_INT8_DOT_AVXVNNI(mr, pr) add_int8_dot<Int8AvxVnni, mr, pr>(k);
#include "cpu/int8/kernels/kernels.inc"
  k.compress_cost = kVnni256CompressCost;
  return k;
}

constexpr Int8Kernels kKernels = make();

}  // namespace

const Int8Kernels& int8_avxvnni_kernels() { return kKernels; }

}  // namespace sanp
