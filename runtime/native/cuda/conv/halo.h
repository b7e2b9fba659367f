// Algorithm "halo": tensor cores, all taps of a tile read from one window of the input in shared memory.
//
// The window holds 32 open channels, pixel by pixel, so a tap is a constant shift of every address. Compared with
// gathering tap by tap a 3x3 layer loads its inputs once instead of nine times. While the taps of one window are
// multiplied, the next window arrives in as many portions as there are taps.
#pragma once

#include "cuda/conv/half_product.h"
#include "cuda/conv/half_weights.h"
#include "cuda/conv/start_block.h"
#include "cuda/conv/window.h"

namespace sanp {
namespace cuda {

template <int kThreads>
class Halo {
 public:
  __device__ __forceinline__ Halo(const ConvArgs& a, const BlockTile& b, const TileLists& lists, unsigned char* tiles,
                                  int end)
      : a_(a), inputs_(lists.inputs), tiles_(tiles), plane_(static_cast<int64_t>(a.height) * a.width), end_(end) {
    x_ = first_plane<Half>(a, b);
    first_row_ = a.by_strip_w.quotient(b.first_pixel);
    y0_ = first_row_ * a.stride_h - a.pad_top;
    x0_ = b.strip_x * a.stride_w - a.pad_left;
  }

  // Byte offset of an output pixel's first tap. A pixel outside the map reads any window; its sums are dropped.
  __device__ __forceinline__ int place(const Pixel& pixel, int strip_x) const {
    if (!pixel.valid) return 0;
    return ((pixel.y - first_row_) * a_.stride_h * a_.halo_w + (pixel.x - strip_x) * a_.stride_w) * kHalfPixelPitch;
  }
  __device__ __forceinline__ int tap_shift(int tap) const {
    const int tap_y = a_.by_kernel_w.quotient(tap), tap_x = a_.by_kernel_w.remainder(tap, tap_y);
    return (tap_y * a_.dilation_h * a_.halo_w + tap_x * a_.dilation_w) * kHalfPixelPitch;
  }

  // Starts loading one portion of the window of channels [rank, rank + 32).
  __device__ __forceinline__ void fetch(int rank, int portion) {
    const int items = a_.halo_pixels * 2 * ceil_div(min_of(end_ - rank, kHalfTileK), 16);
#pragma unroll
    for (int j = 0; j < kHaloItems; ++j) {
      const int item = (portion * kHaloItems + j) * kThreads + threadIdx.x;
      place_[j] = -1;
      if (item >= items) continue;
      const int octet = a_.by_halo_pixels.quotient(item), pixel = a_.by_halo_pixels.remainder(item, octet);
      place_[j] = pixel * kHalfPixelPitch + octet * 16;
      load(rank + 8 * octet, pixel, fetched_[j]);
    }
  }

  __device__ __forceinline__ void put(int buffer) const {
#pragma unroll
    for (int j = 0; j < kHaloItems; ++j)
      if (place_[j] >= 0) store_octet(tile(buffer) + place_[j], fetched_[j]);
  }

  __device__ __forceinline__ unsigned char* tile(int buffer) const {
    return tiles_ + buffer * a_.halo_pixels * kHalfPixelPitch;
  }

 private:
  __device__ __forceinline__ void load(int rank, int pixel, unsigned short (&to)[8]) const {
    const int row = a_.by_halo_w.quotient(pixel), y = y0_ + row, x = x0_ + a_.by_halo_w.remainder(pixel, row);
    const bool inside = is_inside(a_, y, x);
    const int at = inside ? y * a_.width + x : 0;
#pragma unroll
    for (int i = 0; i < 8; ++i) to[i] = inside && rank + i < end_ ? x_[inputs_[rank + i] * plane_ + at].bits : 0;
  }

  const ConvArgs& a_;
  const uint16_t* inputs_;
  unsigned char* tiles_;
  const Half* x_;
  int64_t plane_;
  int end_, first_row_, y0_, x0_;
  int place_[kHaloItems];
  unsigned short fetched_[kHaloItems][8];
};

template <int kM, int kN, int kWarps>
__global__ void __launch_bounds__(32 * kWarps) conv_halo(const ConvArgs a) {
  if (!kHasMatrixProduct) return;
  using Product = HalfProduct<kM, kN, kWarps>;
  BlockTile b;
  TileLists lists;
  if (!start_block<Half, Product::kTileM, Product::kTileN, kWarps>(a, &b, &lists)) return;
  const Range range = part_of(lists.n_inputs, 16, a.split_k, b.slice);
  HalfWeights<Product::kTileM, Product::kThreads> weights(a, lists);
  Halo<Product::kThreads> halo(a, b, lists, weights.tile(2), range.end);
  Product product(lists.open);
  product.inputs_by_pixel([&](int q) { return halo.place(tile_pixel(a, b, q), b.strip_x); });

  const auto fetch_weights = [&](int rank, int tap) {
    weights.fetch([&](int k) { return rank + k < range.end ? lists.inputs[rank + k] * a.w_in + tap * a.w_tap : -1; });
  };
  if (range.begin < range.end) {
    fetch_weights(range.begin, 0);
    for (int portion = 0; portion < a.taps; ++portion) {
      halo.fetch(range.begin, portion);
      halo.put(0);
    }
    weights.put(0);
    __syncthreads();
  }
  int step = 0;
  for (int rank = range.begin, window = 0; rank < range.end; rank += kHalfTileK, window ^= 1) {
    const bool last_window = rank + kHalfTileK >= range.end;
    for (int tap = 0; tap < a.taps; ++tap, step ^= 1) {
      const bool last_tap = tap + 1 == a.taps, more = !(last_tap && last_window);
      if (more) fetch_weights(last_tap ? rank + kHalfTileK : rank, last_tap ? 0 : tap + 1);
      if (!last_window) halo.fetch(rank + kHalfTileK, tap);
      product.template add<true>(weights.tile(step), halo.tile(window) + halo.tap_shift(tap), range.end - rank, 32);
      if (more) weights.put(step ^ 1);
      if (!last_window) halo.put(window ^ 1);
      __syncthreads();
    }
  }
  product.store(a, b, lists);
}

}  // namespace cuda
}  // namespace sanp
