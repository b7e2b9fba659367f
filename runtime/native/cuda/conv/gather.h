// Algorithm "gather": tensor cores, k = (open input channel, tap), every input fetched tap by tap. For any shape; the
// best where channels are few, as in a stem, or where a window would not fit into shared memory.
#pragma once

#include "cuda/base/double_buffer.h"
#include "cuda/conv/half_product.h"
#include "cuda/conv/half_weights.h"

namespace sanp {
namespace cuda {

// One pixel of the tile per thread, eight k at a time: eight loads that neighbouring lanes make of neighbouring pixels,
// one 16-byte store.
template <int kTileN, int kThreads>
class GatheredInputs {
 public:
  __device__ __forceinline__ GatheredInputs(const ConvArgs& a, const BlockTile& b, const TileLists& lists,
                                            unsigned char* tiles)
      : a_(a), inputs_(lists.inputs), tiles_(tiles), plane_(static_cast<int64_t>(a.height) * a.width) {
    const Pixel pixel = tile_pixel(a, b, threadIdx.x % kTileN);
    // A pixel outside the map lies so far away that no tap reaches the input.
    y0_ = pixel.valid ? pixel.y * a.stride_h - a.pad_top : -(1 << 30);
    x0_ = pixel.x * a.stride_w - a.pad_left;
    x_ = static_cast<const Half*>(a.x) + (static_cast<int64_t>(b.sample) * a.c_in + b.first_in) * plane_;
  }

  __device__ __forceinline__ void fetch(int k0, int end) {
#pragma unroll
    for (int j = 0; j < kFetch; ++j)
#pragma unroll
      for (int i = 0; i < 8; ++i) {
        const int k = k0 + 8 * (threadIdx.x / kTileN + j * kOctets) + i;
        fetched_[j][i] = k < end ? input(k) : 0;
      }
  }

  __device__ __forceinline__ void put(int buffer) const {
#pragma unroll
    for (int j = 0; j < kFetch; ++j)
      store_octet(tile(buffer) + threadIdx.x % kTileN * kHalfPixelPitch + (threadIdx.x / kTileN + j * kOctets) * 16,
                  fetched_[j]);
  }

  __device__ __forceinline__ unsigned char* tile(int buffer) const {
    return tiles_ + buffer * kTileN * kHalfPixelPitch;
  }

 private:
  static constexpr int kOctets = kThreads / kTileN, kFetch = kHalfTileK / 8 / kOctets;
  static_assert(kOctets * kTileN == kThreads && kFetch * kOctets * 8 == kHalfTileK, "every thread has the same work");

  __device__ __forceinline__ unsigned short input(int k) const {
    const int rank = a_.by_taps.quotient(k), tap = a_.by_taps.remainder(k, rank);
    const int tap_y = a_.by_kernel_w.quotient(tap), tap_x = a_.by_kernel_w.remainder(tap, tap_y);
    const int y = y0_ + tap_y * a_.dilation_h, x = x0_ + tap_x * a_.dilation_w;
    if (static_cast<unsigned>(y) >= static_cast<unsigned>(a_.height) ||
        static_cast<unsigned>(x) >= static_cast<unsigned>(a_.width))
      return 0;
    return x_[inputs_[rank] * plane_ + y * a_.width + x].bits;
  }

  const ConvArgs& a_;
  const uint16_t* inputs_;
  unsigned char* tiles_;
  const Half* x_;
  int64_t plane_;
  int y0_, x0_;
  unsigned short fetched_[kFetch][8];
};

template <int kM, int kN, int kWarps>
__global__ void __launch_bounds__(32 * kWarps) conv_gather(const ConvArgs a) {
  if (!kHasMatrixProduct) return;
  using Product = HalfProduct<kM, kN, kWarps>;
  const BlockTile b = block_tile(a, Product::kTileM, Product::kTileN, blockIdx.x, blockIdx.y, blockIdx.z);
  const TileLists lists = tile_lists<Product::kTileM, kWarps>(a, b);
  if (lists.open == 0) {
    store_rows<Half, Product::kTileN, kWarps>(a, b, lists.rows, Product::kTileM, 0, nullptr, 0);
    return;
  }
  HalfWeights<Product::kTileM, Product::kThreads> weights(a, lists);
  GatheredInputs<Product::kTileN, Product::kThreads> inputs(a, b, lists, weights.tile(2));
  Product product(lists.open);
  product.inputs_by_pixel([](int q) { return q * kHalfPixelPitch; });

  const Range range = part_of(lists.n_inputs * a.taps, 16, a.split_k, b.slice);
  const auto fetch = [&](int k0) {
    weights.fetch([&](int k) {
      if (k0 + k >= range.end) return -1;
      const int rank = a.by_taps.quotient(k0 + k), tap = a.by_taps.remainder(k0 + k, rank);
      return lists.inputs[rank] * a.w_in + tap * a.w_tap;
    });
    inputs.fetch(k0, range.end);
  };
  const auto put = [&](int buffer) {
    weights.put(buffer);
    inputs.put(buffer);
  };
  double_buffered<kHalfTileK>(range, fetch, put, [&](int k, int buffer) {
    product.template add<true>(weights.tile(buffer), inputs.tile(buffer), range.end - k, 32);
  });
  product.store(a, b, lists);
}

}  // namespace cuda
}  // namespace sanp
