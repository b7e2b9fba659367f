// SanpInvertedResidual as an ONNX Runtime operator on the CPU: a plan and prepared weights, launch.
#pragma once

#include <memory>
#include <mutex>
#include <vector>

#include "contract/inverted_residual.h"
#include "cpu/base/kept_memory.h"
#include "cpu/block/block.h"
#include "ort/common/op_base.h"
#include "ort/common/shape_inference.h"
#include "ort/cpu/settings.h"

namespace sanp {

class InvertedResidualKernel {
 public:
  InvertedResidualKernel(const OrtApi* api, const OrtKernelInfo* info, const CpuSettings& settings);
  void compute(OrtKernelContext* context) const;

  const OrtApi* const api;

 private:
  // Weights do not depend on the size of the input, so all plans of a node share one copy where they cannot change.
  std::shared_ptr<const KeptMemory> weights_for(const BlockPlan& plan, const BlockWeights& weights) const;
  std::shared_ptr<const BlockPlan> plan_for(const BlockProblem& problem) const;

  const BlockAttributes attributes_;
  const ConstantInputs constants_;
  const IsaKernels* isa_;
  const bool constant_weights_;
  mutable std::mutex mutex_;
  mutable std::shared_ptr<const BlockPlan> last_;  // a model has one image size, or plans anew when it changes
  mutable std::shared_ptr<const KeptMemory> prepared_;
};

struct InvertedResidualOp {
  using Kernel = InvertedResidualKernel;
  static constexpr const char* kName = "SanpInvertedResidual";
  static constexpr const char* kProvider = "CPUExecutionProvider";
  static constexpr size_t kInputs = kBlockInputs, kOutputs = 1;
  static void infer(OrtShapeInferContext* context) { infer_inverted_residual(context); }
};

}  // namespace sanp
