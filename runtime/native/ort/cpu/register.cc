// Registration of libsanp_ops with ONNX Runtime.
#include "ort/common/registration.h"
#include "ort/cpu/channel_gate_op.h"
#include "ort/cpu/gated_conv_op.h"
#include "ort/cpu/gated_qlinear_conv_op.h"
#include "ort/cpu/inverted_residual_op.h"
#include "ort/cpu/max_pool_op.h"
#include "ort/cpu/pixel_gated_conv_op.h"
#include "ort/cpu/qlinear_channel_gate_op.h"

extern "C" __attribute__((visibility("default"))) OrtStatus* RegisterCustomOps(OrtSessionOptions* options,
                                                                               const OrtApiBase* base) {
  return sanp::register_ops<sanp::CpuSettings, sanp::GatedConvOp, sanp::ChannelGateOp, sanp::PixelGatedConvOp,
                            sanp::GatedQLinearConvOp, sanp::QLinearChannelGateOp, sanp::MaxPoolOp,
                            sanp::InvertedResidualOp>(options, base, "libsanp_ops");
}
