// What both CUDA operators need around a launch.
#pragma once

#include "cuda/sanp_cuda.h"
#include "ort/common/op_base.h"
#include "ort/cuda/scratch.h"

namespace sanp {

// The kernels count in 32 bits.
inline int32_t narrow(int64_t value, const char* what) {
  if (value < 0 || value > INT32_MAX)
    fail("%s is %lld; the CUDA kernels take at most 2^31 - 1, use the CPU provider for this layer", what,
         static_cast<long long>(value));
  return static_cast<int32_t>(value);
}

inline void check_cuda(int status, const char* what) {
  if (status != SANP_CUDA_OK) fail("%s: %s (status %d)", what, sanp_cuda_message(status), status);
}

// The stream of this run; null is CUDA's default stream.
inline void* compute_stream(const OrtApi* api, const OrtKernelContext* context) {
  void* stream = nullptr;
  check(api, ort::KernelContext_GetGPUComputeStream(api, context, &stream));
  return stream;
}

// Rows of a tensor of shape [rows or 1, columns].
inline int32_t rows_of(const TensorView& t) { return static_cast<int32_t>(t.dims[0]); }

}  // namespace sanp
