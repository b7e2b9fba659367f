// SanpQLinearChannelGate as an ONNX Runtime operator on the CPU.
#pragma once

#include "contract/qlinear_channel_gate.h"
#include "cpu/int8/kernels/table.h"
#include "ort/common/op_base.h"
#include "ort/common/shape_inference.h"
#include "ort/cpu/settings.h"

namespace sanp {

class QLinearChannelGateKernel {
 public:
  QLinearChannelGateKernel(const OrtApi* api, const OrtKernelInfo* info, const CpuSettings& settings);
  void compute(OrtKernelContext* context) const;

  const OrtApi* const api;

 private:
  const ChannelGateAttributes attributes_;
  const ConstantInputs constants_;
  const IsaKernels* isa_;
  const Int8Kernels* bytes_;
};

struct QLinearChannelGateOp {
  using Kernel = QLinearChannelGateKernel;
  static constexpr const char* kName = "SanpQLinearChannelGate";
  static constexpr const char* kProvider = "CPUExecutionProvider";
  static constexpr size_t kInputs = kQGateInputs, kOptionalInputs = 1, kOutputs = kGateOutputs;
  static constexpr int kInputTypes[kInputs] = {kOrtUint8, kOrtFloat, kOrtUint8, kOrtFloat, kOrtFloat,
                                               kOrtFloat, kOrtFloat, kOrtFloat, kOrtFloat};
  static constexpr int kOutputType = kOrtFloat;
  static void infer(OrtShapeInferContext* context) { infer_qlinear_channel_gate(context); }
};

}  // namespace sanp
