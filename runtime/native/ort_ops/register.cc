// The exported symbols of libsanp_ops: registration with ONNX Runtime, version, instruction set.
#include "../kernels/isa.h"
#include "../kernels/table.h"
#include "channel_gate_op.h"
#include "gated_conv_op.h"
#include "registration.h"

#define SANP_EXPORT extern "C" __attribute__((visibility("default")))

SANP_EXPORT OrtStatus* RegisterCustomOps(OrtSessionOptions* options, const OrtApiBase* base) {
  return sanp::register_ops<sanp::GatedConvOp, sanp::ChannelGateOp>(options, base, "libsanp_ops");
}

SANP_EXPORT const char* sanp_ops_version() { return SANP_OPS_VERSION; }

SANP_EXPORT const char* sanp_ops_isa() { return sanp::current_isa().name; }

SANP_EXPORT int sanp_ops_limit_winograd(int tile) { return sanp::limit_winograd(tile) ? 0 : 1; }

SANP_EXPORT int sanp_ops_force_isa(const char* name) { return sanp::force_isa(name) ? 0 : 1; }
