// Reads the attributes of SanpGatedConv and takes its output.
#include "ort/common/gated_conv_args.h"

#include "ort/common/attributes.h"

namespace sanp {

GatedConvAttributes gated_conv_attributes(const OrtApi* api, const OrtKernelInfo* info) {
  GatedConvAttributes a{};
  read_window(api, info, &a);
  a.group = read_int(api, info, "group");
  a.act_min = read_float(api, info, "act_min");
  a.act_max = read_float(api, info, "act_max");
  check(check(a));
  return a;
}

float* gated_conv_output(const OrtApi* api, OrtKernelContext* context, const GatedConvProblem& p) {
  const int64_t dims[4] = {p.batch, p.shape.channels_out, p.out_h, p.out_w};
  return output_tensor(api, context, 0, dims, 4);
}

}  // namespace sanp
