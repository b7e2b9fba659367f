// Runs a channel gate on byte inputs on the CPU.
#include "ort/cpu/qlinear_channel_gate_op.h"

#include "contract/gated_qlinear_conv.h"
#include "ort/cpu/gate_call.h"

namespace sanp {

QLinearChannelGateKernel::QLinearChannelGateKernel(const OrtApi* ort_api, const OrtKernelInfo* info,
                                                   const CpuSettings& settings)
    : api(ort_api),
      attributes_(channel_gate_attributes(ort_api, info)),
      constants_(ort_api, info, kQGateInputs + QLinearChannelGateOp::kOptionalInputs),
      isa_(settings.isa),
      bytes_(&int8_kernels_for(settings.isa->name)) {}

void QLinearChannelGateKernel::compute(OrtKernelContext* context) const {
  const InputTensors<kQGateInputs> in(api, context, kQGateInputNames, &constants_, QLinearChannelGateOp::kInputTypes);
  ChannelGateProblem p;
  check(sanp::check(attributes_, in.shapes, &p));
  check(check_step(kQGateInputNames[kQGateXScale], *in.data(kQGateXScale)));
  GateCall call{};
  call.bytes = in.as<uint8_t>(kQGateX);
  call.channel_sums = bytes_->channel_sums;
  call.x_scale = *in.data(kQGateXScale);
  call.x_zero = *in.as<uint8_t>(kQGateXZeroPoint);
  const ChannelGateAttributes here = attributes_of_run(api, context, attributes_, kQGateInputs, &constants_);
  run_channel_gate(api, context, *isa_, here, p, in, kQGateW1, call);
}

}  // namespace sanp
