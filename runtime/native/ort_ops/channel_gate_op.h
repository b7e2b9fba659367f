// SanpChannelGate as an ONNX Runtime operator.
#pragma once

#include "../kernels/gate.h"
#include "op_base.h"

namespace sanp {

class ChannelGateKernel {
 public:
  ChannelGateKernel(const OrtApi* api, const OrtKernelInfo* info);
  void compute(OrtKernelContext* context) const;

  const OrtApi* const api;

 private:
  float threshold_;
  int64_t k_ = 0;
  const IsaKernels* isa_;
};

struct ChannelGateOp {
  using Kernel = ChannelGateKernel;
  static constexpr const char* kName = "SanpChannelGate";
  static constexpr size_t kInputs = 7, kOutputs = 2;
  static void infer(OrtShapeInferContext* context);
};

}  // namespace sanp
