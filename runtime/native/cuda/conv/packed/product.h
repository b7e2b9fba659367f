// The product of a tile with packed weights, and its end: slices are added by the last of their blocks, and the
// results are stored from the registers that hold them.
#pragma once

#include "cuda/base/load.h"
#include "cuda/base/warp_matrix.h"
#include "cuda/conv/packed/tile.h"

namespace sanp {
namespace cuda {

// kRowWarps warps take the row blocks of the tile in turn, kPixelWarps divide its pixels; a warp multiplies up to kM
// row blocks by 8 kN pixels. With few open rows every warp has less to do, not some of them nothing.
template <int kM, int kN, int kRowWarps, int kPixelWarps>
class PackedProduct {
 public:
  static constexpr int kThreads = 32 * kRowWarps * kPixelWarps;
  static constexpr int kRowBlocks = kM * kRowWarps, kTileM = 16 * kRowBlocks, kTileN = 8 * kN * kPixelWarps;
  static_assert(kN % 2 == 0, "inputs are loaded for 16 pixels at once");

  __device__ __forceinline__ explicit PackedProduct(int open)
      : mine_(ceil_div(ceil_div(open, 16) - row_warp() + kRowWarps - 1, kRowWarps)) {
#pragma unroll
    for (int i = 0; i < kM; ++i)
#pragma unroll
      for (int j = 0; j < kN; ++j)
#pragma unroll
        for (int e = 0; e < 4; ++e) sums_[i][j][e] = 0.0f;
  }

  // Inputs are stored pixel by pixel, 16 channels together; place(pixel of the tile) is its byte offset.
  template <class Place>
  __device__ __forceinline__ void inputs_by_pixel(Place place) {
    const int lane = threadIdx.x % 32;
#pragma unroll
    for (int j = 0; j < kN / 2; ++j)
      inputs_[j] = place(first_pixel() + 16 * j + lane / 16 * 8 + lane % 8) + lane / 8 % 2 * 16;
  }

  // Inputs are stored channel by channel, `pitch` bytes apart.
  __device__ __forceinline__ void inputs_by_channel(int pitch) {
    const int lane = threadIdx.x % 32;
#pragma unroll
    for (int j = 0; j < kN / 2; ++j)
      inputs_[j] = (lane / 8 % 2 * 8 + lane % 8) * pitch + (first_pixel() + 16 * j + lane / 16 * 8) * 2;
  }

  // Adds one stage. Steps is called with a function step(fragments, inputs): byte offsets of the step's weights and
  // inputs in the stage.
  template <bool kByPixel, class Steps>
  __device__ __forceinline__ void add(const unsigned char* weights, const unsigned char* inputs, Steps steps) {
    weights += row_warp() * kFragmentBytes + threadIdx.x % 32 * 16;
    if (mine_ >= kM)
      add_rows<kByPixel, kM>(weights, inputs, steps);
    else if (kM > 3 && mine_ == 3)
      add_rows<kByPixel, 3>(weights, inputs, steps);
    else if (kM > 2 && mine_ == 2)
      add_rows<kByPixel, 2>(weights, inputs, steps);
    else if (mine_ == 1)
      add_rows<kByPixel, 1>(weights, inputs, steps);
  }

