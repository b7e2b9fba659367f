// The numbers that define one convolution, and the limits of all kernels.
#pragma once

#include <stdint.h>

namespace sanp {

constexpr int64_t kMaxExtent = int64_t{1} << 30;           // one dimension after padding
constexpr int64_t kMaxOffset = (int64_t{1} << 31) - 4096;  // floats one 32-bit offset can span

struct ConvShape {
  int64_t channels_in, height, width;
  int64_t channels_out, kernel_h, kernel_w;
  int64_t stride_y, stride_x;
  int64_t pad_top, pad_left, pad_bottom, pad_right;
  int64_t dilation_y, dilation_x;
  int64_t group;

  bool operator==(const ConvShape& o) const;
  // False when a dimension is not positive after padding or a size leaves the range of the kernels.
  bool output_size(int64_t* out_h, int64_t* out_w) const;
};

}  // namespace sanp
