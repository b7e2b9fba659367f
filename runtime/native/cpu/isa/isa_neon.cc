// Kernels for 64-bit Arm: 32 registers, so 6 x 4 tiles of four lanes fit.
#include "cpu/isa/simd_neon.h"
#include "cpu/isa/table_inl.h"

namespace sanp {
namespace {

constexpr IsaKernels make() {
  IsaKernels k = common_kernels<Neon>("neon", 4);
#define SANP_TILE_NEON(mr, nr) add_tile<Neon, mr, nr>(k);
#include "cpu/microkernels/kernels.inc"
  return k;
}

constexpr IsaKernels kKernels = make();

}  // namespace

const IsaKernels& neon_kernels() { return kKernels; }

}  // namespace sanp
