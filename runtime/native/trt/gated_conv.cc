// Checks one gated convolution and describes it to the kernels.
#include "trt/gated_conv.h"

#include <string.h>

namespace sanp {
namespace trt {
namespace {

enum Input { kX, kW, kScale, kShift, kActive, kResidual, kY };

Error check_channels(const SanpCudaConv& c, const Tensor& x, const Tensor& w, int64_t weights_in) {
  if (c.c_in % c.group != 0 || c.c_out % c.group != 0)
    return Error::format("group = %d does not divide %d input and %d output channels; re-export the model", c.group,
                         c.c_in, c.c_out);
  if (weights_in != c.c_in / c.group)
    return Error::format("'w' has shape %s, weight_order %d, but 'x' has shape %s and group is %d; re-export the model",
                         ShapeText(w.shape).text, c.weight_order, ShapeText(x.shape).text, c.group);
  return {};
}

Error check_output(const ConvAttributes& a, const Tensor* in, const Tensor& y) {
  Numbers numbers;
  Shape<int64_t> shapes[] = {in[kX].shape, in[kW].shape}, expected;
  GatedConv::output_shapes(a, shapes, &expected, numbers);
  const int64_t* const d = expected.dims;
  if (d[2] < 1 || d[3] < 1 || d[2] > INT32_MAX || d[3] > INT32_MAX)
    return Error::format("'x' of shape %s is too small for the kernel of 'w' %s with these pads; check the input size",
                         ShapeText(in[kX].shape).text, ShapeText(in[kW].shape).text);
  if (!y.has({d[0], d[1], d[2], d[3]}))
    return Error::format("'y' has shape %s; expected %s, build the engine again", ShapeText(y.shape).text,
                         ShapeText(expected).text);
  return {};
}

}  // namespace

bool GatedConv::accepts(int32_t position, const Tensor* tensors) noexcept {
  const Tensor& t = tensors[position];
  if (!t.linear) return false;
  switch (position) {
    case kX:
      return t.type == Type::kFloat || t.type == Type::kHalf;
    case kW:
    case kResidual:
    case kY:
      return t.type == tensors[kX].type;
    default:
      return t.type == Type::kFloat;
  }
}

Error GatedConv::describe(const ConvAttributes& a, const Tensor* in, const Tensor* out, SanpCudaConv* conv) noexcept {
  const Tensor &x = in[kX], &w = in[kW];
  if (Error e = require_dense(x, "x", 4, kMayBeEmpty)) return e;
  if (Error e = require_dense(w, "w", 4)) return e;
  const bool hwio = a.weight_order == SANP_CUDA_HWIO;
  const auto size = [](const Tensor& t, int i) { return static_cast<int32_t>(t.shape.dims[i]); };
  SanpCudaConv c;
  memset(&c, 0, sizeof c);
  c.type = x.type == Type::kHalf ? SANP_CUDA_FLOAT16 : SANP_CUDA_FLOAT32;
  c.weight_order = a.weight_order;
  c.batch = size(x, 0);
  c.c_in = size(x, 1);
  c.height = size(x, 2);
  c.width = size(x, 3);
  c.c_out = size(w, hwio ? 3 : 0);
  c.kernel_h = size(w, hwio ? 0 : 2);
  c.kernel_w = size(w, hwio ? 1 : 3);
  c.stride_h = a.strides[0];
  c.stride_w = a.strides[1];
  c.pad_top = a.pads[0];
  c.pad_left = a.pads[1];
  c.dilation_h = a.dilations[0];
  c.dilation_w = a.dilations[1];
  c.group = a.group;
  c.act_min = a.act_min;
  c.act_max = a.act_max;
  if (Error e = check_channels(c, x, w, w.shape.dims[hwio ? 2 : 1])) return e;
  if (Error e = check_output(a, in, out[0])) return e;
  if (Error e = require_rows(in[kScale], "scale", c.batch, c.c_out)) return e;
  if (Error e = require_rows(in[kShift], "shift", c.batch, c.c_out)) return e;
  if (Error e = require_rows(in[kActive], "in_active", c.batch, c.c_in)) return e;
  c.out_height = size(out[0], 2);
  c.out_width = size(out[0], 3);
  c.scale_rows = size(in[kScale], 0);
  c.shift_rows = size(in[kShift], 0);
  c.active_rows = size(in[kActive], 0);
  c.residual_dense = !in[kResidual].is_one_element();
  if (c.residual_dense && !in[kResidual].has({c.batch, c.c_out, c.out_height, c.out_width}))
    return Error::format("'residual' has shape %s; expected %s or one element, check the network",
                         ShapeText(in[kResidual].shape).text, ShapeText(out[0].shape).text);
  *conv = c;
  return {};
}

Error GatedConv::plan(const SanpCudaConv& c, const SanpCudaDevice& device, SanpCudaPlan* plan) noexcept {
  memset(plan, 0, sizeof *plan);
  const int status = sanp_cuda_conv_plan(&c, &device, plan);
  if (status == SANP_CUDA_OK) return {};
  return Error::format(
      "[%d, %d, %d, %d] -> %d channels, kernel %d x %d: %s; use the standard convolution for this layer", c.batch,
      c.c_in, c.height, c.width, c.c_out, c.kernel_h, c.kernel_w, sanp_cuda_message(status));
}

size_t GatedConv::workspace(const SanpCudaConv& conv, const SanpCudaPlan& plan) noexcept {
  return sanp_cuda_conv_workspace(&conv, &plan);
}

int GatedConv::launch(const SanpCudaConv& conv, const SanpCudaPlan& plan, const void* const* in, void* const* out,
                      void* workspace, void* stream) noexcept {
  const auto f = [in](int i) { return static_cast<const float*>(in[i]); };
  const SanpCudaConvTensors tensors{in[kX], in[kW], f(kScale), f(kShift), f(kActive), in[kResidual], out[0]};
  return sanp_cuda_conv(&conv, &plan, &tensors, workspace, stream);
}

}  // namespace trt
}  // namespace sanp
