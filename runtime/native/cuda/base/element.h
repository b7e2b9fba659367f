// The two element types of tensors in memory. Arithmetic is float32 for both.
#pragma once

#include "cuda/base/platform.h"

namespace sanp {
namespace cuda {

struct Half {
  unsigned short bits;
};

__device__ __forceinline__ float to_float(float value) { return value; }
__device__ __forceinline__ float to_float(Half value) { return half_to_float(value.bits); }

template <class T>
__device__ __forceinline__ T from_float(float value);

template <>
__device__ __forceinline__ float from_float<float>(float value) {
  return value;
}

// Saturates: a large activation becomes the largest half, not infinity. NaN fails both comparisons and stays NaN.
template <>
__device__ __forceinline__ Half from_float<Half>(float value) {
  constexpr float kLargest = 65504.0f;
  const float limited = value > kLargest ? kLargest : value < -kLargest ? -kLargest : value;
  return Half{float_to_half(limited)};
}

// fminf and fmaxf would turn NaN into a bound; a broken gate must show.
__device__ __forceinline__ float clamp(float value, float low, float high) {
  return value < low ? low : value > high ? high : value;
}

}  // namespace cuda
}  // namespace sanp
