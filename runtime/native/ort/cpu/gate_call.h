// What both channel gates do once their inputs are checked.
#pragma once

#include "cpu/gate/gate.h"
#include "ort/common/channel_gate_args.h"

namespace sanp {

// Fills in what does not depend on the type of x, and runs. `call` says how x is read; `in` has the weights of
// SanpChannelGate from input `first` on. Throws OpError when memory is short.
template <class Inputs>
void run_channel_gate(const OrtApi* api, OrtKernelContext* context, const IsaKernels& isa,
                      const ChannelGateAttributes& attributes, const ChannelGateProblem& p, const Inputs& in,
                      size_t first, GateCall call) {
  const auto weights = [&](ChannelGateInput i) { return in.data(first + static_cast<size_t>(i - kGateW1)); };
  call.batch = p.batch;
  call.channels = p.channels;
  call.pixels = p.height * p.width;
  call.hidden = p.hidden;
  call.outputs = p.outputs;
  call.mask_step = p.mask_step;
  call.w1 = weights(kGateW1);
  call.b1 = weights(kGateB1);
  call.w2 = weights(kGateW2);
  call.b2 = weights(kGateB2);
  call.bias = weights(kGateBias);
  call.offset = p.has_offset ? call.bias + p.outputs : nullptr;
  call.mask = weights(kGateMask);
  call.threshold = attributes.threshold;
  call.k = attributes.k;
  call.scale = channel_gate_output(api, context, kGateScale, p);
  call.shift = channel_gate_output(api, context, kGateShift, p);
  PoolContext pool;
  if (!run_gate(isa, call, session_pool(api, context, &pool)))
    fail("scratch memory for %lld channels could not be allocated", static_cast<long long>(p.channels));
}

}  // namespace sanp
