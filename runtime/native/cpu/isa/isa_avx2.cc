// Kernels for AVX2 + FMA: 16 registers, so 6 x 2 or, with fewer loads per multiply-add, 4 x 3.
#include "cpu/isa/simd_avx2.h"
#include "cpu/isa/table_inl.h"

namespace sanp {
namespace {

constexpr IsaKernels make() {
  IsaKernels k = common_kernels<Avx2>("avx2", 3);
#define SANP_TILE_AVX2(mr, nr) add_tile<Avx2, mr, nr>(k);
#include "cpu/microkernels/kernels.inc"
#define SANP_PAIRS_AVX2(mr) add_pairs<Avx2, mr>(k);
#include "cpu/microkernels/pixel_pairs.inc"
  add_depthwise_in_place<Avx2>(k);
  // Zen 3: with nine taps 6 x 2 is 3 to 7 % faster than 4 x 3 on strided 8x8 to 16x16 maps and within 2 % elsewhere;
  // with one tap it is up to 8 % slower. kColumns beats kRows there by 8 to 14 % for a stride of 2.
  k.max_nr9 = 2;
  k.strided_rows = 1.15;
  return k;
}

constexpr IsaKernels kKernels = make();

}  // namespace

const IsaKernels& avx2_kernels() { return kKernels; }

}  // namespace sanp
