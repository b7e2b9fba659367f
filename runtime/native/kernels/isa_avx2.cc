// Kernels for AVX2 + FMA: 16 registers, so 6 x 2 or, with fewer loads per multiply-add, 4 x 3.
#include "simd_avx2.h"
#include "table_inl.h"

namespace sanp {
namespace {

constexpr IsaKernels make() {
  IsaKernels k = common_kernels<Avx2>("avx2", 3);
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
