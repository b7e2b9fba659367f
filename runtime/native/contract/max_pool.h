// The contract of SanpMaxPool (docs/operators.md): attributes, inputs, and the one check of them.
#pragma once

#include "contract/tensor_shape.h"

namespace sanp {

enum MaxPoolInput { kPoolX, kPoolInputs };
constexpr const char* kPoolInputNames[kPoolInputs] = {"x"};

struct MaxPoolAttributes {
  int64_t kernel[2], strides[2], pads[4];
};

// One plane: the largest of kernel_h * kernel_w pixels for every output. Pads are less than the kernel, so that every
// output has a pixel.
struct PoolShape {
  int64_t height, width, kernel_h, kernel_w, stride_y, stride_x, pad_top, pad_left, out_h, out_w;

  // Columns under all windows of a row, those outside the plane included.
  int64_t reach() const { return (out_w - 1) * stride_x + kernel_w; }
};

struct MaxPoolProblem {
  int64_t batch, channels;
  PoolShape shape;
};

// What no shape can mend.
Error check(const MaxPoolAttributes& a) noexcept;

// Attributes that passed the check above, and the shape of x. *problem is whole when there is no error.
Error check(const MaxPoolAttributes& a, const Shape<int64_t>* const (&in)[kPoolInputs],
            MaxPoolProblem* problem) noexcept;

}  // namespace sanp
