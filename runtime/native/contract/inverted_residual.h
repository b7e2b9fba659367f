// The contract of SanpInvertedResidual (docs/operators.md): attributes, inputs, and the one check of them.
#pragma once

#include "contract/conv_shape.h"
#include "contract/tensor_shape.h"

namespace sanp {

enum BlockInput {
  kBlockX,
  kBlockExpand,
  kBlockScale,
  kBlockShift,
  kBlockInActive,
  kBlockDepthwise,
  kBlockBias,
  kBlockProject,
  kBlockScaleProject,
  kBlockShiftProject,
  kBlockResidual,
  kBlockInputs
};
constexpr const char* kBlockInputNames[kBlockInputs] = {
    "x",    "w_expand",  "scale",         "shift",         "in_active", "w_depthwise",
    "bias", "w_project", "scale_project", "shift_project", "residual"};

struct ClampBounds {
  float low, high;
};

struct BlockAttributes {
  int64_t strides[2], pads[4], dilations[2], group;  // of the depthwise layer
  ClampBounds expand, depthwise, act;
};

// One node on tensors of these shapes.
struct BlockProblem {
  ConvShape depthwise;  // its channels are those between the layers
  int64_t channels_in, channels_out;
  int64_t batch, out_h, out_w;
  // From one sample to the next, 0 when one row serves all.
  int64_t scale_step, shift_step, in_active_step, scale_project_step, shift_project_step;
  bool residual_is_map;
};

// What no shape can mend.
Error check(const BlockAttributes& a) noexcept;

// Attributes that passed the check above, and the shape of every input. *problem is whole when there is no error.
Error check(const BlockAttributes& a, const Shape<int64_t>* const (&in)[kBlockInputs], BlockProblem* problem) noexcept;

}  // namespace sanp
