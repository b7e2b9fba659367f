// Runs a channel gate on the CPU.
#include "ort/cpu/channel_gate_op.h"

namespace sanp {

ChannelGateKernel::ChannelGateKernel(const OrtApi* ort_api, const OrtKernelInfo* info, const CpuSettings& settings)
    : api(ort_api),
      attributes_(channel_gate_attributes(ort_api, info)),
      constants_(ort_api, info, ChannelGateOp::kInputs),
      isa_(settings.isa) {}

void ChannelGateKernel::compute(OrtKernelContext* context) const {
  const ChannelGateArguments a = channel_gate_arguments(api, context, attributes_, &constants_);
  GateCall call{};
  call.batch = a.batch;
  call.channels = a.channels;
  call.pixels = a.x.dims[2] * a.x.dims[3];
  call.hidden = a.hidden;
  call.outputs = a.outputs;
  call.mask_step = a.mask_step;
  call.x = a.x.data;
  call.w1 = a.w1.data;
  call.b1 = a.b1.data;
  call.w2 = a.w2.data;
  call.b2 = a.b2.data;
  call.bias = a.bias.data;
  call.mask = a.mask.data;
  call.threshold = attributes_.threshold;
  call.k = attributes_.k;
  const int64_t dims[2] = {a.batch, a.outputs};
  call.scale = output_tensor(api, context, 0, dims, 2);
  call.shift = output_tensor(api, context, 1, dims, 2);
  PoolContext pool;
  if (!run_gate(*isa_, call, session_pool(api, context, &pool)))
    fail("scratch memory for %lld channels could not be allocated", static_cast<long long>(a.channels));
}

}  // namespace sanp
