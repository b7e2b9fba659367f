// Checks the arguments of SanpChannelGate.
#include "ort/common/channel_gate_args.h"

#include "ort/common/attributes.h"

namespace sanp {
namespace {

long long ll(int64_t v) { return static_cast<long long>(v); }

void require_shape(const TensorView& t, std::initializer_list<int64_t> dims, const char* what) {
  bool same = t.rank == dims.size();
  for (size_t i = 0; same && i < t.rank; ++i) same = t.dims[i] == dims.begin()[i];
  if (!same)
    fail("input '%s' has shape %s; expected %s (%s), pass the tensors of one gate", t.name, t.shape().c_str(),
         shape_text(dims.begin(), dims.size()).c_str(), what);
}

}  // namespace

ChannelGateAttributes channel_gate_attributes(const OrtApi* api, const OrtKernelInfo* info) {
  ChannelGateAttributes a{};
  a.threshold = read_float(api, info, "threshold");
  if (!read_optional_int(api, info, "k", &a.k)) a.k = 0;
  if (a.k < 0)
    fail("attribute 'k' is %lld; expected 0 (off) or the number of channels to keep, re-export the model", ll(a.k));
  return a;
}

ChannelGateArguments channel_gate_arguments(const OrtApi* api, const OrtKernelContext* context,
                                            const ChannelGateAttributes& attributes, const ConstantInputs* constants) {
  ChannelGateArguments a{};
  a.x = input_tensor(api, context, 0, "x", constants);
  a.w1 = input_tensor(api, context, 1, "w1", constants);
  a.b1 = input_tensor(api, context, 2, "b1", constants);
  a.w2 = input_tensor(api, context, 3, "w2", constants);
  a.b2 = input_tensor(api, context, 4, "b2", constants);
  a.bias = input_tensor(api, context, 5, "bias", constants);
  a.mask = input_tensor(api, context, 6, "mask", constants);
  require_rank(a.x, 4, 0);
  require_rank(a.w1, 2, -1);
  require_rank(a.w2, 2, -1);
  a.batch = a.x.dims[0];
  a.channels = a.x.dims[1];
  a.hidden = a.w1.dims[0];
  a.outputs = a.w2.dims[0];
  require_shape(a.w1, {a.hidden, a.channels}, "hidden units, channels of x");
  require_shape(a.b1, {a.hidden}, "hidden units of w1");
  require_shape(a.w2, {a.outputs, a.hidden}, "gates, hidden units of w1");
  require_shape(a.b2, {a.outputs}, "gates of w2");
  require_shape(a.bias, {a.outputs}, "gates of w2");
  if (attributes.k >= a.outputs)
    fail("attribute 'k' is %lld but there are %lld gates; expected 0 <= k < %lld, re-export with k = 0 to keep all",
         ll(attributes.k), ll(a.outputs), ll(a.outputs));
  a.mask_step = require_rows(a.mask, a.batch, a.outputs, "gate");
  return a;
}

}  // namespace sanp
