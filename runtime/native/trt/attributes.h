// The attributes of both operators as engines store them: their structs, tables and limits. No TensorRT in here.
#pragma once

#include "contract/channel_gate.h"
#include "contract/gated_conv.h"
#include "trt/fields.h"

namespace sanp {
namespace trt {

struct ConvAttributes {
  int32_t strides[2] = {1, 1}, pads[4] = {0, 0, 0, 0}, dilations[2] = {1, 1}, group = 1;
  int32_t weight_order = 0;  // SanpCudaWeightOrder; a model for TensorRT carries its weights in HWIO and says 1
  float act_min = 0, act_max = 0;
};

struct GateAttributes {
  float threshold = 0;
  int32_t k = 0;
};

extern const AttributeTable kConvTable, kGateTable;

// As the contract has them.
GatedConvAttributes contract_of(const ConvAttributes& a) noexcept;
ChannelGateAttributes contract_of(const GateAttributes& a) noexcept;

Error check_attributes(const ConvAttributes& a) noexcept;
Error check_attributes(const GateAttributes& a) noexcept;

}  // namespace trt
}  // namespace sanp
