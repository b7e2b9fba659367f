// Registration of libsanp_ops with ONNX Runtime.
#include "channel_gate_op.h"
#include "gated_conv_op.h"
#include "registration.h"

extern "C" __attribute__((visibility("default"))) OrtStatus* RegisterCustomOps(OrtSessionOptions* options,
                                                                               const OrtApiBase* base) {
  return sanp::register_ops<sanp::GatedConvOp, sanp::ChannelGateOp>(options, base, "libsanp_ops");
}
