// Int8 kernels for AVX-512 with VNNI and VBMI2.
#include "cpu/int8/kernels/simd_avx512.h"
#include "cpu/int8/kernels/table_inl.h"

namespace sanp {
namespace {

constexpr Int8Kernels make() {
  Int8Kernels k = common_int8_kernels<Int8Avx512>("avx512-vnni");
#define SANP_INT8_TILE_AVX512(mr, nr) add_int8_tile<Int8Avx512, mr, nr>(k);
#define SANP_INT8_DOT_AVX512(mr, pr) add_int8_dot<Int8Avx512, mr, pr>(k);
#include "cpu/int8/kernels/kernels.inc"
  return k;
}

constexpr Int8Kernels kKernels = make();

}  // namespace

const Int8Kernels& int8_avx512_kernels() { return kKernels; }

}  // namespace sanp
