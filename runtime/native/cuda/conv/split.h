// Second launch of a convolution whose input channels were split over blocks: adds the slices in their order.
#pragma once

#include "cuda/conv/channel_lists.h"
#include "cuda/conv/output_row.h"

namespace sanp {
namespace cuda {

constexpr int kSplitThreads = 128;

// Grid: (runs of pixels, c_out, batch).
template <class T>
__global__ void __launch_bounds__(kSplitThreads) add_slices(const ConvArgs a) {
  const int channel = blockIdx.y, sample = blockIdx.z;
  const int p = blockIdx.x * kSplitThreads + threadIdx.x;
  if (p >= a.pixels) return;
  const OutputRow<T> row(a, sample, channel);
  const T residual = row.residual(a, p);
  float sum = 0.0f;
  if (is_open(a.scale[static_cast<int64_t>(sample) * a.scale_step + channel])) {
    const int64_t slice = static_cast<int64_t>(a.batch) * a.c_out * a.pixels;
    const float* const first = a.partial + (static_cast<int64_t>(sample) * a.c_out + channel) * a.pixels + p;
#pragma unroll 4
    for (int s = 0; s < a.split_k; ++s) sum += first[s * slice];
  }
  row.store(a, p, sum, residual);
}

}  // namespace cuda
}  // namespace sanp
