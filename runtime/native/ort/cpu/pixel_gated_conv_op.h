// SanpPixelGatedConv as an ONNX Runtime operator on the CPU.
#pragma once

#include <memory>
#include <mutex>
#include <vector>

#include "contract/pixel_gated_conv.h"
#include "cpu/pixels/pixel_conv.h"
#include "ort/common/op_base.h"
#include "ort/common/shape_inference.h"
#include "ort/cpu/settings.h"

namespace sanp {

class PixelGatedConvKernel {
 public:
  PixelGatedConvKernel(const OrtApi* api, const OrtKernelInfo* info, const CpuSettings& settings);
  void compute(OrtKernelContext* context) const;

  const OrtApi* const api;

 private:
  // One shape: its plan, and the weights in the order of that plan where they cannot change.
  struct Prepared {
    Prepared(const PixelGatedConvProblem& p, const IsaKernels& isa) : plan(p.whole, p.base, isa) {}
    PixelPlan plan;
    std::vector<float> weights;
  };
  std::shared_ptr<const Prepared> prepared_for(const PixelGatedConvProblem& p, const float* w) const;

  const PixelGatedConvAttributes attributes_;
  const ConstantInputs constants_;
  const IsaKernels* isa_;
  mutable std::mutex mutex_;
  mutable std::shared_ptr<const Prepared> last_;  // a model has one image size, or plans anew when it changes
};

struct PixelGatedConvOp {
  using Kernel = PixelGatedConvKernel;
  static constexpr const char* kName = "SanpPixelGatedConv";
  static constexpr const char* kProvider = "CPUExecutionProvider";
  static constexpr size_t kInputs = kPixelInputs, kOutputs = 1;
  // x and w lie where SanpGatedConv has them, and the attributes of its shape have the same names.
  static void infer(OrtShapeInferContext* context) { infer_gated_conv(context); }
};

}  // namespace sanp
