// The contract of SanpGatedConv (docs/operators.md): attributes, inputs, and the one check of them for every runtime.
#pragma once

#include "contract/conv_shape.h"
#include "contract/tensor_shape.h"

namespace sanp {

enum GatedConvInput { kConvX, kConvW, kConvScale, kConvShift, kConvInActive, kConvResidual, kConvInputs };
constexpr const char* kConvInputNames[kConvInputs] = {"x", "w", "scale", "shift", "in_active", "residual"};

struct GatedConvAttributes {
  int64_t strides[2], pads[4], dilations[2], group;
  bool hwio;  // the order of w: [kh, kw, channels per group, channels out] instead of ONNX's
  float act_min, act_max;
};

// One node on tensors of these shapes.
struct GatedConvProblem {
  ConvShape shape;
  int64_t batch, out_h, out_w;
  int64_t scale_step, shift_step, in_active_step;  // from one sample to the next, 0 when one row serves all
  bool residual_is_map;
};

// What no shape can mend.
Error check(const GatedConvAttributes& a) noexcept;

// Attributes that passed the check above, and the shape of every input. *problem is whole when there is no error.
Error check(const GatedConvAttributes& a, const Shape<int64_t>* const (&in)[kConvInputs],
            GatedConvProblem* problem) noexcept;

}  // namespace sanp
