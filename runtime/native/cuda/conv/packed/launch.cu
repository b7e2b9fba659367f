// Starts the two launches of a plan with packed weights.
#include "cuda/conv/launch.h"
#include "cuda/conv/packed/pack.h"
#include "cuda/conv/packed/packed.h"
#include "cuda/conv/packed/planes.h"

namespace sanp {
namespace cuda {
namespace {

cudaError_t launch_pack(const PackedConvArgs& a, cudaStream_t stream) {
  const int parts = ceil_div(a.packed.k_blocks * a.taps, kPackWarps * kPackFragments);
  const dim3 grid(static_cast<unsigned>(parts), static_cast<unsigned>(a.packed.row_blocks),
                  static_cast<unsigned>(a.packed.list_step == 0 ? 1 : a.batch));
  const int shared = list_layout(16, kPackThreads, a.group_in).tiles;
  return launch<PackedConvArgs, pack_weights>(grid, kPackThreads, shared, stream, a);
}

}  // namespace

cudaError_t launch_packed_conv(const SanpCudaPlan& p, const PackedConvArgs& args, cudaStream_t stream) {
  const cudaError_t error = launch_pack(args, stream);
  if (error != cudaSuccess) return error;
#define SANP_CONV_KERNEL(...)
#define SANP_PACKED_KERNEL(algorithm_, type_, tile_m_, tile_n_, threads_, ...) \
  if (p.algorithm == algorithm_ && p.tile_m == tile_m_ && p.tile_n == tile_n_ && p.threads == threads_) \
    return launch<PackedConvArgs, __VA_ARGS__>(grid_of(p), p.threads, p.shared_bytes, stream, args);
#include "cuda/conv/kernels.inc"
#undef SANP_PACKED_KERNEL
#undef SANP_CONV_KERNEL
  return cudaErrorInvalidConfiguration;
}

}  // namespace cuda
}  // namespace sanp
