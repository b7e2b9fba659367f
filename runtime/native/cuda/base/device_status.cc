// Status texts and the current device.
#ifndef SANP_CUDA_EMULATED
#include <cuda_runtime_api.h>
#endif

#include "cuda/sanp_cuda.h"

int32_t sanp_cuda_abi_version(void) { return SANP_CUDA_ABI_VERSION; }

const char* sanp_cuda_message(int status) {
  if (status == SANP_CUDA_BAD_ARGUMENT) return "the description contradicts itself, or exceeds a limit of the kernels";
  if (status == SANP_CUDA_BAD_PLAN) return "the plan was made for another shape or by another version; plan again";
  return cudaGetErrorString(static_cast<cudaError_t>(status));
}

int sanp_cuda_device(SanpCudaDevice* device) {
  if (device == nullptr) return SANP_CUDA_BAD_ARGUMENT;
  int current = 0;
  cudaError_t error = cudaGetDevice(&current);
  const struct {
    cudaDeviceAttr attribute;
    int32_t* value;
  } queries[] = {{cudaDevAttrComputeCapabilityMajor, &device->sm_major},
                 {cudaDevAttrComputeCapabilityMinor, &device->sm_minor},
                 {cudaDevAttrMultiProcessorCount, &device->sm_count},
                 {cudaDevAttrMaxSharedMemoryPerBlockOptin, &device->shared_bytes}};
  for (const auto& query : queries)
    if (error == cudaSuccess) error = cudaDeviceGetAttribute(query.value, query.attribute, current);
  return static_cast<int>(error);
}
