// From a described convolution to kernels on a stream.
#pragma once

#include "cuda/base/launch.h"
#include "cuda/conv/args.h"
#include "cuda/conv/plan.h"

namespace sanp {
namespace cuda {

PackedConvArgs conv_args(const SanpCudaConv& c, const SanpCudaPlan& p, const SanpCudaConvTensors& t, void* workspace);

inline dim3 grid_of(const SanpCudaPlan& p) {
  return dim3(static_cast<unsigned>(p.grid[0]), static_cast<unsigned>(p.grid[1]), static_cast<unsigned>(p.grid[2]));
}

// All launches of a plan, which belongs to the shape. cudaErrorInvalidConfiguration if no kernel has its sizes.
cudaError_t launch_conv(const SanpCudaPlan& plan, SanpCudaType type, const ConvArgs& args, cudaStream_t stream);
cudaError_t launch_packed_conv(const SanpCudaPlan& plan, const PackedConvArgs& args, cudaStream_t stream);

}  // namespace cuda
}  // namespace sanp
