// The contract of SanpChannelGate (docs/operators.md): attributes, inputs, and the one check of them for every runtime.
#pragma once

#include "contract/tensor_shape.h"

namespace sanp {

enum ChannelGateInput { kGateX, kGateW1, kGateB1, kGateW2, kGateB2, kGateBias, kGateMask, kGateInputs };
constexpr const char* kGateInputNames[kGateInputs] = {"x", "w1", "b1", "w2", "b2", "bias", "mask"};
// Behind the others, and a node may leave it out: it takes the place of the attribute. TensorRT nodes never have it.
constexpr const char* kGateThresholdName = "threshold";

enum ChannelGateOutput { kGateScale, kGateShift, kGateOutputs };

struct ChannelGateAttributes {
  float threshold;
  int64_t k;
};

// One node on tensors of these shapes.
struct ChannelGateProblem {
  int64_t batch, channels, height, width;
  int64_t hidden;  // 0: no hidden layer, w2 reads the means
  int64_t outputs;
  int64_t mask_step;  // from one sample to the next, 0 when one row serves all
  bool has_offset;    // bias has a second row, which is added where a gate is open
};

// What no shape can mend.
Error check(const ChannelGateAttributes& a) noexcept;

// The input that takes the place of the attribute 'threshold'.
Error check_threshold(const Shape<int64_t>& threshold) noexcept;

// Attributes that passed the check above, and the shape of every input. *problem is whole when there is no error.
Error check(const ChannelGateAttributes& a, const Shape<int64_t>* const (&in)[kGateInputs],
            ChannelGateProblem* problem) noexcept;

}  // namespace sanp
