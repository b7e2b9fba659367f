// The means of a map's channels by a grid, for maps that one block would read for long.
#pragma once

#include "cuda/gate/kernels.h"

namespace sanp {
namespace cuda {

// Where a channel has no more pixels than this, all of them are on their way at once in kShortAhead loads of a lane.
constexpr int kShortAhead = 16, kShortPixels = kShortAhead * kGateLanes;
// A channel with more pixels than this has a block of its own.
constexpr int kLongPixels = 8192;

// Grid: (blocks of rows, batch).
template <class T, int kAhead>
__global__ void __launch_bounds__(kGateThreads) gate_means(const GateArgs a) {
  const GateRow row = gate_row(a.c_in);
  const int64_t channel = static_cast<int64_t>(blockIdx.y) * a.c_in + row.index;
  const T* const x = static_cast<const T*>(a.x) + channel * a.pixels;
  float sum[1];
  ordered_sums<1, kAhead>(a.pixels, [&](int, int j, bool wanted) { return to_float(load_if(wanted, x + j)); }, sum);
  if (row.mine) a.means[channel] = divide_rounded(sum[0], static_cast<float>(a.pixels));
}

constexpr int kLongThreads = 256, kLongLoads = 16, kLongChunk = kLongThreads * kLongLoads;
constexpr int kLongBytes = 2 * kLongChunk * 4;

// One block a channel. The order of the sums leaves 16 chains of additions, which one warp works off; all warps bring
// the next chunk meanwhile. Grid: (c_in, batch).
template <class T>
__global__ void __launch_bounds__(kLongThreads) gate_long_means(const GateArgs a) {
  static_assert(kLongChunk % kGateLanes == 0, "every chunk begins with the first partial sum");
  float* const chunks = reinterpret_cast<float*>(shared_memory());
  const int64_t channel = static_cast<int64_t>(blockIdx.y) * a.c_in + blockIdx.x;
  const T* const x = static_cast<const T*>(a.x) + channel * a.pixels;
  T loaded[kLongLoads];
  const auto fetch = [&](int first) {
#pragma unroll
    for (int i = 0; i < kLongLoads; ++i) {
      const int j = first + threadIdx.x + i * kLongThreads;
      loaded[i] = load_if(j < a.pixels, x + (j < a.pixels ? j : 0));
    }
  };
  // Zeros behind the last pixel change no sum: a partial sum is never -0.
  const auto put = [&](float* chunk) {
#pragma unroll
    for (int i = 0; i < kLongLoads; ++i) chunk[threadIdx.x + i * kLongThreads] = to_float(loaded[i]);
  };
  fetch(0);
  put(chunks);
  __syncthreads();
  float sum[1] = {0.0f};
  const int chunk_count = ceil_div(a.pixels, kLongChunk);
  for (int c = 0; c < chunk_count; ++c) {
    if (c + 1 < chunk_count) fetch((c + 1) * kLongChunk);
    if (threadIdx.x < 32) {
      const float* const from = chunks + c % 2 * kLongChunk + threadIdx.x % kGateLanes;
#pragma unroll 32
      for (int i = 0; i < kLongChunk / kGateLanes; ++i) sum[0] = add_rounded(sum[0], from[i * kGateLanes]);
    }
    if (c + 1 < chunk_count) put(chunks + (c + 1) % 2 * kLongChunk);
    __syncthreads();
  }
  if (threadIdx.x >= 32) return;
  fold_partials(sum);
  if (threadIdx.x == 0) a.means[channel] = divide_rounded(sum[0], static_cast<float>(a.pixels));
}

}  // namespace cuda
}  // namespace sanp
