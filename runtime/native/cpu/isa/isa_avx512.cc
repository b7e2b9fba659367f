// Kernels for AVX-512: 32 registers, so up to 24 accumulators.
#include "cpu/isa/simd_avx512.h"
#include "cpu/isa/table_inl.h"

namespace sanp {
namespace {

constexpr IsaKernels make() {
  IsaKernels k = common_kernels<Avx512>("avx512", 4);
#define SANP_TILE_AVX512(mr, nr) add_tile<Avx512, mr, nr>(k);
#include "cpu/microkernels/kernels.inc"
#define SANP_PAIRS_AVX512(mr) add_pairs<Avx512, mr>(k);
#include "cpu/microkernels/pixel_pairs.inc"
  add_depthwise_in_place<Avx512>(k);
  k.depthwise_strided[3] = depthwise_strided<Avx512, 3>;
  k.depthwise_strided[5] = depthwise_strided<Avx512, 5>;
  k.narrower = avx2_kernels;
  return k;
}

constexpr IsaKernels kKernels = make();

}  // namespace

const IsaKernels& avx512_kernels() { return kKernels; }

}  // namespace sanp
