// Int8 kernels for NEON with dot products.
#include "cpu/int8/kernels/simd_neon.h"
#include "cpu/int8/kernels/table_inl.h"

namespace sanp {
namespace {

constexpr Int8Kernels make() {
  Int8Kernels k = common_int8_kernels<Int8Neon>("neon-dot");
#define SANP_INT8_TILE_NEON(mr, nr) add_int8_tile<Int8Neon, mr, nr>(k);
#define SANP_INT8_DOT_NEON(mr, pr) add_int8_dot<Int8Neon, mr, pr>(k);
#include "cpu/int8/kernels/kernels.inc"
  return k;
}

constexpr Int8Kernels kKernels = make();

}  // namespace

const Int8Kernels& int8_neon_kernels() { return kKernels; }

}  // namespace sanp
