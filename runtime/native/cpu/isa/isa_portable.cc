// Kernels for any CPU: four lanes of the compiler's generic vectors.
#include "cpu/isa/simd_portable.h"
#include "cpu/isa/table_inl.h"

namespace sanp {
namespace {

constexpr IsaKernels make() {
  IsaKernels k = common_kernels<Portable>("portable", 2);
#define SANP_TILE_PORTABLE(mr, nr) add_tile<Portable, mr, nr>(k);
#include "cpu/microkernels/kernels.inc"
  return k;
}

constexpr IsaKernels kKernels = make();

}  // namespace

const IsaKernels& portable_kernels() { return kKernels; }

}  // namespace sanp
