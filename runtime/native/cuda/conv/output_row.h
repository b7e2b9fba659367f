// The end of every kernel: scale, shift, residual, clamp and store of one output channel, masked ones included.
#pragma once

#include "cuda/base/element.h"
#include "cuda/conv/args.h"

namespace sanp {
namespace cuda {

template <class T>
class OutputRow {
 public:
  __device__ __forceinline__ OutputRow(const ConvArgs& a, int sample, int channel) {
    const int64_t plane = (static_cast<int64_t>(sample) * a.c_out + channel) * a.pixels;
    scale_ = a.scale[static_cast<int64_t>(sample) * a.scale_step + channel];
    shift_ = a.shift[static_cast<int64_t>(sample) * a.shift_step + channel];
    const T* const residual = static_cast<const T*>(a.residual);
    residual_ = a.residual_dense ? residual + plane : nullptr;
    same_residual_ = a.residual_dense ? 0.0f : to_float(residual[0]);
    y_ = static_cast<T*>(a.y) + plane;
    low_ = a.act_min;
    high_ = a.act_max;
  }

  // `sum` is the convolution at pixel p; a masked channel passes 0.
  __device__ __forceinline__ void store(int p, float sum) const {
    const float residual = residual_ != nullptr ? to_float(residual_[p]) : same_residual_;
    const float value = fmaf(scale_, sum, shift_) + residual;
    y_[p] = from_float<T>(clamp(value, low_, high_));
  }

 private:
  float scale_, shift_, low_, high_, same_residual_;
  const T* residual_;
  T* y_;
};

// Stores n_rows rows of a tile. `sums` holds [n_rows][pitch] in shared memory; rows at and past `open` are masked and
// their sums are not read. A warp takes a row, so that lanes write neighbouring pixels. With split_k the open rows go
// to the slice's partial sums, and the masked ones are left to the kernel that adds the slices.
template <class T, int kTileN, int kWarps>
__device__ __forceinline__ void store_rows(const ConvArgs& a, const BlockTile& b, const int* rows, int n_rows, int open,
                                           const float* sums, int pitch) {
  // The same pixels in every row: their places are worked out once.
  int places[kTileN / 32];
#pragma unroll
  for (int j = 0; j < kTileN / 32; ++j) {
    const Pixel pixel = tile_pixel(a, b, threadIdx.x % 32 + 32 * j);
    places[j] = pixel.valid ? pixel.y * a.out_w + pixel.x : -1;
  }
  for (int r = threadIdx.x / 32; r < n_rows; r += kWarps) {
    const int channel = rows[r];
    if (channel < 0 || (a.partial != nullptr && r >= open)) continue;
    const OutputRow<T> row(a, b.sample, channel);
    const int64_t plane = ((static_cast<int64_t>(b.slice) * a.batch + b.sample) * a.c_out + channel) * a.pixels;
#pragma unroll
    for (int j = 0; j < kTileN / 32; ++j) {
      if (places[j] < 0) continue;
      const float sum = r < open ? sums[r * pitch + threadIdx.x % 32 + 32 * j] : 0.0f;
      if (a.partial != nullptr)
        a.partial[plane + places[j]] = sum;
      else
        row.store(places[j], sum);
    }
  }
}

}  // namespace cuda
}  // namespace sanp
