// The input window of a tile for packed weights: pixel by pixel, 16 open channels of a pixel together.
//
// A thread loads kVector neighbouring pixels of 8 channels and turns them in registers. Pixels lie row by row as in the
// map with a gap of zeros between rows, so that a tap is a constant shift of every address.
#pragma once

#include "cuda/conv/packed/tile.h"
#include "cuda/conv/window.h"

namespace sanp {
namespace cuda {

template <int kVector>
struct WindowLoad;
template <>
struct WindowLoad<4> {
  using Type = uint2;
  static constexpr int kItems = kWindowItems4;
};
template <>
struct WindowLoad<1> {
  using Type = Half;
  static constexpr int kItems = kWindowItems1;
};

__device__ __forceinline__ void store_turned(const uint2 (&v)[8], unsigned char* window, const int (&places)[4]) {
#pragma unroll
  for (int pixel = 0; pixel < 4; ++pixel) {
    if (places[pixel] < 0) continue;
    unsigned words[4];
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const unsigned a = pixel < 2 ? v[2 * i].x : v[2 * i].y, b = pixel < 2 ? v[2 * i + 1].x : v[2 * i + 1].y;
      words[i] = pixel % 2 == 0 ? low_halves(a, b) : high_halves(a, b);
    }
    *reinterpret_cast<uint4*>(window + places[pixel]) = uint4{words[0], words[1], words[2], words[3]};
  }
}

__device__ __forceinline__ void store_turned(const Half (&v)[8], unsigned char* window, const int (&places)[1]) {
  if (places[0] >= 0) store_octet(window + places[0], v);
}

template <int kVector, int kThreads>
class PackedWindowInputs {
 public:
  __device__ __forceinline__ PackedWindowInputs(const PackedConvArgs& a, const PackedTile& t) : t_(t) {
    const int row = a.width + a.packed.gap;
    first_y_ = a.by_strip_w.quotient(t.place.first_pixel);
    first_x_ = a.by_strip_w.remainder(t.place.first_pixel, first_y_);
    const int y = first_y_ * a.stride_h - a.pad_top, x = first_x_ * a.stride_w - a.pad_left;
    const int first_place = y * row + x;  // of the first tap, counted with gaps
    const int at = y * a.width + (x < 0 ? 0 : x < a.width ? x : a.width);
    const int begin = at < 0 ? 0 : at / kVector * kVector;
    const Half* const from = first_plane<Half>(a, t.place) + begin;
    items_ = 2 * (a.packed.window / kVector + 2);
#pragma unroll
    for (int j = 0; j < kItems; ++j) {
      const int item = threadIdx.x + j * kThreads, offset = item / 2 * kVector;
      const bool inside = begin + offset < a.height * a.width;
      any_[j] = false;
      from_[j] = from + (inside ? offset : 0);
#pragma unroll
      for (int i = 0; i < kVector; ++i) {
        const int pixel = inside ? begin + offset + i : 0;
        const int place = pixel + a.packed.by_width.quotient(pixel) * a.packed.gap - first_place;
        const bool kept = inside && place >= 0 && place < a.packed.window;
        places_[j][i] = kept ? place * kWindowPitch + item % 2 * 16 : -1;
        any_[j] = any_[j] || kept;
      }
    }
  }

  // Byte offset of an output pixel's first tap. A pixel behind the map reads any window; its sums are dropped.
  __device__ __forceinline__ int place(const PackedConvArgs& a, int q) const {
    const Pixel pixel = tile_pixel(a, t_.place, q);
    if (!pixel.valid) return 0;
    const int row = a.width + a.packed.gap;
    return ((pixel.y - first_y_) * a.stride_h * row + (pixel.x - first_x_) * a.stride_w) * kWindowPitch;
  }

  // Starts loading 16 channels; those past the open ones are zero.
  __device__ __forceinline__ void fetch(int k_block) {
    const int rank = 16 * k_block + threadIdx.x % 2 * 8;
    const int4 low = *reinterpret_cast<const int4*>(t_.inputs + rank);
    const int4 high = *reinterpret_cast<const int4*>(t_.inputs + rank + 4);
    const int planes[8] = {low.x, low.y, low.z, low.w, high.x, high.y, high.z, high.w};
#pragma unroll
    for (int j = 0; j < kItems; ++j) {
      if (j * kThreads >= items_) break;
      // What stands past the last open channel of the list is read and not used.
#pragma unroll
      for (int i = 0; i < 8; ++i)
        loaded_[j][i] = load_if(any_[j] && rank + i < t_.n_inputs, reinterpret_cast<const Load*>(from_[j] + planes[i]));
    }
  }

  __device__ __forceinline__ void put(unsigned char* window) const {
#pragma unroll
    for (int j = 0; j < kItems; ++j) {
      if (j * kThreads >= items_) break;
      store_turned(loaded_[j], window, places_[j]);
    }
  }

 private:
  using Load = typename WindowLoad<kVector>::Type;
  static constexpr int kItems = WindowLoad<kVector>::kItems;

  const PackedTile& t_;
  int items_;  // of all threads
  int first_y_, first_x_;
  const Half* from_[kItems];
  int places_[kItems][kVector];  // place: bytes, or -1 for nothing
  bool any_[kItems];
  Load loaded_[kItems][8];
};

}  // namespace cuda
}  // namespace sanp
