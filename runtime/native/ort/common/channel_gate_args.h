// The arguments of SanpChannelGate in ONNX Runtime, read and checked once for every provider.
#pragma once

#include "contract/channel_gate.h"
#include "ort/common/op_base.h"
#include "ort/common/shape_inference.h"

namespace sanp {

// What one run is given. Data pointers are the provider's: host memory on a CPU, device memory on a GPU.
struct ChannelGateArguments {
  InputTensors<kGateInputs> in;
  ChannelGateProblem problem;

  // Throws OpError with the sentence of the contract.
  ChannelGateArguments(const OrtApi* api, const OrtKernelContext* context, const ChannelGateAttributes& attributes,
                       const ConstantInputs* constants = nullptr)
      : in(api, context, kGateInputNames, constants) {
    check(sanp::check(attributes, in.shapes, &problem));
  }
};

// What the operator is for every provider; a provider adds its kernel and its name.
struct ChannelGateOperator {
  static constexpr const char* kName = "SanpChannelGate";
  static constexpr size_t kInputs = kGateInputs, kOutputs = kGateOutputs;
  static void infer(OrtShapeInferContext* context) { infer_channel_gate(context); }
};

ChannelGateAttributes channel_gate_attributes(const OrtApi* api, const OrtKernelInfo* info);

// One of the outputs, of the shape that the problem says.
float* channel_gate_output(const OrtApi* api, OrtKernelContext* context, ChannelGateOutput output,
                           const ChannelGateProblem& problem);

}  // namespace sanp
