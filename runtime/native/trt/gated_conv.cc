// Checks one gated convolution and describes it to the kernels.
#include "trt/gated_conv.h"

#include <string.h>

#include "cuda/describe.h"

namespace sanp {
namespace trt {
namespace {

constexpr int32_t kY = kConvInputs;  // outputs follow the inputs where types are asked for

}  // namespace

bool GatedConv::accepts(int32_t position, const Tensor* tensors) noexcept {
  const Tensor& t = tensors[position];
  if (!t.linear) return false;
  switch (position) {
    case kConvX:
      return t.type == Type::kFloat || t.type == Type::kHalf;
    case kConvW:
    case kConvResidual:
    case kY:
      return t.type == tensors[kConvX].type;
    default:
      return t.type == Type::kFloat;
  }
}

Error GatedConv::describe(const ConvAttributes& a, const Tensor* in, const Tensor* out, SanpCudaConv* conv) noexcept {
  const Shape<int64_t>* shapes[kConvInputs];
  for (int32_t i = 0; i < kConvInputs; ++i) shapes[i] = &in[i].shape;
  const GatedConvAttributes attributes = contract_of(a);
  GatedConvProblem p;
  if (Error e = check(attributes, shapes, &p)) return e;
  const std::initializer_list<int64_t> expected = {p.batch, p.shape.channels_out, p.out_h, p.out_w};
  if (!equal(out[0].shape, expected))
    return Error::format("'y' has shape %s; expected %s, build the engine again", ShapeText(out[0].shape).text,
                         ShapeText(expected).text);
  *conv = cuda::describe(attributes, p, in[kConvX].type == Type::kHalf ? SANP_CUDA_FLOAT16 : SANP_CUDA_FLOAT32);
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
  const SanpCudaConvTensors tensors{in[kConvX],       in[kConvW],        f(kConvScale), f(kConvShift),
                                    f(kConvInActive), in[kConvResidual], out[0]};
  return sanp_cuda_conv(&conv, &plan, &tensors, workspace, stream);
}

}  // namespace trt
}  // namespace sanp
