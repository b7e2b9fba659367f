// SanpChannelGate as an ONNX Runtime operator on CUDA.
#pragma once

#include "ort/common/channel_gate_args.h"
#include "ort/common/shape_inference.h"
#include "ort/cuda/cuda_launch.h"

namespace sanp {

class ChannelGateCudaKernel {
 public:
  ChannelGateCudaKernel(const OrtApi* ort_api, const OrtKernelInfo* info)
      : api(ort_api), attributes_(channel_gate_attributes(ort_api, info)) {}
  void compute(OrtKernelContext* context) const;

  const OrtApi* const api;

 private:
  const ChannelGateAttributes attributes_;
};

struct ChannelGateCudaOp {
  using Kernel = ChannelGateCudaKernel;
  static constexpr const char* kName = "SanpChannelGate";
  static constexpr const char* kProvider = "CUDAExecutionProvider";
  static constexpr size_t kInputs = 7, kOutputs = 2;
  static void infer(OrtShapeInferContext* context) { infer_channel_gate(context); }
};

}  // namespace sanp
