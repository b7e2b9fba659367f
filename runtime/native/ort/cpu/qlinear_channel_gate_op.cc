// Runs a channel gate on byte inputs on the CPU.
#include "ort/cpu/qlinear_channel_gate_op.h"

#include "contract/gated_qlinear_conv.h"
#include "cpu/gate/gate.h"
#include "ort/common/channel_gate_args.h"

namespace sanp {

QLinearChannelGateKernel::QLinearChannelGateKernel(const OrtApi* ort_api, const OrtKernelInfo* info,
                                                   const CpuSettings& settings)
    : api(ort_api),
      attributes_(channel_gate_attributes(ort_api, info)),
      constants_(ort_api, info, kQGateInputs),
      isa_(settings.isa),
      bytes_(&int8_kernels_for(settings.isa->name)) {}

void QLinearChannelGateKernel::compute(OrtKernelContext* context) const {
  const InputTensors<kQGateInputs> in(api, context, kQGateInputNames, &constants_, QLinearChannelGateOp::kInputTypes);
  ChannelGateProblem p;
  check(sanp::check(attributes_, in.shapes, &p));
  check(check_step(kQGateInputNames[kQGateXScale], *in.data(kQGateXScale)));
  GateCall call{};
  call.batch = p.batch;
  call.channels = p.channels;
  call.pixels = p.height * p.width;
  call.hidden = p.hidden;
  call.outputs = p.outputs;
  call.mask_step = p.mask_step;
  call.bytes = in.as<uint8_t>(kQGateX);
  call.channel_sums = bytes_->channel_sums;
  call.x_scale = *in.data(kQGateXScale);
  call.x_zero = *in.as<uint8_t>(kQGateXZeroPoint);
  call.w1 = in.data(kQGateW1);
  call.b1 = in.data(kQGateB1);
  call.w2 = in.data(kQGateW2);
  call.b2 = in.data(kQGateB2);
  call.bias = in.data(kQGateBias);
  call.offset = p.has_offset ? call.bias + p.outputs : nullptr;
  call.mask = in.data(kQGateMask);
  call.threshold = attributes_.threshold;
  call.k = attributes_.k;
  call.scale = channel_gate_output(api, context, kGateScale, p);
  call.shift = channel_gate_output(api, context, kGateShift, p);
  PoolContext pool;
  if (!run_gate(*isa_, call, session_pool(api, context, &pool)))
    fail("scratch memory for %lld channels could not be allocated", static_cast<long long>(p.channels));
}

}  // namespace sanp
