// The channel gate of a sample in one block: what is small enough needs one launch, and no workspace between its steps.
#pragma once

#include "cuda/gate/kernels.h"

namespace sanp {
namespace cuda {

constexpr int kWholeThreads = 512, kWholeSums = kWholeThreads / kGateLanes;

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

// kRows rows of relu(w v + b) by a half warp. The weights do not depend on the map: those of the first rows are asked
// for before the means are known, kAhead of a lane, so that no latency of theirs is added to that of the map.
template <int kRows, int kAhead>
class BlockDense {
 public:
  __device__ __forceinline__ BlockDense(const float* w, const float* b, int n, int rows)
      : w_(w), b_(b), n_(n), rows_(rows) {
    fetch(threadIdx.x / kGateLanes * kRows, 0);
  }

  // out[i] = relu(w v + b) for i in [0, rows).
  __device__ __forceinline__ void run(const float* v, float* out) {
    rows_of_half_warps<kRows>(rows_, [&](int row) {
      float u[kRows];
#pragma unroll
      for (int r = 0; r < kRows; ++r) u[r] = 0.0f;
      for (int first = 0; first < n_; first += kGateLanes * kAhead) {
        if (first > 0 || row >= kRows * kWholeSums) fetch(row, first);
#pragma unroll
        for (int i = 0; i < kAhead; ++i) {
          // Zero times zero behind the last term changes no partial sum.
          const int j = first + threadIdx.x % kGateLanes + kGateLanes * i;
          const float value = j < n_ ? v[j] : 0.0f;
#pragma unroll
          for (int r = 0; r < kRows; ++r) u[r] = add_rounded(u[r], multiply_rounded(weights_[r][i], value));
        }
      }
      fold_partials(u);
#pragma unroll
      for (int r = 0; r < kRows; ++r) {
        const float sum = add_rounded(u[r], bias_[r]);
        // NaN stays NaN: a broken gate must show, not close.
        if (threadIdx.x % kGateLanes == 0 && row + r < rows_) out[row + r] = sum < 0.0f ? 0.0f : sum;
      }
    });
  }

 private:
  __device__ __forceinline__ void fetch(int row, int first) {
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      const bool wanted = row + r < rows_;
      const float* const from = w_ + (wanted ? static_cast<int64_t>(row + r) * n_ : 0);
      bias_[r] = load_if(wanted, b_ + (wanted ? row + r : 0));
#pragma unroll
      for (int i = 0; i < kAhead; ++i) {
        const int j = first + threadIdx.x % kGateLanes + kGateLanes * i;
        weights_[r][i] = load_if(wanted && j < n_, from + (j < n_ ? j : 0));
      }
    }
  }

  const float *w_, *b_;
  int n_, rows_;
  float weights_[kRows][kAhead], bias_[kRows];
};

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
  BlockDense<1, kMeans ? 16 : 32> squeeze(a.w1, a.b1, a.c_in, a.has_hidden ? a.n_hidden : 0);
  BlockDense<8, 2> excite(a.w2, a.b2, a.n_hidden, a.c_out);
  const int first = threadIdx.x;
  GateOutput with = gate_output(a, sample, first, first < a.c_out);
  if (!kMeans) {
    for (int i = threadIdx.x; i < a.c_in; i += kWholeThreads) means[i] = a.means[sample * a.c_in + i];
  } else if (a.pixels <= 4 * kGateLanes) {
    block_means<T, 8, 4>(a, means);
  } else {
    block_means<T, 2, 13>(a, means);
  }
  __syncthreads();
  if (a.has_hidden) {
    squeeze.run(means, hidden);
    __syncthreads();
  }
  excite.run(hidden, saliency);
  __syncthreads();
  for (int o = threadIdx.x; o < a.c_out; o += kWholeThreads) {
    if (o >= kWholeThreads) with = gate_output(a, sample, o, true);
    const float s = saliency[o];
    const bool open = s > a.threshold && (a.k == 0 || is_among_largest(saliency, a.c_out, s, a.k));
    store_gate(a, sample, o, s, open, with);
  }
}

}  // namespace cuda
}  // namespace sanp
