// Checks one channel gate and describes it to the kernels.
#include "trt/channel_gate.h"

#include "cuda/describe.h"

namespace sanp {
namespace trt {

bool ChannelGate::accepts(int32_t position, const Tensor* tensors) noexcept {
  const Tensor& t = tensors[position];
  return t.linear && (t.type == Type::kFloat || (position == kGateX && t.type == Type::kHalf));
}

Error ChannelGate::describe(const GateAttributes& a, const Tensor* in, const Tensor* out, SanpCudaGate* gate) noexcept {
  const Shape<int64_t>* shapes[kGateInputs];
  for (int32_t i = 0; i < kGateInputs; ++i) shapes[i] = &in[i].shape;
  ChannelGateProblem p;
  if (Error e = check(contract_of(a), shapes, &p)) return e;
  for (int i = 0; i < kOutputs; ++i)
    if (Error e =
            require_shape(out[i].shape, i == kGateScale ? "scale" : "shift", {p.batch, p.outputs}, "batch, gates"))
      return e;
  *gate = cuda::describe(contract_of(a), p, in[kGateX].type == Type::kHalf ? SANP_CUDA_FLOAT16 : SANP_CUDA_FLOAT32);
  return {};
}

int ChannelGate::launch(const SanpCudaGate& gate, const Plan&, const void* const* in, void* const* out, void* workspace,
                        void* stream) noexcept {
  const auto f = [in](int i) { return static_cast<const float*>(in[i]); };
  const SanpCudaGateTensors tensors{in[kGateX],
                                    f(kGateW1),
                                    f(kGateB1),
                                    f(kGateW2),
                                    f(kGateB2),
                                    f(kGateBias),
                                    f(kGateMask),
                                    static_cast<float*>(out[0]),
                                    static_cast<float*>(out[1])};
  return sanp_cuda_gate(&gate, &tensors, workspace, stream);
}

}  // namespace trt
}  // namespace sanp
