// The loop of a matrix kernel with two tiles in shared memory: one is multiplied while the next one is on its way.
#pragma once

#include "cuda/base/index_math.h"
#include "cuda/base/platform.h"

namespace sanp {
namespace cuda {

// fetch(k) loads a step into registers, put(buffer) stores it, multiply(k, buffer) uses it. All threads call together.
template <int kStep, class Fetch, class Put, class Multiply>
__device__ __forceinline__ void double_buffered(Range range, const Fetch& fetch, const Put& put,
                                                const Multiply& multiply) {
  if (range.begin >= range.end) return;
  fetch(range.begin);
  put(0);
  __syncthreads();
  int buffer = 0;
  for (int k = range.begin; k < range.end; k += kStep, buffer ^= 1) {
    const bool more = k + kStep < range.end;
    if (more) fetch(k + kStep);
    multiply(k, buffer);
    if (more) put(buffer ^ 1);
    __syncthreads();
  }
}

}  // namespace cuda
}  // namespace sanp
