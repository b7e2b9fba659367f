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

// What one thread brings of a window at once.
struct HaloPortion {
  int place[kHaloItems];  // bytes, or -1 for nothing
  Half halves[kHaloItems][8];
};

template <int kThreads>
class Halo {
 public:
  __device__ __forceinline__ Halo(const ConvArgs& a, const BlockTile& b, const TileLists& lists, unsigned char* tiles,
                                  int end)
      : a_(a), inputs_(lists.inputs), tiles_(tiles), plane_(a.height * a.width), end_(end) {
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
  __device__ __forceinline__ void fetch(int rank, int portion, HaloPortion* to) const {
    const int items = a_.halo_pixels * 2 * ceil_div(min_of(end_ - rank, kHalfTileK), 16);
#pragma unroll
    for (int j = 0; j < kHaloItems; ++j) {
      const int item = (portion * kHaloItems + j) * kThreads + threadIdx.x;
      const int octet = a_.by_halo_pixels.quotient(item), pixel = a_.by_halo_pixels.remainder(item, octet);
      to->place[j] = item < items ? pixel * kHalfPixelPitch + octet * 16 : -1;
      load(item < items, rank + 8 * min_of(octet, kHalfTileK / 8 - 1), pixel, to->halves[j]);
    }
  }

  __device__ __forceinline__ void put(int buffer, const HaloPortion& portion) const {
#pragma unroll
    for (int j = 0; j < kHaloItems; ++j)
      if (portion.place[j] >= 0) store_octet(tile(buffer) + portion.place[j], portion.halves[j]);
  }

  __device__ __forceinline__ unsigned char* tile(int buffer) const {
    return tiles_ + buffer * a_.halo_pixels * kHalfPixelPitch;
  }

 private:
  __device__ __forceinline__ void load(bool wanted, int rank, int pixel, Half (&to)[8]) const {
    const int row = a_.by_halo_w.quotient(pixel), y = y0_ + row, x = x0_ + a_.by_halo_w.remainder(pixel, row);
    wanted = wanted && is_inside(a_, y, x);
    const Half* const from = x_ + (wanted ? y * a_.width + x : 0);
    // Eight entries of the list at once; what stands behind its end is read and not used.
    const uint4 entries = *reinterpret_cast<const uint4*>(inputs_ + rank);
    const unsigned pairs[4] = {entries.x, entries.y, entries.z, entries.w};
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      const unsigned channel = pairs[i / 2] >> i % 2 * 16 & 0xffff;
      to[i] = load_if(wanted && rank + i < end_, from + static_cast<int64_t>(channel) * plane_);
    }
  }

  const ConvArgs& a_;
  const uint16_t* inputs_;
  unsigned char* tiles_;
  const Half* x_;
  int plane_;  // below 2^30
  int end_, first_row_, y0_, x0_;
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

  const auto aim_weights = [&](int rank) {
    weights.aim(range.end - rank, [&](int k) { return lists.inputs[rank + k] * a.w_in; });
  };
  if (range.begin < range.end) {
    aim_weights(range.begin);
    weights.fetch(0);
    // Nothing can be multiplied before the first window is there: three portions at once, three waits for 3x3 taps.
    for (int portion = 0; portion < a.taps; portion += 3) {
      HaloPortion first[3];
#pragma unroll
      for (int i = 0; i < 3; ++i) halo.fetch(range.begin, portion + i, &first[i]);
#pragma unroll
      for (int i = 0; i < 3; ++i) halo.put(0, first[i]);
    }
    weights.put(0);
    __syncthreads();
  }
  int step = 0;
  for (int rank = range.begin, window = 0; rank < range.end; rank += kHalfTileK, window ^= 1) {
    const bool last_window = rank + kHalfTileK >= range.end;
    for (int tap = 0; tap < a.taps; ++tap, step ^= 1) {
      const bool last_tap = tap + 1 == a.taps, more = !(last_tap && last_window);
      if (last_tap && more) aim_weights(rank + kHalfTileK);
      if (more) weights.fetch(last_tap ? 0 : (tap + 1) * a.w_tap);
      HaloPortion portion;
      if (!last_window) halo.fetch(rank + kHalfTileK, tap, &portion);
      product.template add<true>(weights.tile(step), halo.tile(window) + halo.tap_shift(tap), range.end - rank, 32);
      if (more) weights.put(step ^ 1);
      if (!last_window) halo.put(window ^ 1, portion);
      __syncthreads();
    }
  }
  product.store(a, b, lists);
}

}  // namespace cuda
}  // namespace sanp
