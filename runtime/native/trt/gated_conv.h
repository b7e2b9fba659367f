// SanpGatedConv: types, shapes and launch, independent of the plugin interface. No TensorRT in here.
#pragma once

#include "cuda/sanp_cuda.h"
#include "trt/attributes.h"
#include "trt/device.h"
#include "trt/tensor.h"

namespace sanp {
namespace trt {

struct GatedConv {
  using Attributes = ConvAttributes;
  using Description = SanpCudaConv;
  using Plan = SanpCudaPlan;

  static constexpr const char* kName = "SanpGatedConv";
  static constexpr int32_t kTag = 1, kInputs = kConvInputs, kOutputs = 1;
  static const AttributeTable& table() noexcept { return kConvTable; }

  // Whether tensor `position` may have this type and layout, given that all before it are accepted.
  static bool accepts(int32_t position, const Tensor* tensors) noexcept;
  // Outputs have the type of x, or are always float32.
  static constexpr bool kOutputsLikeX = true;
  // A smaller image can need more scratch memory than a larger one, because more of its work is split; a workspace that
  // is sized for the largest shape of an optimisation profile covers smaller batches only.
  static constexpr bool kFixedImage = true;

  // False when ranks are wrong or unknown.
  template <class A>
  static bool output_shapes(const ConvAttributes& a, const Shape<typename A::Value>* in, Shape<typename A::Value>* out,
                            A& arithmetic) noexcept;

  static Error describe(const ConvAttributes& a, const Tensor* in, const Tensor* out, SanpCudaConv* conv) noexcept;
  static Error plan(const SanpCudaConv& conv, const SanpCudaDevice& device, SanpCudaPlan* plan) noexcept;
  static size_t workspace(const SanpCudaConv& conv, const SanpCudaPlan& plan) noexcept;
  static int launch(const SanpCudaConv& conv, const SanpCudaPlan& plan, const void* const* in, void* const* out,
                    void* workspace, void* stream) noexcept;
};

template <class A>
bool GatedConv::output_shapes(const ConvAttributes& a, const Shape<typename A::Value>* in,
                              Shape<typename A::Value>* out, A& m) noexcept {
  const auto &x = in[kConvX], &w = in[kConvW];
  if (x.rank != 4 || w.rank != 4) return false;
  const bool hwio = a.weight_order == SANP_CUDA_HWIO;
  out[0].rank = 4;
  out[0].dims[0] = x.dims[0];
  out[0].dims[1] = hwio ? w.dims[3] : w.dims[0];
  for (int i = 0; i < 2; ++i) {
    // floor((size + pads - dilation * (kernel - 1) - 1) / stride) + 1
    const auto kernel = hwio ? w.dims[i] : w.dims[2 + i];
    const int64_t fixed = int64_t{a.pads[i]} + a.pads[2 + i] + a.dilations[i] - 1;
    const auto reach = m.multiply(m.constant(a.dilations[i]), kernel);
    const auto free = m.subtract(m.add(x.dims[2 + i], m.constant(fixed)), reach);
    out[0].dims[2 + i] = m.add(m.floor_divide(free, m.constant(a.strides[i])), m.constant(1));
  }
  return true;
}

}  // namespace trt
}  // namespace sanp
