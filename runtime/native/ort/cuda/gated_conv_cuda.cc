// Describes one gated convolution to the CUDA kernels and launches it on the stream of the run.
#include "ort/cuda/gated_conv_cuda.h"

#include <string.h>

namespace sanp {
namespace {

// A model with dynamic sizes could otherwise grow the list for ever; later shapes are planned per call.
constexpr size_t kMaxPlans = 16;

SanpCudaConv describe(const GatedConvArguments& a, const GatedConvAttributes& attributes) {
  const ConvShape& s = a.shape;
  SanpCudaConv c;
  memset(&c, 0, sizeof c);  // compared bytewise
  c.type = SANP_CUDA_FLOAT32;
  c.weight_order = SANP_CUDA_OIHW;
  c.batch = narrow(a.batch(), "the batch");
  c.c_in = narrow(s.channels_in, "the number of input channels");
  c.height = narrow(s.height, "the height of x");
  c.width = narrow(s.width, "the width of x");
  c.c_out = narrow(s.channels_out, "the number of output channels");
  c.out_height = narrow(a.out[2], "the height of y");
  c.out_width = narrow(a.out[3], "the width of y");
  c.kernel_h = narrow(s.kernel_h, "the height of w");
  c.kernel_w = narrow(s.kernel_w, "the width of w");
  c.stride_h = narrow(s.stride_y, "a stride");
  c.stride_w = narrow(s.stride_x, "a stride");
  c.pad_top = narrow(s.pad_top, "a pad");
  c.pad_left = narrow(s.pad_left, "a pad");
  c.dilation_h = narrow(s.dilation_y, "a dilation");
  c.dilation_w = narrow(s.dilation_x, "a dilation");
  c.group = narrow(s.group, "group");
  c.scale_rows = rows_of(a.scale);
  c.shift_rows = rows_of(a.shift);
  c.active_rows = rows_of(a.in_active);
  c.residual_dense = a.residual_is_map;
  c.act_min = attributes.act_min;
  c.act_max = attributes.act_max;
  return c;
}

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
  const GatedConvArguments a = gated_conv_arguments(api, context, attributes_);
  float* const y = output_tensor(api, context, 0, a.out, 4);
  if (a.batch() == 0) return;
  if (reinterpret_cast<uintptr_t>(a.x.data) % 16 != 0)
    fail("input 'x' is bound at an address that is no multiple of 16; bind the start of an allocation");
  const SanpCudaConv conv = describe(a, attributes_);
  const SanpCudaPlan plan = plan_for(conv);
  const SanpCudaConvTensors tensors{a.x.data,        a.w.data, a.scale.data, a.shift.data, a.in_active.data,
                                    a.residual.data, y};
  void* const stream = compute_stream(api, context);
  const Scratch scratch(sanp_cuda_conv_workspace(&conv, &plan), stream);
  check_cuda(scratch.status(), "scratch memory could not be allocated");
  check_cuda(sanp_cuda_conv(&conv, &plan, &tensors, scratch.get(), stream), "the launch failed");
}

}  // namespace sanp
