// Checks the inputs of SanpQLinearChannelGate.
#include "contract/qlinear_channel_gate.h"

namespace sanp {

Error check(const ChannelGateAttributes& a, const Shape<int64_t>* const (&in)[kQGateInputs],
            ChannelGateProblem* p) noexcept {
  const Shape<int64_t>* const shared[kGateInputs] = {in[kQGateX],  in[kQGateW1],   in[kQGateB1],  in[kQGateW2],
                                                     in[kQGateB2], in[kQGateBias], in[kQGateMask]};
  if (Error e = check(a, shared, p)) return e;
  for (QLinearChannelGateInput i : {kQGateXScale, kQGateXZeroPoint})
    if (!is_one_element(*in[i]))
      return Error::format("input '%s' has shape %s; expected one element, quantise activations per tensor",
                           kQGateInputNames[i], ShapeText(*in[i]).text);
  if (p->height * p->width <= kMaxPooledBytes) return {};
  return Error::format("the sum of %lld bytes may leave 32 bits; expected at most %lld, keep this gate in float32",
                       static_cast<long long>(p->height * p->width), static_cast<long long>(kMaxPooledBytes));
}

}  // namespace sanp
