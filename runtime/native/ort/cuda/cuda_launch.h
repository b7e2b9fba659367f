// What both CUDA operators need around a launch.
#pragma once

#include "cuda/sanp_cuda.h"
#include "ort/common/op_base.h"
#include "ort/cuda/scratch.h"

namespace sanp {

inline void check_cuda(int status, const char* what) {
  if (status != SANP_CUDA_OK) fail("%s: %s (status %d)", what, sanp_cuda_message(status), status);
}

// The stream of this run; null is CUDA's default stream.
inline void* compute_stream(const OrtApi* api, const OrtKernelContext* context) {
  void* stream = nullptr;
  check(api, ort::KernelContext_GetGPUComputeStream(api, context, &stream));
  return stream;
}

}  // namespace sanp
