// Int8 kernels for AVX2.
#include "cpu/int8/kernels/simd_avx2.h"
#include "cpu/int8/kernels/table_inl.h"

namespace sanp {
namespace {

constexpr Int8Kernels make() {
  Int8Kernels k = common_int8_kernels<Int8Avx2>("avx2");
#define SANP_INT8_TILE_AVX2(mr, nr) add_int8_tile<Int8Avx2, mr, nr>(k);
#define SANP_INT8_DOT_AVX2(mr, pr) add_int8_dot<Int8Avx2, mr, pr>(k);
#include "cpu/int8/kernels/kernels.inc"
  return k;
}

constexpr Int8Kernels kKernels = make();

}  // namespace

const Int8Kernels& int8_avx2_kernels() { return kKernels; }

}  // namespace sanp
