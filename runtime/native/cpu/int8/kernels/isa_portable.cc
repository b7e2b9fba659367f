// Int8 kernels for any processor.
#include "cpu/int8/kernels/simd_portable.h"
#include "cpu/int8/kernels/table_inl.h"

namespace sanp {
namespace {

constexpr Int8Kernels make() {
  Int8Kernels k = common_int8_kernels<Int8Portable>("portable");
#define SANP_INT8_TILE_PORTABLE(mr, nr) add_int8_tile<Int8Portable, mr, nr>(k);
#define SANP_INT8_DOT_PORTABLE(mr, pr) add_int8_dot<Int8Portable, mr, pr>(k);
#include "cpu/int8/kernels/kernels.inc"
  return k;
}

constexpr Int8Kernels kKernels = make();

}  // namespace

const Int8Kernels& int8_portable_kernels() { return kKernels; }

}  // namespace sanp
