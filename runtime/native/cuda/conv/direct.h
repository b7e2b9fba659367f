// Algorithm "direct": one thread per output pixel, straight from memory. For depthwise layers and groups of a few
// channels, where nothing is shared that would be worth staging, and for whatever no other algorithm can hold.
#pragma once

#include "cuda/conv/channel_lists.h"
#include "cuda/conv/output_row.h"
#include "cuda/conv/window.h"

namespace sanp {
namespace cuda {

constexpr int kDirectThreads = 128;
constexpr int kDirectAhead = 9;  // taps whose loads are in flight at once

template <class T>
__device__ __forceinline__ float direct_sum(const ConvArgs& a, const BlockTile& b, int channel, const Pixel& pixel) {
  const float* const active = a.in_active + static_cast<int64_t>(b.sample) * a.active_step + b.first_in;
  const int64_t plane = static_cast<int64_t>(a.height) * a.width;
  const T* const x = first_plane<T>(a, b);
  const T* const w = static_cast<const T*>(a.w) + channel * a.w_out;
  const int y0 = pixel.y * a.stride_h - a.pad_top, x0 = pixel.x * a.stride_w - a.pad_left;
  float sum = 0.0f;
  for (int i = 0; i < a.group_in; ++i) {
    if (!is_open(active[i])) continue;
    int tap_y = 0, tap_x = 0;
    for (int first = 0; first < a.taps; first += kDirectAhead) {
      T weights[kDirectAhead], inputs[kDirectAhead];
      bool inside[kDirectAhead];
#pragma unroll
      for (int j = 0; j < kDirectAhead; ++j) {
        const int y = y0 + tap_y * a.dilation_h, c = x0 + tap_x * a.dilation_w;
        inside[j] = first + j < a.taps && is_inside(a, y, c);
        weights[j] = load_if(inside[j], w + (i * a.w_in + (first + j) * a.w_tap));
        inputs[j] = load_if(inside[j], x + (i * plane + (inside[j] ? y * a.width + c : 0)));
        if (++tap_x == a.kernel_w) {
          tap_x = 0;
          ++tap_y;
        }
      }
#pragma unroll
      for (int j = 0; j < kDirectAhead; ++j)
        if (inside[j]) sum = fmaf(to_float(weights[j]), to_float(inputs[j]), sum);
    }
  }
  return sum;
}

template <class T>
__global__ void __launch_bounds__(kDirectThreads) conv_direct(const ConvArgs a) {
  const BlockTile b = block_tile(a, 1, kDirectThreads, blockIdx.x, blockIdx.y, blockIdx.z);
  const Pixel pixel = tile_pixel(a, b, threadIdx.x);
  if (!pixel.valid) return;
  const int channel = b.first_out + b.first_rank;
  const bool open = is_open(a.scale[static_cast<int64_t>(b.sample) * a.scale_step + channel]);
  const OutputRow<T> row(a, b.sample, channel);
  const int p = pixel.y * a.out_w + pixel.x;
  const T residual = row.residual(a, p);
  row.store(a, p, open ? direct_sum<T>(a, b, channel, pixel) : 0.0f, residual);
}

}  // namespace cuda
}  // namespace sanp
