// What a kernel needs from the machine: CUDA, or the emulator of runtime/native/tests/cuda that runs the same source on
// a CPU. Kernels use these names and plain C++ only, so both see identical code.
#pragma once

// The emulator's build puts its own header in front of every file.
#ifndef SANP_CUDA_EMULATED

#include <cuda_fp16.h>

namespace sanp {
namespace cuda {

// Dynamic shared memory of the block; nothing else uses shared memory.
__device__ __forceinline__ unsigned char* shared_memory() {
  extern __shared__ __align__(16) unsigned char sanp_shared[];
  return sanp_shared;
}

// Votes and barriers are only ever called by whole warps and whole blocks.
__device__ __forceinline__ unsigned ballot(bool flag) { return __ballot_sync(0xffffffffu, flag); }
__device__ __forceinline__ int count_bits(unsigned bits) { return __popc(bits); }
__device__ __forceinline__ float shuffle_down(float value, int distance, int width) {
  return __shfl_down_sync(0xffffffffu, value, distance, width);
}

// Blocks that work for one result count their arrival: what a thread wrote before `fence` is seen by every thread that
// reads after a `fence` of its own, once it knows of the arrival. Returns the count before.
__device__ __forceinline__ void fence() { __threadfence(); }
__device__ __forceinline__ unsigned count_arrival(unsigned* counter) { return atomicAdd(counter, 1u); }

// Rounded by themselves, never contracted to a fused multiply-add.
__device__ __forceinline__ float add_rounded(float a, float b) { return __fadd_rn(a, b); }
__device__ __forceinline__ float multiply_rounded(float a, float b) { return __fmul_rn(a, b); }
__device__ __forceinline__ float divide_rounded(float a, float b) { return __fdiv_rn(a, b); }

__device__ __forceinline__ float half_to_float(unsigned short bits) { return __half2float(__ushort_as_half(bits)); }
__device__ __forceinline__ unsigned short float_to_half(float value) {
  return __half_as_ushort(__float2half_rn(value));
}

}  // namespace cuda
}  // namespace sanp

#endif
