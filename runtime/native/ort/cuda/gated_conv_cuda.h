// SanpGatedConv as an ONNX Runtime operator on CUDA.
#pragma once

#include <mutex>
#include <vector>

#include "ort/common/gated_conv_args.h"
#include "ort/cuda/cuda_launch.h"

namespace sanp {

class GatedConvCudaKernel {
 public:
  GatedConvCudaKernel(const OrtApi* ort_api, const OrtKernelInfo* info)
      : api(ort_api), attributes_(gated_conv_attributes(ort_api, info)) {}
  void compute(OrtKernelContext* context) const;

  const OrtApi* const api;

 private:
  struct Planned {
    SanpCudaConv conv;
    SanpCudaPlan plan;
  };
  SanpCudaPlan plan_for(const SanpCudaConv& conv) const;

  const GatedConvAttributes attributes_;
  // Runs of one session may plan at the same time.
  mutable std::mutex mutex_;
  mutable std::vector<Planned> planned_;
};

struct GatedConvCudaOp : GatedConvOperator {
  using Kernel = GatedConvCudaKernel;
  static constexpr const char* kProvider = "CUDAExecutionProvider";
};

}  // namespace sanp
