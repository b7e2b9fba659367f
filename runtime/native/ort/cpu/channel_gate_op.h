// SanpChannelGate as an ONNX Runtime operator on the CPU.
#pragma once

#include "cpu/gate/gate.h"
#include "ort/common/channel_gate_args.h"
#include "ort/cpu/settings.h"

namespace sanp {

class ChannelGateKernel {
 public:
  ChannelGateKernel(const OrtApi* api, const OrtKernelInfo* info, const CpuSettings& settings);
  void compute(OrtKernelContext* context) const;

  const OrtApi* const api;

 private:
  const ChannelGateAttributes attributes_;
  const ConstantInputs constants_;
  const IsaKernels* isa_;
};

struct ChannelGateOp : ChannelGateOperator {
  using Kernel = ChannelGateKernel;
  static constexpr const char* kProvider = "CPUExecutionProvider";
};

}  // namespace sanp
