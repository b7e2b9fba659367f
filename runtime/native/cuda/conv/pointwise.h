// Algorithms "pointwise8" and "pointwise4": tensor cores, 1x1 with stride 1 and no border. The planes of the open
// channels are read as vectors of 8 or 4 pixels and stored as they come, [channel][pixel].
#pragma once

#include "cuda/base/double_buffer.h"
#include "cuda/conv/half_product.h"
#include "cuda/conv/half_weights.h"
#include "cuda/conv/start_block.h"
#include "cuda/conv/window.h"

namespace sanp {
namespace cuda {

template <int kVector>
struct PixelVector;
template <>
struct PixelVector<8> {
  using Type = uint4;
};
template <>
struct PixelVector<4> {
  using Type = uint2;
};

template <int kVector, int kTileN, int kThreads>
class PlaneInputs {
 public:
  __device__ __forceinline__ PlaneInputs(const ConvArgs& a, const BlockTile& b, const TileLists& lists,
                                         unsigned char* tiles)
      : inputs_(lists.inputs), tiles_(tiles), plane_(a.pixels) {
    const int pixel = b.first_pixel + threadIdx.x % kVectors * kVector;
    inside_ = pixel < a.pixels;
    x_ = first_plane<Half>(a, b) + (inside_ ? pixel : 0);
  }

  __device__ __forceinline__ void fetch(int rank, int end) {
#pragma unroll
    for (int j = 0; j < kFetch; ++j) {
      const int r = rank + first_k() + j * kStepK;
      const Half* const from = x_ + static_cast<int64_t>(inputs_[min_of(r, end - 1)]) * plane_;
      fetched_[j] = load_if(inside_ && r < end, reinterpret_cast<const Vector*>(from));
    }
  }

  __device__ __forceinline__ void put(int buffer) const {
#pragma unroll
    for (int j = 0; j < kFetch; ++j)
      reinterpret_cast<Vector*>(tile(buffer) +
                                (first_k() + j * kStepK) * half_pitch_n(kTileN))[threadIdx.x % kVectors] = fetched_[j];
  }

  __device__ __forceinline__ unsigned char* tile(int buffer) const {
    return tiles_ + buffer * kHalfTileK * half_pitch_n(kTileN);
  }

 private:
  using Vector = typename PixelVector<kVector>::Type;
  static constexpr int kVectors = kTileN / kVector;
  static constexpr int kStepK = kThreads / kVectors, kFetch = kHalfTileK / kStepK;
  static_assert(kStepK * kVectors == kThreads && kFetch * kStepK == kHalfTileK, "every thread has the same work");

  __device__ __forceinline__ int first_k() const { return threadIdx.x / kVectors; }

  const uint16_t* inputs_;
  unsigned char* tiles_;
  const Half* x_;
  int plane_;
  bool inside_;
  Vector fetched_[kFetch];
};

template <int kVector, int kM, int kN, int kWarps>
__global__ void __launch_bounds__(32 * kWarps) conv_pointwise(const ConvArgs a) {
  if (!kHasMatrixProduct) return;
  using Product = HalfProduct<kM, kN, kWarps>;
  BlockTile b;
  TileLists lists;
  if (!start_block<Half, Product::kTileM, Product::kTileN, kWarps>(a, &b, &lists)) return;
  const Range range = part_of(lists.n_inputs, 16, a.split_k, b.slice);
  HalfWeights<Product::kTileM, Product::kThreads> weights(a, lists);
  PlaneInputs<kVector, Product::kTileN, Product::kThreads> inputs(a, b, lists, weights.tile(2));
  Product product(lists.open);
  product.inputs_by_channel(half_pitch_n(Product::kTileN));

  const auto fetch = [&](int rank) {
    weights.aim(range.end - rank, [&](int k) { return lists.inputs[rank + k] * a.w_in; });
    weights.fetch(0);
    inputs.fetch(rank, range.end);
  };
  const auto put = [&](int buffer) {
    weights.put(buffer);
    inputs.put(buffer);
  };
  double_buffered<kHalfTileK>(range, fetch, put, [&](int rank, int buffer) {
    product.template add<false>(weights.tile(buffer), inputs.tile(buffer), range.end - rank,
                                16 * half_pitch_n(Product::kTileN));
  });
  product.store(a, b, lists);
}

}  // namespace cuda
}  // namespace sanp
