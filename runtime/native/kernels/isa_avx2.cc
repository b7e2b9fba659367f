// Kernels for AVX2 + FMA: 16 registers; 6 x 2 is the widest tile that does not spill.
#include "simd_avx2.h"
#include "table_inl.h"

namespace sanp {
namespace {

constexpr IsaKernels make() {
  IsaKernels k = common_kernels<Avx2>("avx2", 2);
#define SANP_TILE_AVX2(mr, nr) add_tile<Avx2, mr, nr>(k);
#include "kernels.inc"
#define SANP_QUAD_AVX2(mr) add_quad<Avx2, mr>(k);
#include "quads.inc"
  return k;
}

constexpr IsaKernels kKernels = make();

}  // namespace

const IsaKernels& avx2_kernels() { return kKernels; }

}  // namespace sanp
