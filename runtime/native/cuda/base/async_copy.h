// Copies from global to shared memory that pass no register and are waited for later, in groups.
#pragma once

#include "cuda/base/platform.h"

namespace sanp {
namespace cuda {

// copy_later<kBytes>(to, from, wanted): kBytes (8 or 16, both sides aligned) from global memory to `to` in shared
// memory, or zeros without touching `from`. close_copies: what this thread asked for since the last call is one group.
// wait_copies<kOpen>: until at most kOpen groups of this thread are on their way. Other threads see the bytes after a
// barrier.
#ifndef SANP_CUDA_EMULATED

#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800
#define SANP_CUDA_HAS_ASYNC_COPY 1
#endif

template <int kBytes>
__device__ __forceinline__ void copy_later(void* to, const void* from, bool wanted) {
#ifdef SANP_CUDA_HAS_ASYNC_COPY
  const unsigned shared = static_cast<unsigned>(__cvta_generic_to_shared(to));
  const int bytes = wanted ? kBytes : 0;
  if (kBytes == 16)
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared), "l"(__cvta_generic_to_global(from)),
                 "r"(bytes)
                 : "memory");
  else
    asm volatile("cp.async.ca.shared.global [%0], [%1], %3, %2;" ::"r"(shared), "l"(__cvta_generic_to_global(from)),
                 "r"(bytes), "n"(kBytes)
                 : "memory");
#endif
}

__device__ __forceinline__ void close_copies() {
#ifdef SANP_CUDA_HAS_ASYNC_COPY
  asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}

template <int kOpen>
__device__ __forceinline__ void wait_copies() {
#ifdef SANP_CUDA_HAS_ASYNC_COPY
  asm volatile("cp.async.wait_group %0;" ::"n"(kOpen) : "memory");
#endif
}

#else

template <int kBytes>
void copy_later(void* to, const void* from, bool wanted) {
  static_assert(kBytes == 8 || kBytes == 16, "sizes of cp.async that the kernels use");
  emulator::copy_later(to, from, kBytes, wanted);
}
inline void close_copies() { emulator::close_copies(); }
template <int kOpen>
void wait_copies() {
  emulator::wait_copies(kOpen);
}

#endif

}  // namespace cuda
}  // namespace sanp
