// Scratch memory from CUDA.
#include "ort/cuda/scratch.h"

#include <cuda_runtime_api.h>

namespace sanp {
namespace {

bool has_pools() {
  int device = 0, supported = 0;
  return cudaGetDevice(&device) == cudaSuccess &&
         cudaDeviceGetAttribute(&supported, cudaDevAttrMemoryPoolsSupported, device) == cudaSuccess && supported != 0;
}

}  // namespace

Scratch::Scratch(size_t bytes, void* stream) noexcept : stream_(stream) {
  if (bytes == 0) return;
  pooled_ = has_pools();
  status_ = pooled_ ? cudaMallocAsync(&data_, bytes, static_cast<cudaStream_t>(stream)) : cudaMalloc(&data_, bytes);
}

// A device without pools waits here: cudaFree returns when nothing runs any more.
Scratch::~Scratch() {
  if (data_ == nullptr) return;
  if (pooled_)
    cudaFreeAsync(data_, static_cast<cudaStream_t>(stream_));
  else
    cudaFree(data_);
}

}  // namespace sanp
