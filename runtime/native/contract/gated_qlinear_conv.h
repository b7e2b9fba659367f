// The contract of SanpGatedQLinearConv (docs/operators.md): inputs, and the one check of them; attributes are those of
// SanpGatedConv.
#pragma once

#include "contract/gated_conv.h"

namespace sanp {

enum GatedQLinearConvInput {
  kQConvX,
  kQConvXScale,
  kQConvXZeroPoint,
  kQConvW,
  kQConvWScale,
  kQConvScale,
  kQConvShift,
  kQConvInActive,
  kQConvResidual,
  kQConvResidualScale,
  kQConvResidualZeroPoint,
  kQConvYScale,
  kQConvYZeroPoint,
  kQConvInputs
};
constexpr const char* kQConvInputNames[kQConvInputs] = {
    "x",        "x_scale",        "x_zero_point",        "w",       "w_scale",     "scale", "shift", "in_active",
    "residual", "residual_scale", "residual_zero_point", "y_scale", "y_zero_point"};

constexpr int64_t kMaxInt8Products = int64_t{1} << 16;  // of one sum: 65536 * 255 * 127 fits 32 bits

// Attributes that passed the check of SanpGatedConv, and the shape of every input. *problem is whole when there is no
// error.
Error check(const GatedConvAttributes& a, const Shape<int64_t>* const (&in)[kQConvInputs],
            GatedConvProblem* problem) noexcept;

// The step of a quantised tensor: one positive finite number. `name` is that of the input.
Error check_step(const char* name, float step) noexcept;

}  // namespace sanp
