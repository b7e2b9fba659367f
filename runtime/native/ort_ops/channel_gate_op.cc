// Checks the arguments of SanpChannelGate and calls the kernel.
#include "channel_gate_op.h"

#include "../kernels/isa.h"
#include "attributes.h"

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

ChannelGateKernel::ChannelGateKernel(const OrtApi* ort_api, const OrtKernelInfo* info)
    : api(ort_api), isa_(&current_isa()) {
  threshold_ = read_float(api, info, "threshold");
  if (!read_optional_int(api, info, "k", &k_)) k_ = 0;
  if (k_ < 0)
    fail("attribute 'k' is %lld; expected 0 (off) or the number of channels to keep, re-export the model", ll(k_));
}

void ChannelGateKernel::compute(OrtKernelContext* context) const {
  const TensorView x = input_tensor(api, context, 0, "x");
  const TensorView w1 = input_tensor(api, context, 1, "w1");
  const TensorView b1 = input_tensor(api, context, 2, "b1");
  const TensorView w2 = input_tensor(api, context, 3, "w2");
  const TensorView b2 = input_tensor(api, context, 4, "b2");
  const TensorView bias = input_tensor(api, context, 5, "bias");
  const TensorView mask = input_tensor(api, context, 6, "mask");
  require_rank(x, 4, 0);
  require_rank(w1, 2, -1);
  require_rank(w2, 2, -1);
  const int64_t n = x.dims[0], channels = x.dims[1], hidden = w1.dims[0], outputs = w2.dims[0];
  require_shape(w1, {hidden, channels}, "hidden units, channels of x");
  require_shape(b1, {hidden}, "hidden units of w1");
  require_shape(w2, {outputs, hidden}, "gates, hidden units of w1");
  require_shape(b2, {outputs}, "gates of w2");
  require_shape(bias, {outputs}, "gates of w2");
  if (k_ >= outputs)
    fail("attribute 'k' is %lld but there are %lld gates; expected 0 <= k < %lld, re-export with k = 0 to keep all",
         ll(k_), ll(outputs), ll(outputs));

  GateCall call{};
  call.batch = n;
  call.channels = channels;
  call.pixels = x.dims[2] * x.dims[3];
  call.hidden = hidden;
  call.outputs = outputs;
  call.mask_step = require_rows(mask, n, outputs, "gate");
  call.x = x.data;
  call.w1 = w1.data;
  call.b1 = b1.data;
  call.w2 = w2.data;
  call.b2 = b2.data;
  call.bias = bias.data;
  call.mask = mask.data;
  call.threshold = threshold_;
  call.k = k_;
  const int64_t dims[2] = {n, outputs};
  call.scale = output_tensor(api, context, 0, dims, 2);
  call.shift = output_tensor(api, context, 1, dims, 2);
  PoolContext pool;
  if (!run_gate(*isa_, call, session_pool(api, context, &pool)))
    fail("scratch memory for %lld channels could not be allocated", ll(channels));
}

}  // namespace sanp
