// The arguments of SanpGatedConv in ONNX Runtime, read and checked once for every provider.
#pragma once

#include "contract/gated_conv.h"
#include "ort/common/op_base.h"
#include "ort/common/shape_inference.h"

namespace sanp {

// What one run is given. Data pointers are the provider's: host memory on a CPU, device memory on a GPU.
struct GatedConvArguments {
  InputTensors<kConvInputs> in;
  GatedConvProblem problem;

  // Throws OpError with the sentence of the contract.
  GatedConvArguments(const OrtApi* api, const OrtKernelContext* context, const GatedConvAttributes& attributes,
                     const ConstantInputs* constants = nullptr)
      : in(api, context, kConvInputNames, constants) {
    check(sanp::check(attributes, in.shapes, &problem));
  }
};

// What the operator is for every provider; a provider adds its kernel and its name.
struct GatedConvOperator {
  static constexpr const char* kName = "SanpGatedConv";
  static constexpr size_t kInputs = kConvInputs, kOutputs = 1;
  static void infer(OrtShapeInferContext* context) { infer_gated_conv(context); }
};

GatedConvAttributes gated_conv_attributes(const OrtApi* api, const OrtKernelInfo* info);

// The output, of the shape that the problem says.
float* gated_conv_output(const OrtApi* api, OrtKernelContext* context, const GatedConvProblem& problem);

}  // namespace sanp
