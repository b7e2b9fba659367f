// From a described convolution to kernels on a stream.
#pragma once

#include "cuda/conv/args.h"
#include "cuda/conv/plan.h"

namespace sanp {
namespace cuda {

PackedConvArgs conv_args(const SanpCudaConv& c, const SanpCudaPlan& p, const SanpCudaConvTensors& t, void* workspace);

// A status of sanp_cuda.h. The plan belongs to the shape.
int launch_conv(const SanpCudaPlan& plan, SanpCudaType type, const PackedConvArgs& args, void* stream);

}  // namespace cuda
}  // namespace sanp
