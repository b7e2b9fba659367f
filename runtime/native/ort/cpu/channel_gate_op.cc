// Runs a channel gate on the CPU.
#include "ort/cpu/channel_gate_op.h"

#include "ort/cpu/gate_call.h"

namespace sanp {

ChannelGateKernel::ChannelGateKernel(const OrtApi* ort_api, const OrtKernelInfo* info, const CpuSettings& settings)
    : api(ort_api),
      attributes_(channel_gate_attributes(ort_api, info)),
      constants_(ort_api, info, ChannelGateOp::kInputs + ChannelGateOp::kOptionalInputs),
      isa_(settings.isa) {}

void ChannelGateKernel::compute(OrtKernelContext* context) const {
  const ChannelGateArguments a(api, context, attributes_, &constants_);
  GateCall call{};
  call.x = a.in.data(kGateX);
  const ChannelGateAttributes here = attributes_of_run(api, context, attributes_, ChannelGateOp::kInputs, &constants_);
  run_channel_gate(api, context, *isa_, here, a.problem, a.in, kGateW1, call);
}

}  // namespace sanp
