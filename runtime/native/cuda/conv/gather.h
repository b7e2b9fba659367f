// Algorithm "gather": tensor cores, k = (open input channel, tap), every input fetched tap by tap. For any shape; the
// best where channels are few, as in a stem, or where a window would not fit into shared memory.
#pragma once

#include "cuda/base/double_buffer.h"
#include "cuda/conv/half_product.h"
#include "cuda/conv/half_weights.h"
#include "cuda/conv/start_block.h"
#include "cuda/conv/window.h"

namespace sanp {
namespace cuda {

// One pixel of the tile per thread, eight k at a time: eight loads that neighbouring lanes make of neighbouring pixels,
// one 16-byte store.
template <int kTileN, int kThreads, bool kOneTap>
class GatheredInputs {
 public:
  __device__ __forceinline__ GatheredInputs(const ConvArgs& a, const BlockTile& b, const TileLists& lists,
                                            unsigned char* tiles)
      : window_(a, b, lists.inputs, tile_pixel(a, b, threadIdx.x % kTileN)), tiles_(tiles) {}

  __device__ __forceinline__ void fetch(int k0, int end) {
#pragma unroll
    for (int j = 0; j < kFetch; ++j)
#pragma unroll
      for (int i = 0; i < 8; ++i) {
        const int k = k0 + 8 * (threadIdx.x / kTileN + j * kOctets) + i;
        fetched_[j][i] = window_.read(k, end);
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

  InputWindow<Half, kOneTap> window_;
  unsigned char* tiles_;
  Half fetched_[kFetch][8];
};

template <class Product, bool kOneTap>
__device__ __forceinline__ void gather_products(const ConvArgs& a, const BlockTile& b, const TileLists& lists,
                                                Product& product) {
  HalfWeights<Product::kTileM, Product::kThreads> weights(a, lists);
  GatheredInputs<Product::kTileN, Product::kThreads, kOneTap> inputs(a, b, lists, weights.tile(2));
  product.inputs_by_pixel([](int q) { return q * kHalfPixelPitch; });

  const Range range = part_of(lists.n_inputs * a.taps, 16, a.split_k, b.slice);
  const auto fetch = [&](int k0) {
    weights.aim(range.end - k0, [&](int k) {
      if (kOneTap) return lists.inputs[k0 + k] * a.w_in;
      const int rank = a.by_taps.quotient(k0 + k), tap = a.by_taps.remainder(k0 + k, rank);
      return lists.inputs[rank] * a.w_in + tap * a.w_tap;
    });
    weights.fetch(0);
    inputs.fetch(k0, range.end);
  };
  const auto put = [&](int buffer) {
    weights.put(buffer);
    inputs.put(buffer);
  };
  double_buffered<kHalfTileK>(range, fetch, put, [&](int k, int buffer) {
    product.template add<true>(weights.tile(buffer), inputs.tile(buffer), range.end - k, 32);
  });
}

// Left alone, nvcc 13 aims at three resident blocks of the larger tile and spills on sm_110.
template <int kM, int kN, int kWarps>
__global__ void __launch_bounds__(32 * kWarps, kN == 4 ? 2 : 4) conv_gather(const ConvArgs a) {
  if (!kHasMatrixProduct) return;
  using Product = HalfProduct<kM, kN, kWarps>;
  BlockTile b;
  TileLists lists;
  if (!start_block<Half, Product::kTileM, Product::kTileN, kWarps>(a, &b, &lists)) return;
  Product product(lists.open);
  // A 1x1 layer with a stride: the place of a pixel is worked out once, not for every channel.
  if (a.taps == 1)
    gather_products<Product, true>(a, b, lists, product);
  else
    gather_products<Product, false>(a, b, lists, product);
  product.store(a, b, lists);
}

}  // namespace cuda
}  // namespace sanp
