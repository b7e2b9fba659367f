// SanpChannelGate as an ONNX Runtime operator on CUDA.
#pragma once

#include "ort/common/channel_gate_args.h"
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

struct ChannelGateCudaOp : ChannelGateOperator {
  using Kernel = ChannelGateCudaKernel;
  static constexpr const char* kProvider = "CUDAExecutionProvider";
};

}  // namespace sanp
