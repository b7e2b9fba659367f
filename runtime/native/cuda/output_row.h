// The end of every kernel: scale, shift, residual, clamp and store of one output channel, masked ones included.
#pragma once

#include "conv_args.h"
#include "element.h"

namespace sanp {
namespace cuda {

template <class T>
class OutputRow {
 public:
  __device__ __forceinline__ OutputRow(const ConvArgs& a, int sample, int channel) {
    const int64_t plane = (static_cast<int64_t>(sample) * a.c_out + channel) * a.pixels;
    scale_ = a.scale[static_cast<int64_t>(sample) * a.scale_step + channel];
    shift_ = a.shift[static_cast<int64_t>(sample) * a.shift_step + channel];
    residual_ = static_cast<const T*>(a.residual) + (a.residual_dense ? plane : 0);
    residual_step_ = a.residual_dense ? 1 : 0;
    y_ = static_cast<T*>(a.y) + plane;
    low_ = a.act_min;
    high_ = a.act_max;
  }

  // `sum` is the convolution at pixel p; a masked channel passes 0.
  __device__ __forceinline__ void store(int p, float sum) const {
    const float value = fmaf(scale_, sum, shift_) + to_float(residual_[p * residual_step_]);
    y_[p] = from_float<T>(clamp(value, low_, high_));
  }

 private:
  float scale_, shift_, low_, high_;
  const T* residual_;
  int residual_step_;
  T* y_;
};

// Stores kRows rows of a tile. `sums` holds [kRows][pitch] in shared memory; rows at and past `open` are masked and
// their sums are not read. A warp takes a row, so that lanes write neighbouring pixels. With split_k the open rows go
// to the slice's partial sums, and the masked ones are left to the kernel that adds the slices.
template <class T, int kTileN, int kWarps>
__device__ __forceinline__ void store_rows(const ConvArgs& a, const BlockTile& b, const int* rows, int n_rows, int open,
                                           const float* sums, int pitch) {
  for (int r = threadIdx.x / 32; r < n_rows; r += kWarps) {
    const int channel = rows[r];
    if (channel < 0 || (a.partial != nullptr && r >= open)) continue;
    const OutputRow<T> row(a, b.sample, channel);
    const int64_t plane = ((static_cast<int64_t>(b.slice) * a.batch + b.sample) * a.c_out + channel) * a.pixels;
    for (int q = threadIdx.x % 32; q < kTileN; q += 32) {
      const Pixel pixel = tile_pixel(a, b, q);
      if (!pixel.valid) continue;
      const int p = pixel.y * a.out_w + pixel.x;
      const float sum = r < open ? sums[r * pitch + q] : 0.0f;
      if (a.partial != nullptr)
        a.partial[plane + p] = sum;
      else
        row.store(p, sum);
    }
  }
}

}  // namespace cuda
}  // namespace sanp
