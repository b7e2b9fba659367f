// The input window of an output pixel: where it begins in the planes of its sample, and which taps lie inside the map.
#pragma once

#include "cuda/base/load.h"
#include "cuda/conv/args.h"

namespace sanp {
namespace cuda {

__device__ __forceinline__ bool is_inside(const ConvArgs& a, int y, int x) {
  return static_cast<unsigned>(y) < static_cast<unsigned>(a.height) &&
         static_cast<unsigned>(x) < static_cast<unsigned>(a.width);
}

// The plane of the first input channel of the block's group.
template <class T>
__device__ __forceinline__ const T* first_plane(const ConvArgs& a, const BlockTile& b) {
  const int64_t plane = static_cast<int64_t>(a.height) * a.width;
  return static_cast<const T*>(a.x) + (static_cast<int64_t>(b.sample) * a.c_in + b.first_in) * plane;
}

// Inputs of one output pixel by k = (rank of the open input channel, tap). With kOneTap k is the rank.
template <class T, bool kOneTap = false>
class InputWindow {
 public:
  // inputs: the open input channels of the group.
  __device__ __forceinline__ InputWindow(const ConvArgs& a, const BlockTile& b, const uint16_t* inputs,
                                         const Pixel& pixel)
      : a_(a), inputs_(inputs), x_(first_plane<T>(a, b)), plane_(a.height * a.width) {
    // A pixel outside the map lies so far away that no tap reaches the input.
    y0_ = pixel.valid ? pixel.y * a.stride_h - a.pad_top : -(1 << 30);
    x0_ = pixel.x * a.stride_w - a.pad_left;
  }

  // The element of k; zero at and past `end` (at least 1), and where the tap hangs over the edge.
  __device__ __forceinline__ T read(int k, int end) const {
    const int known = min_of(k, end - 1);
    if (kOneTap) return load(k < end, inputs_[known], y0_, x0_);
    const int rank = a_.by_taps.quotient(known), tap = a_.by_taps.remainder(known, rank);
    const int tap_y = a_.by_kernel_w.quotient(tap), tap_x = a_.by_kernel_w.remainder(tap, tap_y);
    return load(k < end, inputs_[rank], y0_ + tap_y * a_.dilation_h, x0_ + tap_x * a_.dilation_w);
  }

 private:
  __device__ __forceinline__ T load(bool wanted, int channel, int y, int x) const {
    const bool inside = wanted && is_inside(a_, y, x);
    const int at = inside ? y * a_.width + x : 0;
    return load_if(inside, x_ + (static_cast<int64_t>(channel) * plane_ + at));
  }

  const ConvArgs& a_;
  const uint16_t* inputs_;
  const T* x_;
  int plane_;  // below 2^30
  int y0_, x0_;
};

}  // namespace cuda
}  // namespace sanp
