// Plans one gated convolution per shape and launches it on the stream of the run.
#include "ort/cuda/gated_conv_cuda.h"

#include <string.h>

#include "cuda/describe.h"

namespace sanp {
namespace {

// A model with dynamic sizes could otherwise grow the list for ever; later shapes are planned per call.
constexpr size_t kMaxPlans = 16;

}  // namespace

SanpCudaPlan GatedConvCudaKernel::plan_for(const SanpCudaConv& conv) const {
  const std::lock_guard<std::mutex> lock(mutex_);
  for (const Planned& p : planned_)
    if (memcmp(&p.conv, &conv, sizeof conv) == 0) return p.plan;
  SanpCudaDevice device;
  check_cuda(sanp_cuda_device(&device), "no CUDA device to plan for");
  Planned made{conv, {}};
  check_cuda(sanp_cuda_conv_plan(&conv, &device, &made.plan), "the CUDA kernels do not have this convolution");
  if (planned_.size() < kMaxPlans) planned_.push_back(made);
  return made.plan;
}

void GatedConvCudaKernel::compute(OrtKernelContext* context) const {
  const GatedConvArguments a(api, context, attributes_);
  float* const y = gated_conv_output(api, context, a.problem);
  if (a.problem.batch == 0) return;
  if (reinterpret_cast<uintptr_t>(a.in.data(kConvX)) % 16 != 0)
    fail("input 'x' is bound at an address that is no multiple of 16; bind the start of an allocation");
  const SanpCudaConv conv = cuda::describe(attributes_, a.problem, SANP_CUDA_FLOAT32);
  const SanpCudaPlan plan = plan_for(conv);
  const SanpCudaConvTensors tensors{a.in.data(kConvX),
                                    a.in.data(kConvW),
                                    a.in.data(kConvScale),
                                    a.in.data(kConvShift),
                                    a.in.data(kConvInActive),
                                    a.in.data(kConvResidual),
                                    y};
  void* const stream = compute_stream(api, context);
  const Scratch scratch(sanp_cuda_conv_workspace(&conv, &plan), stream);
  check_cuda(scratch.status(), "scratch memory could not be allocated");
  check_cuda(sanp_cuda_conv(&conv, &plan, &tensors, scratch.get(), stream), "the launch failed");
}

}  // namespace sanp
