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

// The attributes of one run: a threshold that is given as input `index` takes the place of the node's own. It lies in
// host memory, as make_op says of optional inputs.
ChannelGateAttributes attributes_of_run(const OrtApi* api, const OrtKernelContext* context,
                                        const ChannelGateAttributes& of_node, size_t index,
                                        const ConstantInputs* constants = nullptr);

// What the operator is for every provider; a provider adds its kernel and its name.
struct ChannelGateOperator {
  static constexpr const char* kName = "SanpChannelGate";
  static constexpr size_t kInputs = kGateInputs, kOptionalInputs = 1, kOutputs = kGateOutputs;
  static void infer(OrtShapeInferContext* context) { infer_channel_gate(context); }
};

ChannelGateAttributes channel_gate_attributes(const OrtApi* api, const OrtKernelInfo* info);

// One of the outputs, of the shape that the problem says.
float* channel_gate_output(const OrtApi* api, OrtKernelContext* context, ChannelGateOutput output,
                           const ChannelGateProblem& problem);

}  // namespace sanp
