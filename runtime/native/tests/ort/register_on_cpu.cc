// The operators of the CUDA provider, registered for it and for the CPU too: with kernels on the host, ONNX Runtime
// calls the adapter on a machine without a GPU.
#include "ort/common/registration.h"
#include "ort/cuda/channel_gate_cuda.h"
#include "ort/cuda/gated_conv_cuda.h"

namespace sanp {
namespace {

struct ConvOnCpu : GatedConvCudaOp {
  static constexpr const char* kProvider = "CPUExecutionProvider";
};
struct GateOnCpu : ChannelGateCudaOp {
  static constexpr const char* kProvider = "CPUExecutionProvider";
};

}  // namespace
}  // namespace sanp

extern "C" __attribute__((visibility("default"))) OrtStatus* RegisterCustomOps(OrtSessionOptions* options,
                                                                               const OrtApiBase* base) {
  return sanp::register_ops<sanp::NoSettings, sanp::GatedConvCudaOp, sanp::ChannelGateCudaOp, sanp::ConvOnCpu,
                            sanp::GateOnCpu>(options, base, "the test library");
}
