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

ChannelGateAttributes attributes_of_run(const OrtApi* api, const OrtKernelContext* context,
                                        const ChannelGateAttributes& of_node, size_t index,
                                        const ConstantInputs* constants) {
  TensorView threshold;
  if (!optional_input(api, context, index, kGateThresholdName, constants, &threshold)) return of_node;
  check(check_threshold(threshold.shape));
  ChannelGateAttributes a = of_node;
  a.threshold = *threshold.data();
  if (a.threshold != a.threshold) fail("input '%s' is NaN; expected a number, pass one", kGateThresholdName);
  return a;
}

float* channel_gate_output(const OrtApi* api, OrtKernelContext* context, ChannelGateOutput output,
                           const ChannelGateProblem& p) {
  const int64_t dims[2] = {p.batch, p.outputs};
  return output_tensor(api, context, output, dims, 2);
}

}  // namespace sanp
