// Algorithm "simt": float32 arithmetic on ordinary cores, for float32 tensors everywhere and float16 ones where the
// tensor cores lack m16n8k16. A gathered implicit GEMM over k = (open input channel, tap).
#pragma once

#include "cuda/base/double_buffer.h"
#include "cuda/conv/output_row.h"
#include "cuda/conv/start_block.h"
#include "cuda/conv/window.h"

namespace sanp {
namespace cuda {

constexpr int kSimtWarps = 4;
constexpr int kSimtThreads = 32 * kSimtWarps;

// A thread owns rows ty + 8 i and pixels 4 tx + j (+ 64). Its rows are strided so that a tile with 19 open rows costs
// every thread 3 of 8 row steps, instead of leaving five eighths of the threads idle.
template <class T, int kCols>
class SimtTile {
 public:
  static constexpr int kTileN = 16 * kCols;
  static constexpr int kFloatsA = kSimtTileK * kSimtTileM, kFloatsB = kSimtTileK * kTileN;
  static constexpr int kPitch = store_pitch(kTileN);
  static_assert(store_bytes(kTileN) <= simt_tile_bytes(kTileN), "the sums reuse the memory of the tiles");

  __device__ SimtTile(const ConvArgs& a, const BlockTile& b, const TileLists& lists)
      : a_(a),
        lists_(lists),
        floats_(reinterpret_cast<float*>(lists.tiles)),
        window_(a, b, lists.inputs, tile_pixel(a, b, threadIdx.x % kTileN)) {
    const int m = threadIdx.x % kSimtTileM;
    row_ = m < lists.open ? lists.rows[m] : -1;
    range_ = part_of(lists.n_inputs * a.taps, kSimtTileK, a.split_k, b.slice);
  }

  __device__ void multiply() {
    for (int i = 0; i < 8; ++i)
      for (int j = 0; j < kCols; ++j) sums_[i][j] = 0.0f;
    double_buffered<kSimtTileK>(
        range_, [this](int k) { fetch(k); }, [this](int buffer) { put(buffer); },
        [this](int, int buffer) { add_products(buffer); });
  }

  __device__ void store(const BlockTile& b) const {
    const int ty = threadIdx.x / 16, tx = threadIdx.x % 16;
#pragma unroll
    for (int round = 0; round < 4; ++round) {
#pragma unroll
      for (int i = 0; i < 2; ++i)
#pragma unroll
        for (int j = 0; j < kCols; ++j)
          floats_[(ty + 8 * i) * kPitch + 4 * tx + j % 4 + 64 * (j / 4)] = sums_[2 * round + i][j];
      __syncthreads();
      store_rows<T, kTileN, kSimtWarps>(a_, b, lists_.rows + round * kStoreRows, kStoreRows,
                                        lists_.open - round * kStoreRows, floats_, kPitch);
      __syncthreads();
    }
  }

 private:
  static constexpr int kFetchA = kFloatsA / kSimtThreads, kFetchB = kFloatsB / kSimtThreads;

  __device__ float* tile_a(int buffer) const { return floats_ + buffer * (kFloatsA + kFloatsB); }
  __device__ float* tile_b(int buffer) const { return tile_a(buffer) + kFloatsA; }

  // Loads one step into registers, to arrive while the step before is multiplied.
  __device__ void fetch(int k0) {
#pragma unroll
    for (int j = 0; j < kFetchA; ++j) {
      const int k = k0 + threadIdx.x / kSimtTileM + j * (kSimtThreads / kSimtTileM);
      fetched_a_[j] = weight(k);
    }
#pragma unroll
    for (int j = 0; j < kFetchB; ++j) {
      const int k = k0 + threadIdx.x / kTileN + j * (kSimtThreads / kTileN);
      fetched_b_[j] = window_.read(k, range_.end);
    }
  }

  __device__ T weight(int k) const {
    const int known = min_of(k, range_.end - 1), rank = a_.by_taps.quotient(known);
    const int tap = a_.by_taps.remainder(known, rank);
    const int at = row_ * a_.w_out + lists_.inputs[rank] * a_.w_in + tap * a_.w_tap;
    return load_if(row_ >= 0 && k < range_.end, static_cast<const T*>(a_.w) + at);
  }

  // Row m lies at (m % 8) * 8 + m / 8, so that the eight rows of a thread are two vectors.
  __device__ void put(int buffer) const {
    const int m = threadIdx.x % kSimtTileM, place = m % 8 * 8 + m / 8;
#pragma unroll
    for (int j = 0; j < kFetchA; ++j)
      tile_a(buffer)[(threadIdx.x / kSimtTileM + j * (kSimtThreads / kSimtTileM)) * kSimtTileM + place] =
          to_float(fetched_a_[j]);
#pragma unroll
    for (int j = 0; j < kFetchB; ++j)
      tile_b(buffer)[(threadIdx.x / kTileN + j * (kSimtThreads / kTileN)) * kTileN + threadIdx.x % kTileN] =
          to_float(fetched_b_[j]);
  }

  __device__ void add_products(int buffer) {
    const int ty = threadIdx.x / 16, tx = threadIdx.x % 16;
    const int steps = ceil_div(lists_.open, 8);
#pragma unroll 4
    for (int k = 0; k < kSimtTileK; ++k) {
      float w[8], x[kCols];
      const float* const row_a = tile_a(buffer) + k * kSimtTileM + 8 * ty;
      const float* const row_b = tile_b(buffer) + k * kTileN + 4 * tx;
      load4(w, row_a);
      load4(w + 4, row_a + 4);
      for (int j = 0; j < kCols; j += 4) load4(x + j, row_b + 16 * j);
#pragma unroll
      for (int i = 0; i < 8; ++i)
        if (i < steps)
#pragma unroll
          for (int j = 0; j < kCols; ++j) sums_[i][j] = fmaf(w[i], x[j], sums_[i][j]);
    }
  }

  __device__ static void load4(float* to, const float* from) {
    const float4 v = *reinterpret_cast<const float4*>(from);
    to[0] = v.x;
    to[1] = v.y;
    to[2] = v.z;
    to[3] = v.w;
  }

  const ConvArgs& a_;
  const TileLists& lists_;
  float* floats_;
  InputWindow<T> window_;
  int row_;
  Range range_;
  T fetched_a_[kFetchA], fetched_b_[kFetchB];
  float sums_[8][kCols];
};

// Three resident blocks leave 168 registers to a thread. Left alone, nvcc 13 aims at four and spills on sm_87.
template <class T, int kCols>
__global__ void __launch_bounds__(kSimtThreads, 3) conv_simt(const ConvArgs a) {
  using Tile = SimtTile<T, kCols>;
  BlockTile b;
  TileLists lists;
  if (!start_block<T, kSimtTileM, Tile::kTileN, kSimtWarps>(a, &b, &lists)) return;
  Tile tile(a, b, lists);
  tile.multiply();
  tile.store(b);
}

}  // namespace cuda
}  // namespace sanp
