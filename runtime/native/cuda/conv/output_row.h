// The end of every kernel: scale, shift, residual, clamp and store of one output channel, masked ones included.
#pragma once

#include "cuda/base/load.h"
#include "cuda/conv/args.h"
#include "cuda/conv/tile_sizes.h"

namespace sanp {
namespace cuda {

template <class T>
class OutputRow {
 public:
  OutputRow() = default;

  // A negative channel is no row: nothing is read or written.
  __device__ __forceinline__ OutputRow(const ConvArgs& a, int sample, int channel) : exists_(channel >= 0) {
    plane_ = (static_cast<int64_t>(sample) * a.c_out + channel) * a.pixels;
    scale_ = load_if(exists_, a.scale + static_cast<int64_t>(sample) * a.scale_step + channel);
    shift_ = load_if(exists_, a.shift + static_cast<int64_t>(sample) * a.shift_step + channel);
  }

  // What is added at pixel p; a negative p is no pixel. Apart from `store`, so that many are in flight at once.
  __device__ __forceinline__ T residual(const ConvArgs& a, int p) const {
    return load_if(exists_ && p >= 0, static_cast<const T*>(a.residual) + (a.residual_dense ? plane_ + p : 0));
  }

  // `sum` is the convolution at pixel p; a masked channel passes 0.
  __device__ __forceinline__ void store(const ConvArgs& a, int p, float sum, T residual) const {
    if (!exists_ || p < 0) return;
    const float value = fmaf(scale_, sum, shift_) + to_float(residual);
    static_cast<T*>(a.y)[plane_ + p] = from_float<T>(clamp(value, a.act_min, a.act_max));
  }

 private:
  bool exists_;
  float scale_, shift_;
  int64_t plane_;
};

// Stores n_rows rows of a tile, a multiple of kStoreRows. `sums` holds [n_rows][pitch] in shared memory; rows at and
// past `open` are masked and their sums are not read. A warp takes a row, so that lanes write neighbouring pixels. With
// split_k the open rows go to the slice's partial sums, and the masked ones are left to the kernel that adds the
// slices.
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
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  if (a.partial != nullptr) {
    for (int r = warp; r < min_of(n_rows, open); r += kWarps) {
      const int64_t first = ((static_cast<int64_t>(b.slice) * a.batch + b.sample) * a.c_out + rows[r]) * a.pixels;
#pragma unroll
      for (int j = 0; j < kTileN / 32; ++j)
        if (places[j] >= 0) a.partial[first + places[j]] = sums[r * pitch + lane + 32 * j];
    }
    return;
  }
  // Scales, shifts and residuals of several rows are on their way before the first of them is needed.
  constexpr int kAtOnce = kStoreRows / kWarps;
  for (int first = warp; first < n_rows; first += kAtOnce * kWarps) {
    OutputRow<T> row[kAtOnce];
    T residual[kAtOnce][kTileN / 32];
#pragma unroll
    for (int i = 0; i < kAtOnce; ++i) {
      row[i] = OutputRow<T>(a, b.sample, rows[first + i * kWarps]);
#pragma unroll
      for (int j = 0; j < kTileN / 32; ++j) residual[i][j] = row[i].residual(a, places[j]);
    }
#pragma unroll
    for (int i = 0; i < kAtOnce; ++i) {
      const int r = first + i * kWarps;
#pragma unroll
      for (int j = 0; j < kTileN / 32; ++j)
        row[i].store(a, places[j], r < open ? sums[r * pitch + lane + 32 * j] : 0.0f, residual[i][j]);
    }
  }
}

}  // namespace cuda
}  // namespace sanp
