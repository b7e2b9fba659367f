// Tables and limits of the attributes; what only a shape can contradict is checked with the shape.
#include "trt/attributes.h"

#include "cuda/sanp_cuda.h"

namespace sanp {
namespace trt {
namespace {

constexpr Attribute kConvRows[] = {
    {"strides", false, true, 2, offsetof(ConvAttributes, strides)},
    {"pads", false, true, 4, offsetof(ConvAttributes, pads)},
    {"dilations", false, true, 2, offsetof(ConvAttributes, dilations)},
    {"group", false, true, 1, offsetof(ConvAttributes, group)},
    {"weight_order", false, false, 1, offsetof(ConvAttributes, weight_order)},
    {"act_min", true, true, 1, offsetof(ConvAttributes, act_min)},
    {"act_max", true, true, 1, offsetof(ConvAttributes, act_max)},
};
constexpr Attribute kGateRows[] = {
    {"threshold", true, true, 1, offsetof(GateAttributes, threshold)},
    {"k", false, false, 1, offsetof(GateAttributes, k)},
};

}  // namespace

const AttributeTable kConvTable{kConvRows, sizeof kConvRows / sizeof kConvRows[0]};
const AttributeTable kGateTable{kGateRows, sizeof kGateRows / sizeof kGateRows[0]};

GatedConvAttributes contract_of(const ConvAttributes& a) noexcept {
  return {{a.strides[0], a.strides[1]},
          {a.pads[0], a.pads[1], a.pads[2], a.pads[3]},
          {a.dilations[0], a.dilations[1]},
          a.group,
          a.weight_order == SANP_CUDA_HWIO,
          a.act_min,
          a.act_max};
}

ChannelGateAttributes contract_of(const GateAttributes& a) noexcept { return {a.threshold, a.k}; }

Error check_attributes(const ConvAttributes& a) noexcept {
  if (a.weight_order != SANP_CUDA_OIHW && a.weight_order != SANP_CUDA_HWIO)
    return Error::format("attribute 'weight_order' is %d; expected 0 (OIHW) or 1 (HWIO), re-export the model",
                         a.weight_order);
  return check(contract_of(a));
}

Error check_attributes(const GateAttributes& a) noexcept { return check(contract_of(a)); }

}  // namespace trt
}  // namespace sanp
