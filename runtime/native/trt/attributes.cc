// Tables and limits of the attributes; what only a shape can contradict is checked with the shape.
#include "trt/attributes.h"

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

Error check_attributes(const ConvAttributes& a) noexcept {
  for (int i = 0; i < 2; ++i)
    if (a.strides[i] < 1 || a.dilations[i] < 1)
      return Error::format("strides are [%d, %d], dilations [%d, %d]; each must be at least 1, re-export the model",
                           a.strides[0], a.strides[1], a.dilations[0], a.dilations[1]);
  for (int32_t pad : a.pads)
    if (pad < 0) return Error::format("attribute 'pads' has the value %d; crop with Slice instead", pad);
  if (a.group < 1) return Error::format("attribute 'group' is %d; it must be at least 1, re-export the model", a.group);
  if (a.weight_order != 0 && a.weight_order != 1)
    return Error::format("attribute 'weight_order' is %d; expected 0 (OIHW) or 1 (HWIO), re-export the model",
                         a.weight_order);
  // Also false for NaN.
  if (!(a.act_min <= a.act_max))
    return Error::format("the activation clamps to [%g, %g]; expected act_min <= act_max, re-export the model",
                         static_cast<double>(a.act_min), static_cast<double>(a.act_max));
  return {};
}

Error check_attributes(const GateAttributes& a) noexcept {
  if (a.threshold != a.threshold) return Error::format("attribute 'threshold' is NaN; re-export the model");
  if (a.k < 0)
    return Error::format("attribute 'k' is %d; expected 0 (off) or the number of channels to keep, re-export the model",
                         a.k);
  return {};
}

}  // namespace trt
}  // namespace sanp
