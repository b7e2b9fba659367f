// Checks one channel gate and describes it to the kernels.
#include "trt/channel_gate.h"

#include <string.h>

namespace sanp {
namespace trt {
namespace {

enum Input { kX, kW1, kB1, kW2, kB2, kBias, kMask };

Error require(const Tensor& t, const char* name, std::initializer_list<int64_t> dims) {
  if (t.has(dims)) return {};
  Shape<int64_t> expected;
  for (int64_t d : dims) expected.dims[expected.rank++] = d;
  return Error::format("'%s' has shape %s; expected %s, pass the tensors of one gate", name, ShapeText(t.shape).text,
                       ShapeText(expected).text);
}

}  // namespace

bool ChannelGate::accepts(int32_t position, const Tensor* tensors) noexcept {
  const Tensor& t = tensors[position];
  return t.linear && (t.type == Type::kFloat || (position == kX && t.type == Type::kHalf));
}

Error ChannelGate::describe(const GateAttributes& a, const Tensor* in, const Tensor* out, SanpCudaGate* gate) noexcept {
  if (Error e = require_dense(in[kX], "x", 4, kMayBeEmpty)) return e;
  if (Error e = require_dense(in[kW1], "w1", 2)) return e;
  if (Error e = require_dense(in[kW2], "w2", 2)) return e;
  const int64_t* const x = in[kX].shape.dims;
  const int64_t hidden = in[kW1].shape.dims[0], c_out = in[kW2].shape.dims[0];
  if (Error e = require(in[kW1], "w1", {hidden, x[1]})) return e;
  if (Error e = require(in[kB1], "b1", {hidden})) return e;
  if (Error e = require(in[kW2], "w2", {c_out, hidden})) return e;
  if (Error e = require(in[kB2], "b2", {c_out})) return e;
  if (Error e = require(in[kBias], "bias", {c_out})) return e;
  if (Error e = require_rows(in[kMask], "mask", x[0], c_out)) return e;
  for (int i = 0; i < kOutputs; ++i)
    if (Error e = require(out[i], i == 0 ? "scale" : "shift", {x[0], c_out})) return e;
  if (a.k >= c_out)
    return Error::format("attribute 'k' is %d but there are %lld gates; re-export with k = 0 to keep all", a.k,
                         static_cast<long long>(c_out));
  memset(gate, 0, sizeof *gate);
  gate->type = in[kX].type == Type::kHalf ? SANP_CUDA_FLOAT16 : SANP_CUDA_FLOAT32;
  gate->batch = static_cast<int32_t>(x[0]);
  gate->c_in = static_cast<int32_t>(x[1]);
  gate->height = static_cast<int32_t>(x[2]);
  gate->width = static_cast<int32_t>(x[3]);
  gate->hidden = static_cast<int32_t>(hidden);
  gate->c_out = static_cast<int32_t>(c_out);
  gate->mask_rows = static_cast<int32_t>(in[kMask].shape.dims[0]);
  gate->k = a.k;
  gate->threshold = a.threshold;
  return {};
}

int ChannelGate::launch(const SanpCudaGate& gate, const Plan&, const void* const* in, void* const* out, void* workspace,
                        void* stream) noexcept {
  const auto f = [in](int i) { return static_cast<const float*>(in[i]); };
  const SanpCudaGateTensors tensors{in[kX],
                                    f(kW1),
                                    f(kB1),
                                    f(kW2),
                                    f(kB2),
                                    f(kBias),
                                    f(kMask),
                                    static_cast<float*>(out[0]),
                                    static_cast<float*>(out[1])};
  return sanp_cuda_gate(&gate, &tensors, workspace, stream);
}

}  // namespace trt
}  // namespace sanp
