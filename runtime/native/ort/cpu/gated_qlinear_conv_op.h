// SanpGatedQLinearConv as an ONNX Runtime operator on the CPU.
#pragma once

#include <memory>
#include <mutex>
#include <vector>

#include "contract/gated_qlinear_conv.h"
#include "cpu/base/kept_memory.h"
#include "cpu/int8/conv/int8_conv.h"
#include "ort/common/op_base.h"
#include "ort/common/shape_inference.h"
#include "ort/cpu/settings.h"

namespace sanp {

class GatedQLinearConvKernel {
 public:
  GatedQLinearConvKernel(const OrtApi* api, const OrtKernelInfo* info, const CpuSettings& settings);
  void compute(OrtKernelContext* context) const;

  const OrtApi* const api;

 private:
  // One shape: its plan, and the weights in the order of that plan.
  struct Prepared {
    Prepared(const ConvShape& shape, const Int8Kernels& isa) : plan(shape, isa) {}
    Int8Plan plan;
    KeptMemory weights;
    std::vector<int32_t> sums;
  };
  std::shared_ptr<const Prepared> prepared_for(const ConvShape& shape, const int8_t* w, int64_t elements) const;

  const GatedConvAttributes attributes_;
  const ConstantInputs constants_;
  const Int8Kernels* isa_;
  mutable std::mutex mutex_;
  mutable std::shared_ptr<const Prepared> last_;  // a model has one image size, or plans anew when it changes
};

struct GatedQLinearConvOp {
  using Kernel = GatedQLinearConvKernel;
  static constexpr const char* kName = "SanpGatedQLinearConv";
  static constexpr const char* kProvider = "CPUExecutionProvider";
  static constexpr size_t kInputs = kQConvInputs, kOutputs = 1;
  static constexpr int kInputTypes[kInputs] = {kOrtUint8, kOrtFloat, kOrtUint8, kOrtInt8,  kOrtFloat,
                                               kOrtFloat, kOrtFloat, kOrtFloat, kOrtUint8, kOrtFloat,
                                               kOrtUint8, kOrtFloat, kOrtUint8};
  static constexpr int kOutputType = kOrtUint8;
  static void infer(OrtShapeInferContext* context) { infer_gated_qlinear_conv(context); }
};

}  // namespace sanp
