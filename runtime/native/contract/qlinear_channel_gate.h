// The contract of SanpQLinearChannelGate (docs/operators.md): inputs, and the one check of them; attributes are those
// of SanpChannelGate.
#pragma once

#include "contract/channel_gate.h"

namespace sanp {

enum QLinearChannelGateInput {
  kQGateX,
  kQGateXScale,
  kQGateXZeroPoint,
  kQGateW1,
  kQGateB1,
  kQGateW2,
  kQGateB2,
  kQGateBias,
  kQGateMask,
  kQGateInputs
};
constexpr const char* kQGateInputNames[kQGateInputs] = {"x",  "x_scale", "x_zero_point", "w1",  "b1",
                                                        "w2", "b2",      "bias",         "mask"};

constexpr int64_t kMaxPooledBytes = int64_t{1} << 23;  // of one channel: their sum fits 32 bits

// Attributes that passed the check of SanpChannelGate, and the shape of every input. *problem is whole when there is no
// error.
Error check(const ChannelGateAttributes& a, const Shape<int64_t>* const (&in)[kQGateInputs],
            ChannelGateProblem* problem) noexcept;

}  // namespace sanp
