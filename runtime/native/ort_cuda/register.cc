// Registration of libsanp_ops_cuda with ONNX Runtime: the operators of both providers, because a session refuses a
// second library with the same domain, and because a node that CUDA does not take needs a kernel on the CPU.
#include "../ort_ops/channel_gate_op.h"
#include "../ort_ops/gated_conv_op.h"
#include "../ort_ops/registration.h"
#include "channel_gate_cuda.h"
#include "gated_conv_cuda.h"

extern "C" __attribute__((visibility("default"))) OrtStatus* RegisterCustomOps(OrtSessionOptions* options,
                                                                               const OrtApiBase* base) {
  return sanp::register_ops<sanp::GatedConvOp, sanp::ChannelGateOp, sanp::GatedConvCudaOp, sanp::ChannelGateCudaOp>(
      options, base, "libsanp_ops_cuda");
}
