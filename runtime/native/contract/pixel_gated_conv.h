// The contract of SanpPixelGatedConv (docs/operators.md): attributes, inputs, and the one check of them.
#pragma once

#include "contract/conv_shape.h"
#include "contract/tensor_shape.h"

namespace sanp {

enum PixelGatedConvInput { kPixelX, kPixelW, kPixelBase, kPixelBound, kPixelScale, kPixelShift, kPixelInputs };
constexpr const char* kPixelInputNames[kPixelInputs] = {"x", "w", "w_base", "bound", "scale", "shift"};

struct PixelGatedConvAttributes {
  int64_t strides[2], pads[4], dilations[2], parts;
};

// One node on tensors of these shapes.
struct PixelGatedConvProblem {
  ConvShape whole, base;  // the convolution, and its short path in groups
  int64_t batch, out_h, out_w;
};

// What no shape can mend.
Error check(const PixelGatedConvAttributes& a) noexcept;

// Attributes that passed the check above, and the shape of every input. *problem is whole when there is no error.
Error check(const PixelGatedConvAttributes& a, const Shape<int64_t>* const (&in)[kPixelInputs],
            PixelGatedConvProblem* problem) noexcept;

}  // namespace sanp
