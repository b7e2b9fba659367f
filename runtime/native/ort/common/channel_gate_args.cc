// Reads the attributes of SanpChannelGate and takes its outputs.
#include "ort/common/channel_gate_args.h"

#include "ort/common/attributes.h"

namespace sanp {

ChannelGateAttributes channel_gate_attributes(const OrtApi* api, const OrtKernelInfo* info) {
  ChannelGateAttributes a{};
  a.threshold = read_float(api, info, "threshold");
  if (!read_optional_int(api, info, "k", &a.k)) a.k = 0;
  check(check(a));
  return a;
}

float* channel_gate_output(const OrtApi* api, OrtKernelContext* context, ChannelGateOutput output,
                           const ChannelGateProblem& p) {
  const int64_t dims[2] = {p.batch, p.outputs};
  return output_tensor(api, context, output, dims, 2);
}

}  // namespace sanp
