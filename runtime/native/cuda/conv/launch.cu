// Starts the kernel that a plan names.
#include "cuda/conv/launch.h"

#include "cuda/base/launch.h"
#include "cuda/conv/direct.h"
#include "cuda/conv/gather.h"
#include "cuda/conv/halo.h"
#include "cuda/conv/pack.h"
#include "cuda/conv/packed.h"
#include "cuda/conv/packed_planes.h"
#include "cuda/conv/pointwise.h"
#include "cuda/conv/simt.h"
#include "cuda/conv/split.h"

namespace sanp {
namespace cuda {
namespace {

dim3 grid_of(const SanpCudaPlan& p) {
  return dim3(static_cast<unsigned>(p.grid[0]), static_cast<unsigned>(p.grid[1]), static_cast<unsigned>(p.grid[2]));
}

template <class Args>
Args arguments_of(void (*kernel)(Args));  // names the type

cudaError_t launch_main(const SanpCudaPlan& p, SanpCudaType type, const PackedConvArgs& args, cudaStream_t stream) {
#define F32 SANP_CUDA_FLOAT32
#define F16 SANP_CUDA_FLOAT16
#define SANP_CONV_KERNEL(algorithm_, type_, tile_m_, tile_n_, threads_, ...) \
  if (p.algorithm == algorithm_ && type == type_ && p.tile_m == tile_m_ && p.tile_n == tile_n_ && \
      p.threads == threads_) \
    return launch<decltype(arguments_of(__VA_ARGS__)), __VA_ARGS__>(grid_of(p), p.threads, p.shared_bytes, stream, \
                                                                    args);
#include "cuda/conv/kernels.inc"
#undef SANP_CONV_KERNEL
#undef F16
#undef F32
  return cudaErrorInvalidConfiguration;
}

cudaError_t launch_pack(const PackedConvArgs& a, cudaStream_t stream) {
  const int parts = ceil_div(a.packed.k_blocks * a.taps, kPackWarps * kPackFragments);
  const dim3 grid(static_cast<unsigned>(parts), static_cast<unsigned>(a.packed.row_blocks),
                  static_cast<unsigned>(a.packed.list_step == 0 ? 1 : a.batch));
  const int shared = list_layout(16, kPackThreads, a.group_in).tiles;
  return launch<PackedConvArgs, pack_weights>(grid, kPackThreads, shared, stream, a);
}

cudaError_t launch_add_slices(SanpCudaType type, const ConvArgs& a, cudaStream_t stream) {
  const dim3 grid(static_cast<unsigned>(ceil_div(a.pixels, kSplitThreads)), static_cast<unsigned>(a.c_out),
                  static_cast<unsigned>(a.batch));
  if (type == SANP_CUDA_FLOAT32) return launch<ConvArgs, add_slices<float>>(grid, kSplitThreads, 0, stream, a);
  return launch<ConvArgs, add_slices<Half>>(grid, kSplitThreads, 0, stream, a);
}

}  // namespace

int launch_conv(const SanpCudaPlan& plan, SanpCudaType type, const PackedConvArgs& args, void* stream) {
  const cudaStream_t s = static_cast<cudaStream_t>(stream);
  cudaError_t error = is_packed(plan.algorithm) ? launch_pack(args, s) : cudaSuccess;
  if (error == cudaSuccess) error = launch_main(plan, type, args, s);
  if (error != cudaSuccess || plan.split_k == 1 || is_packed(plan.algorithm)) return static_cast<int>(error);
  return static_cast<int>(launch_add_slices(type, args, s));
}

}  // namespace cuda
}  // namespace sanp
