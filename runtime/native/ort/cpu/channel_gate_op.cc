// Runs a channel gate on the CPU.
#include "ort/cpu/channel_gate_op.h"

namespace sanp {

ChannelGateKernel::ChannelGateKernel(const OrtApi* ort_api, const OrtKernelInfo* info, const CpuSettings& settings)
    : api(ort_api),
      attributes_(channel_gate_attributes(ort_api, info)),
      constants_(ort_api, info, ChannelGateOp::kInputs),
      isa_(settings.isa) {}

void ChannelGateKernel::compute(OrtKernelContext* context) const {
  const ChannelGateArguments a(api, context, attributes_, &constants_);
  const ChannelGateProblem& p = a.problem;
  GateCall call{};
  call.batch = p.batch;
  call.channels = p.channels;
  call.pixels = p.height * p.width;
  call.hidden = p.hidden;
  call.outputs = p.outputs;
  call.mask_step = p.mask_step;
  call.x = a.in.data(kGateX);
  call.w1 = a.in.data(kGateW1);
  call.b1 = a.in.data(kGateB1);
  call.w2 = a.in.data(kGateW2);
  call.b2 = a.in.data(kGateB2);
  call.bias = a.in.data(kGateBias);
  call.offset = p.has_offset ? call.bias + p.outputs : nullptr;
  call.mask = a.in.data(kGateMask);
  call.threshold = attributes_.threshold;
  call.k = attributes_.k;
  call.scale = channel_gate_output(api, context, kGateScale, p);
  call.shift = channel_gate_output(api, context, kGateShift, p);
  PoolContext pool;
  if (!run_gate(*isa_, call, session_pool(api, context, &pool)))
    fail("scratch memory for %lld channels could not be allocated", static_cast<long long>(p.channels));
}

}  // namespace sanp
