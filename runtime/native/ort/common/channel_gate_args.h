// The arguments of SanpChannelGate, read and checked once for every library that runs it.
#pragma once

#include "ort/common/op_base.h"

namespace sanp {

struct ChannelGateAttributes {
  float threshold;
  int64_t k;
};

// What one run is given. Data pointers are the provider's: host memory on a CPU, device memory on a GPU.
struct ChannelGateArguments {
  TensorView x, w1, b1, w2, b2, bias, mask;
  int64_t batch, channels, hidden, outputs;
  int64_t mask_step;  // from one sample to the next, 0 when broadcast
};

ChannelGateAttributes channel_gate_attributes(const OrtApi* api, const OrtKernelInfo* info);
ChannelGateArguments channel_gate_arguments(const OrtApi* api, const OrtKernelContext* context,
                                            const ChannelGateAttributes& attributes,
                                            const ConstantInputs* constants = nullptr);

}  // namespace sanp
