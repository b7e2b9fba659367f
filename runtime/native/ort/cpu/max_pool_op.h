// SanpMaxPool as an ONNX Runtime operator on the CPU.
#pragma once

#include "contract/max_pool.h"
#include "cpu/int8/kernels/table.h"
#include "ort/common/op_base.h"
#include "ort/common/shape_inference.h"
#include "ort/cpu/settings.h"

namespace sanp {

class MaxPoolKernel {
 public:
  MaxPoolKernel(const OrtApi* api, const OrtKernelInfo* info, const CpuSettings& settings);
  void compute(OrtKernelContext* context) const;

  const OrtApi* const api;

 private:
  const MaxPoolAttributes attributes_;
  const Int8Kernels* isa_;
};

struct MaxPoolOp {
  using Kernel = MaxPoolKernel;
  static constexpr const char* kName = "SanpMaxPool";
  static constexpr const char* kProvider = "CPUExecutionProvider";
  static constexpr size_t kInputs = kPoolInputs, kOutputs = 1;
  static constexpr int kInputTypes[kInputs] = {kOrtUint8};
  static constexpr int kOutputType = kOrtUint8;
  static void infer(OrtShapeInferContext* context) { infer_max_pool(context); }
};

}  // namespace sanp