  // With slices: adds those of the other blocks, in their order. False if this block is not the last of its tile, and
  // done. All threads of the block call together.
  __device__ __forceinline__ bool add_slices(const PackedConvArgs& a, const PackedTile& t) {
    if (a.split_k == 1) return true;
    if (t.open == 0) return t.place.slice == 0;  // nothing to add: the first slice stores
    const int tile = (t.place.sample * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x;
    float4* const partial = reinterpret_cast<float4*>(a.packed.partial) +
                            static_cast<int64_t>(tile) * a.split_k * (kM * kN * kThreads) + threadIdx.x;
    float4* const own = partial + t.place.slice * (kM * kN * kThreads);
#pragma unroll
    for (int i = 0; i < kM; ++i)
#pragma unroll
      for (int j = 0; j < kN; ++j)
        if (i < mine_)
          own[(i * kN + j) * kThreads] = float4{sums_[i][j][0], sums_[i][j][1], sums_[i][j][2], sums_[i][j][3]};
    fence();
    __syncthreads();
    if (threadIdx.x == 0) *t.last = count_arrival(a.packed.arrivals + tile) + 1 == static_cast<unsigned>(a.split_k);
    __syncthreads();
    if (!*t.last) return false;
    fence();
#pragma unroll
    for (int i = 0; i < kM; ++i)
#pragma unroll
      for (int j = 0; j < kN; ++j)
#pragma unroll
        for (int e = 0; e < 4; ++e) sums_[i][j][e] = 0.0f;
    for (int s = 0; s < a.split_k; ++s)
#pragma unroll
      for (int i = 0; i < kM; ++i) {
        if (i >= mine_) break;
        float4 v[kN];
#pragma unroll
        for (int j = 0; j < kN; ++j) v[j] = load_from_others(partial + (s * kM * kN + i * kN + j) * kThreads);
#pragma unroll
        for (int j = 0; j < kN; ++j) {
          sums_[i][j][0] += v[j].x;
          sums_[i][j][1] += v[j].y;
          sums_[i][j][2] += v[j].z;
          sums_[i][j][3] += v[j].w;
        }
      }
    return true;
  }

  __device__ __forceinline__ void store(const PackedConvArgs& a, const PackedTile& t) const {
    const Half everywhere = load_if(!a.residual_dense, static_cast<const Half*>(a.residual));
    const int first = t.place.first_pixel + first_pixel() + 2 * (threadIdx.x % 4);
#pragma unroll
    for (int i = 0; i < kM; ++i)
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const int r = (i * kRowWarps + row_warp()) * 16 + threadIdx.x % 32 / 4 + 8 * half;
        const int channel = t.rows[r];
        const float scale = t.scales[r], shift = t.shifts[r];
        const int64_t plane = (static_cast<int64_t>(t.place.sample) * a.c_out + channel) * a.pixels;
        // A masked row may share its weights' fragment with open ones: its sums are zero, or NaN.
        const bool open = r < t.open;
        const auto value = [&](int j, int e, Half residual) {
          const float sum = open ? sums_[i][j][2 * half + e] : 0.0f;
          return from_float<Half>(clamp(fmaf(scale, sum, shift) + to_float(residual), a.act_min, a.act_max));
        };
        if (a.packed.pairs) {
          unsigned residual[kN];
#pragma unroll
          for (int j = 0; j < kN; ++j) {
            const bool wanted = a.residual_dense && channel >= 0 && first + 8 * j < a.pixels;
            const Half* const from = static_cast<const Half*>(a.residual) + (wanted ? plane + first + 8 * j : 0);
            residual[j] = load_if(wanted, reinterpret_cast<const unsigned*>(from));
            if (!a.residual_dense) residual[j] = everywhere.bits * 0x10001u;
          }
#pragma unroll
          for (int j = 0; j < kN; ++j) {
            if (channel < 0 || first + 8 * j >= a.pixels) continue;
            const Half low = value(j, 0, Half{static_cast<unsigned short>(residual[j] & 0xffffu)});
            const Half high = value(j, 1, Half{static_cast<unsigned short>(residual[j] >> 16)});
            *reinterpret_cast<unsigned*>(static_cast<Half*>(a.y) + plane + first + 8 * j) = pack(low, high);
          }
        } else {
          Half residual[kN][2];
#pragma unroll
          for (int j = 0; j < kN; ++j)
#pragma unroll
            for (int e = 0; e < 2; ++e) {
              const bool wanted = a.residual_dense && channel >= 0 && first + 8 * j + e < a.pixels;
              residual[j][e] =
                  load_if(wanted, static_cast<const Half*>(a.residual) + (wanted ? plane + first + 8 * j + e : 0));
              if (!a.residual_dense) residual[j][e] = everywhere;
            }
#pragma unroll
          for (int j = 0; j < kN; ++j)
#pragma unroll
            for (int e = 0; e < 2; ++e)
              if (channel >= 0 && first + 8 * j + e < a.pixels)
                static_cast<Half*>(a.y)[plane + first + 8 * j + e] = value(j, e, residual[j][e]);
        }
      }
  }

 private:
  __device__ __forceinline__ static int row_warp() { return threadIdx.x / 32 % kRowWarps; }
  __device__ __forceinline__ static int first_pixel() { return threadIdx.x / 32 / kRowWarps * 8 * kN; }

  // The number of row blocks is a constant, so that nothing branches between the products.
  template <bool kByPixel, int kRows, class Steps>
  __device__ __forceinline__ void add_rows(const unsigned char* weights, const unsigned char* inputs, Steps steps) {
    constexpr int kMost = kRows < kM ? kRows : kM;  // other instances are never reached
    steps([&](int fragments, int shift) {
      Matrices x[kN / 2], w[kMost];
#pragma unroll
      for (int j = 0; j < kN / 2; ++j) {
        const unsigned char* const at = inputs + inputs_[j] + shift;
        x[j] = kByPixel ? load_matrices(at) : load_transposed(at);
      }
#pragma unroll
      for (int i = 0; i < kMost; ++i) {
        const uint4 v = *reinterpret_cast<const uint4*>(weights + fragments + i * kRowWarps * kFragmentBytes);
        w[i] = Matrices{{v.x, v.y, v.z, v.w}};
      }
#pragma unroll
      for (int i = 0; i < kMost; ++i)
#pragma unroll
        for (int j = 0; j < kN; ++j)
          multiply_add(sums_[i][j], w[i], x[j / 2].part[j % 2 * 2], x[j / 2].part[j % 2 * 2 + 1]);
    });
  }

  int mine_;
  int inputs_[kN / 2];
  float sums_[kM][kN][4];
};

}  // namespace cuda
}  // namespace sanp
