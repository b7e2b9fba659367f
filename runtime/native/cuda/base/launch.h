// Starts a kernel on a stream and returns the status; the emulator runs it at once.
#pragma once

#include <atomic>

#ifndef SANP_CUDA_EMULATED
#include <cuda_runtime_api.h>
#endif

namespace sanp {
namespace cuda {

// Without asking, a block gets 48 KiB of shared memory.
constexpr int kSharedWithoutAsking = 48 * 1024;

// Asks once per kernel and device, at its first launch. The call is no stream operation, so
// it does not disturb a capture either.
template <class Args>
cudaError_t allow_shared(void (*kernel)(Args), int bytes, std::atomic<uint64_t>* asked) {
  if (bytes <= kSharedWithoutAsking) return cudaSuccess;
  int device = 0, limit = 0;
  cudaError_t error = cudaGetDevice(&device);
  if (error != cudaSuccess) return error;
  const uint64_t bit = device < 64 ? uint64_t{1} << device : 0;
  if (asked->load(std::memory_order_relaxed) & bit) return cudaSuccess;
  error = cudaDeviceGetAttribute(&limit, cudaDevAttrMaxSharedMemoryPerBlockOptin, device);
  if (error != cudaSuccess) return error;
  const void* const function = reinterpret_cast<const void*>(kernel);
  error = cudaFuncSetAttribute(function, cudaFuncAttributeMaxDynamicSharedMemorySize, limit);
  if (error == cudaSuccess) asked->fetch_or(bit, std::memory_order_relaxed);
  return error;
}

// The kernel is a template argument so that each has its own memory of having asked.
template <class Args, void (*kKernel)(Args)>
cudaError_t launch(dim3 grid, int threads, int shared_bytes, cudaStream_t stream, const Args& args) {
  static std::atomic<uint64_t> asked{0};
  const cudaError_t error = allow_shared(kKernel, shared_bytes, &asked);
  if (error != cudaSuccess) return error;
#ifdef SANP_CUDA_EMULATED
  (void)stream;
  return emulator::run(grid, dim3(static_cast<unsigned>(threads)), static_cast<size_t>(shared_bytes),
                       [&] { kKernel(args); });
#else
  void* pointers[] = {const_cast<Args*>(&args)};
  return cudaLaunchKernel(reinterpret_cast<const void*>(kKernel), grid, dim3(static_cast<unsigned>(threads)), pointers,
                          static_cast<size_t>(shared_bytes), stream);
#endif
}

}  // namespace cuda
}  // namespace sanp
