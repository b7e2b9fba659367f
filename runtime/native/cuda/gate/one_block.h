// The channel gate of a sample in one block: what is small enough needs one launch, and no workspace between its steps.
#pragma once

#include "cuda/gate/kernels.h"

namespace sanp {
namespace cuda {

constexpr int kWholeThreads = 1024, kWholeSums = kWholeThreads / kGateLanes;

// Calls each(first row) for every kRows rows, a half warp each; rows past the last are the callee's to leave out.
template <int kRows, class Each>
__device__ __forceinline__ void rows_of_half_warps(int rows, Each each) {
  const int half_warp = threadIdx.x / kGateLanes;
  // Whole warps take part in every turn, because sums shuffle.
  for (int first = 0; first < rows; first += kRows * kWholeSums) each(first + half_warp * kRows);
}

template <class T, int kRows, int kAhead>
__device__ __forceinline__ void block_means(const GateArgs& a, float* means) {
  const T* const sample = static_cast<const T*>(a.x) + static_cast<int64_t>(blockIdx.x) * a.c_in * a.pixels;
  rows_of_half_warps<kRows>(a.c_in, [&](int row) {
    float sums[kRows];
    ordered_sums<kRows, kAhead>(
        a.pixels,
        [&](int r, int j, bool wanted) {
          const bool inside = wanted && row + r < a.c_in;
          return to_float(load_if(inside, sample + (inside ? static_cast<int64_t>(row + r) * a.pixels + j : 0)));
        },
        sums);
#pragma unroll
    for (int r = 0; r < kRows; ++r)
      if (threadIdx.x % kGateLanes == 0 && row + r < a.c_in)
        means[row + r] = divide_rounded(sums[r], static_cast<float>(a.pixels));
  });
}

// out[i] = relu(w v + b) for i in [0, rows).
template <int kRows, int kAhead>
__device__ __forceinline__ void block_dense(const float* w, const float* b, const float* v, int n, int rows,
                                            float* out) {
  rows_of_half_warps<kRows>(rows, [&](int row) {
    const float* from[kRows];
    float bias[kRows], u[kRows];
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      const int known = row + r < rows ? row + r : rows - 1;
      from[r] = w + static_cast<int64_t>(known) * n;
      bias[r] = b[known];
    }
    dense_relu<kRows, kAhead>(from, v, n, bias, u);
#pragma unroll
    for (int r = 0; r < kRows; ++r)
      if (threadIdx.x % kGateLanes == 0 && row + r < rows) out[row + r] = u[r];
  });
}

SANP_HOST_DEVICE constexpr int64_t whole_gate_bytes(int64_t c_in, int64_t hidden, int64_t c_out) {
  return (c_in + hidden + c_out) * 4;
}

// Grid: batch. With kMeans the means are made here, else the launch before has left them in the workspace.
template <class T, bool kMeans>
__global__ void __launch_bounds__(kWholeThreads) gate_one_block(const GateArgs a) {
  float* const means = reinterpret_cast<float*>(shared_memory());
  float* const hidden = a.has_hidden ? means + a.c_in : means;
  float* const saliency = hidden + a.n_hidden;
  const int64_t sample = blockIdx.x;
  if (!kMeans) {
    for (int i = threadIdx.x; i < a.c_in; i += kWholeThreads) means[i] = a.means[sample * a.c_in + i];
  } else if (a.pixels <= 4 * kGateLanes) {
    block_means<T, 4, 4>(a, means);
  } else if (a.pixels <= 13 * kGateLanes) {
    block_means<T, 2, 13>(a, means);
  } else {
    block_means<T, 1, 25>(a, means);
  }
  __syncthreads();
  if (a.has_hidden) {
    block_dense<1, 16>(a.w1, a.b1, means, a.c_in, a.n_hidden, hidden);
    __syncthreads();
  }
  block_dense<4, 2>(a.w2, a.b2, hidden, a.n_hidden, a.c_out, saliency);
  __syncthreads();
  for (int o = threadIdx.x; o < a.c_out; o += kWholeThreads) {
    const float s = saliency[o];
    const bool open = s > a.threshold && (a.k == 0 || is_among_largest(saliency, a.c_out, s, a.k));
    store_gate(a, sample, o, s, open);
  }
}

}  // namespace cuda
}  // namespace sanp
