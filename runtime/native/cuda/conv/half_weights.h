// Weights of a tensor core tile: gathered from memory into registers, from there to shared memory as [k][row].
#pragma once

#include "cuda/base/load.h"
#include "cuda/conv/tile_lists.h"

namespace sanp {
namespace cuda {

// A lane takes two neighbouring rows at one k. With HWIO weights the lanes of a warp then read one short run of memory,
// and what they write is free of bank conflicts; ldmatrix.trans turns it into the operand.
template <int kTileM, int kThreads>
class HalfWeights {
 public:
  __device__ __forceinline__ HalfWeights(const ConvArgs& a, const TileLists& lists)
      : w_(static_cast<const Half*>(a.w)), tile_(lists.tiles), pair_(threadIdx.x % kPairs) {
    for (int i = 0; i < 2; ++i) {
      const int m = 2 * pair_ + i;
      row_[i] = m < lists.open ? lists.rows[m] * a.w_out : -1;
    }
  }

  // `offset(k)` is where the weights of k begin, k in [0, depth); depth is at least 1.
  template <class Offset>
  __device__ __forceinline__ void aim(int depth, Offset offset) {
#pragma unroll
    for (int j = 0; j < kFetch; ++j) {
      const int k = first_k() + j * kStepK;
      at_[j] = k < depth ? offset(min_of(k, depth - 1)) : -1;
    }
  }

  // Starts loading a step, `shift` elements behind the aim.
  __device__ __forceinline__ void fetch(int shift) {
#pragma unroll
    for (int j = 0; j < kFetch; ++j)
#pragma unroll
      for (int i = 0; i < 2; ++i)
        fetched_[j][i] = load_if(at_[j] >= 0 && row_[i] >= 0, w_ + (at_[j] + row_[i] + shift));
  }

  __device__ __forceinline__ void put(int buffer) const {
#pragma unroll
    for (int j = 0; j < kFetch; ++j)
      reinterpret_cast<unsigned*>(tile(buffer) + (first_k() + j * kStepK) * half_pitch_m(kTileM))[pair_] =
          pack(fetched_[j][0], fetched_[j][1]);
  }

  __device__ __forceinline__ unsigned char* tile(int buffer) const {
    return tile_ + buffer * half_weights_bytes(kTileM);
  }

 private:
  static constexpr int kPairs = kTileM / 2;
  static constexpr int kStepK = kThreads / kPairs, kFetch = kHalfTileK / kStepK;
  static_assert(kStepK * kPairs == kThreads && kFetch * kStepK == kHalfTileK, "every thread has the same work");

  __device__ __forceinline__ int first_k() const { return threadIdx.x / kPairs; }

  const Half* w_;
  unsigned char* tile_;
  int pair_;
  int row_[2];
  int at_[kFetch];
  Half fetched_[kFetch][2];
};

}  // namespace cuda
}  // namespace sanp
