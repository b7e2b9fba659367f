// The product of a tensor core tile: all rows of the tile by 8 kN pixels per warp.
//
// Warps share the rows and divide the pixels. So a tile with 19 open rows costs every warp two of four row fragments;
// warps that divided the rows would wait for the one that has the open ones.
#pragma once

#include "cuda/base/warp_matrix.h"
#include "cuda/conv/output_row.h"
#include "cuda/conv/tile_lists.h"

namespace sanp {
namespace cuda {

template <int kM, int kN, int kWarps>
class HalfProduct {
 public:
  static constexpr int kTileM = 16 * kM, kTileN = 8 * kN * kWarps, kThreads = 32 * kWarps;
  static_assert(kN % 2 == 0, "inputs are loaded for 16 pixels at once");

  __device__ __forceinline__ explicit HalfProduct(int open) : row_fragments_(ceil_div(open, 16)) {
#pragma unroll
    for (int i = 0; i < kM; ++i)
#pragma unroll
      for (int j = 0; j < kN; ++j)
#pragma unroll
        for (int e = 0; e < 4; ++e) sums_[i][j][e] = 0.0f;
  }

  // Inputs are stored pixel by pixel, the channels of a pixel together; place(pixel of the tile) is its byte offset.
  template <class Place>
  __device__ __forceinline__ void inputs_by_pixel(Place place) {
    const int lane = threadIdx.x % 32;
#pragma unroll
    for (int j = 0; j < kN / 2; ++j) inputs_[j] = place(warp_pixel(j) + lane / 16 * 8 + lane % 8) + lane / 8 % 2 * 16;
  }

  // Inputs are stored channel by channel, `pitch` bytes apart.
  __device__ __forceinline__ void inputs_by_channel(int pitch) {
    const int lane = threadIdx.x % 32;
#pragma unroll
    for (int j = 0; j < kN / 2; ++j)
      inputs_[j] = (lane / 8 % 2 * 8 + lane % 8) * pitch + (warp_pixel(j) + lane / 16 * 8) * 2;
  }

  // Adds a step of `depth` products, rounded up to 16. `next16` is the byte distance of the inputs 16 channels further.
  template <bool kByPixel>
  __device__ __forceinline__ void add(const unsigned char* weights, const unsigned char* inputs, int depth,
                                      int next16) {
    const int lane = threadIdx.x % 32;
    weights += (lane / 16 * 8 + lane % 8) * half_pitch_m(kTileM) + lane / 8 % 2 * 16;
#pragma unroll
    for (int k = 0; k < kHalfTileK / 16; ++k) {
      if (k * 16 >= depth) break;
      Matrices x[kN / 2];
#pragma unroll
      for (int j = 0; j < kN / 2; ++j) {
        const unsigned char* const at = inputs + inputs_[j] + k * next16;
        x[j] = kByPixel ? load_matrices(at) : load_transposed(at);
      }
#pragma unroll
      for (int i = 0; i < kM; ++i) {
        if (i >= row_fragments_) break;
        const Matrices w = load_transposed(weights + k * 16 * half_pitch_m(kTileM) + i * 32);
#pragma unroll
        for (int j = 0; j < kN; ++j)
          multiply_add(sums_[i][j], w, x[j / 2].part[j % 2 * 2], x[j / 2].part[j % 2 * 2 + 1]);
      }
    }
  }

  // Ends the block: 16 rows at a time through shared memory, so that neighbouring lanes store neighbouring pixels.
  __device__ __forceinline__ void store(const ConvArgs& a, const BlockTile& b, const TileLists& lists) const {
    constexpr int kPitch = store_pitch(kTileN);
    float* const shared = reinterpret_cast<float*>(lists.tiles);
    const int g = threadIdx.x % 32 / 4, t = threadIdx.x % 4;
#pragma unroll
    for (int i = 0; i < kM; ++i) {
#pragma unroll
      for (int j = 0; j < kN; ++j)
#pragma unroll
        for (int e = 0; e < 4; ++e)
          shared[(g + e / 2 * 8) * kPitch + warp_pixel(0) + 8 * j + 2 * t + e % 2] = sums_[i][j][e];
      __syncthreads();
      store_rows<Half, kTileN, kWarps>(a, b, lists.rows + i * kStoreRows, kStoreRows, lists.open - i * kStoreRows,
                                       shared, kPitch);
      __syncthreads();
    }
  }

 private:
  __device__ __forceinline__ static int warp_pixel(int j) { return threadIdx.x / 32 * 8 * kN + 16 * j; }

  int row_fragments_;
  int inputs_[kN / 2];
  float sums_[kM][kN][4];
};

}  // namespace cuda
}  // namespace sanp
