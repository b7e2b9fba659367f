// SanpGatedConv as an ONNX Runtime operator on the CPU: plan cache, prepared weights, launch.
#pragma once

#include <stdlib.h>

#include <atomic>
#include <memory>
#include <mutex>
#include <optional>

#include "cpu/conv/conv.h"
#include "ort/common/gated_conv_args.h"
#include "ort/cpu/settings.h"

namespace sanp {

class GatedConvKernel {
 public:
  GatedConvKernel(const OrtApi* api, const OrtKernelInfo* info, const CpuSettings& settings);
  ~GatedConvKernel();
  void compute(OrtKernelContext* context) const;

  const OrtApi* const api;

 private:
  struct CachedPlan;
  const CachedPlan& plan_for(const ConvShape& shape, const float* w, CachedPlan** own) const;
  const void* prepared_weights(const Plan& plan, const float* w) const;

  const GatedConvAttributes attributes_;
  const ConstantInputs constants_;
  const IsaKernels* isa_;
  int winograd_;  // largest tile, 0 where the weights are not constant
  std::optional<Algorithm> wish_;
  bool bf16_weights_;  // weights are constant and fit 16 bits
  // Plans by shape: a list that only grows, at its head and by compare-and-swap, so readers need no lock.
  mutable std::atomic<CachedPlan*> plans_{nullptr};
  // Weights in each form that a plan wanted, shared by all plans that use it.
  struct Free {
    void operator()(void* memory) const { free(memory); }
  };
  mutable std::mutex prepare_;
  mutable std::unique_ptr<void, Free> prepared_[kPreparedKinds];
};

struct GatedConvOp : GatedConvOperator {
  using Kernel = GatedConvKernel;
  static constexpr const char* kProvider = "CPUExecutionProvider";
};

}  // namespace sanp
