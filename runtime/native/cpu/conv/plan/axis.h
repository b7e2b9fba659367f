// How one axis of a convolution splits into stride phases.
#pragma once

#include <stdint.h>

#include <vector>

#include "contract/conv_shape.h"

namespace sanp {

inline int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
inline int64_t floor_div(int64_t a, int64_t b) { return a >= 0 ? a / b : -ceil_div(-a, b); }

// One axis of the phase split: which phases the taps touch and which shifts they need.
struct Axis {
  int64_t stride, pad, dilation, kernel, size, out;

  int64_t offset(int64_t k) const { return k * dilation - pad; }
  int64_t shift(int64_t k) const { return floor_div(offset(k), stride); }
  int64_t phase(int64_t k) const { return offset(k) - shift(k) * stride; }
  int64_t first_shift() const { return shift(0); }
  int64_t length() const { return out + shift(kernel - 1) - shift(0); }

  // Of n elements that read first, first + stride, ...: those inside the input, [begin, end).
  void inside(int64_t first, int64_t n, int64_t* begin, int64_t* end) const {
    const int64_t low = ceil_div(-first, stride), high = floor_div(size - 1 - first, stride) + 1;
    *begin = low < 0 ? 0 : (low > n ? n : low);
    *end = high < *begin ? *begin : (high > n ? n : high);
  }

  std::vector<int64_t> phases() const {  // distinct, in order of first use
    std::vector<int64_t> list;
    for (int64_t k = 0; k < kernel; ++k)
      if (index_of(list, phase(k)) == static_cast<int64_t>(list.size())) list.push_back(phase(k));
    return list;
  }

  static int64_t index_of(const std::vector<int64_t>& list, int64_t value) {
    int64_t i = 0;
    while (i < static_cast<int64_t>(list.size()) && list[i] != value) ++i;
    return i;
  }
};

inline Axis y_axis(const ConvShape& s, int64_t out) {
  return {s.stride_y, s.pad_top, s.dilation_y, s.kernel_h, s.height, out};
}
inline Axis x_axis(const ConvShape& s, int64_t out) {
  return {s.stride_x, s.pad_left, s.dilation_x, s.kernel_w, s.width, out};
}

}  // namespace sanp
