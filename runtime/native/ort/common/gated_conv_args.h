// The arguments of SanpGatedConv, read and checked once for every library that runs it.
#pragma once

#include "cpu/conv/plan/shape.h"
#include "ort/common/op_base.h"

namespace sanp {

struct GatedConvAttributes {
  int64_t strides[2], pads[4], dilations[2], group;
  float act_min, act_max;
};

// What one run is given. Data pointers are the provider's: host memory on a CPU, device memory on a GPU.
struct GatedConvArguments {
  TensorView x, w, scale, shift, in_active, residual;
  ConvShape shape;
  int64_t out[4];                                  // of y
  int64_t scale_step, shift_step, in_active_step;  // from one sample to the next, 0 when broadcast
  bool residual_is_map;

  int64_t batch() const { return out[0]; }
};

GatedConvAttributes gated_conv_attributes(const OrtApi* api, const OrtKernelInfo* info);
GatedConvArguments gated_conv_arguments(const OrtApi* api, const OrtKernelContext* context,
                                        const GatedConvAttributes& attributes,
                                        const ConstantInputs* constants = nullptr);

}  // namespace sanp
