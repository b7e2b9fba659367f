// SanpChannelGate: types, shapes and launch, independent of the plugin interface. No TensorRT in here.
#pragma once

#include "cuda/sanp_cuda.h"
#include "trt/attributes.h"
#include "trt/device.h"
#include "trt/tensor.h"

namespace sanp {
namespace trt {

struct ChannelGate {
  using Attributes = GateAttributes;
  using Description = SanpCudaGate;
  struct Plan {};  // a gate needs none

  static constexpr const char* kName = "SanpChannelGate";
  static constexpr int32_t kTag = 2, kInputs = kGateInputs, kOutputs = kGateOutputs;
  static const AttributeTable& table() noexcept { return kGateTable; }

  static bool accepts(int32_t position, const Tensor* tensors) noexcept;
  static constexpr bool kOutputsLikeX = false;
  static constexpr bool kFixedImage = false;

  template <class A>
  static bool output_shapes(const GateAttributes&, const Shape<typename A::Value>* in, Shape<typename A::Value>* out,
                            A&) noexcept {
    if (in[kGateX].rank != 4 || in[kGateW2].rank != 2) return false;
    for (int i = 0; i < kOutputs; ++i) {
      out[i].rank = 2;
      out[i].dims[0] = in[kGateX].dims[0];
      out[i].dims[1] = in[kGateW2].dims[0];
    }
    return true;
  }

  static Error describe(const GateAttributes& a, const Tensor* in, const Tensor* out, SanpCudaGate* gate) noexcept;
  static Error plan(const SanpCudaGate&, const SanpCudaDevice&, Plan*) noexcept { return {}; }
  static size_t workspace(const SanpCudaGate& gate, const Plan&) noexcept { return sanp_cuda_gate_workspace(&gate); }
  static int launch(const SanpCudaGate& gate, const Plan&, const void* const* in, void* const* out, void* workspace,
                    void* stream) noexcept;
};

}  // namespace trt
}  // namespace sanp
