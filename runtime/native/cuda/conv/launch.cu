// Starts the kernel that a plan names; those with packed weights are in packed/launch.cu.
#include "cuda/conv/launch.h"

#include "cuda/conv/direct.h"
#include "cuda/conv/gather.h"
#include "cuda/conv/halo.h"
#include "cuda/conv/pointwise.h"
#include "cuda/conv/simt.h"
#include "cuda/conv/split.h"

namespace sanp {
namespace cuda {
namespace {

cudaError_t launch_main(const SanpCudaPlan& p, SanpCudaType type, const ConvArgs& args, cudaStream_t stream) {
#define F32 SANP_CUDA_FLOAT32
#define F16 SANP_CUDA_FLOAT16
#define SANP_PACKED_KERNEL(...)
#define SANP_CONV_KERNEL(algorithm_, type_, tile_m_, tile_n_, threads_, ...) \
  if (p.algorithm == algorithm_ && type == type_ && p.tile_m == tile_m_ && p.tile_n == tile_n_ && \
      p.threads == threads_) \
    return launch<ConvArgs, __VA_ARGS__>(grid_of(p), p.threads, p.shared_bytes, stream, args);
#include "cuda/conv/kernels.inc"
#undef SANP_CONV_KERNEL
#undef SANP_PACKED_KERNEL
#undef F16
#undef F32
  return cudaErrorInvalidConfiguration;
}

cudaError_t launch_add_slices(SanpCudaType type, const ConvArgs& a, cudaStream_t stream) {
  const dim3 grid(static_cast<unsigned>(ceil_div(a.pixels, kSplitThreads)), static_cast<unsigned>(a.c_out),
                  static_cast<unsigned>(a.batch));
  if (type == SANP_CUDA_FLOAT32) return launch<ConvArgs, add_slices<float>>(grid, kSplitThreads, 0, stream, a);
  return launch<ConvArgs, add_slices<Half>>(grid, kSplitThreads, 0, stream, a);
}

}  // namespace

cudaError_t launch_conv(const SanpCudaPlan& plan, SanpCudaType type, const ConvArgs& args, cudaStream_t stream) {
  const cudaError_t error = launch_main(plan, type, args, stream);
  if (error != cudaSuccess || plan.split_k == 1) return error;
  return launch_add_slices(type, args, stream);
}

}  // namespace cuda
}  // namespace sanp
