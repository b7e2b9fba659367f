// The exported symbols of libsanp_ops: registration with ONNX Runtime, version, instruction set.
#include "../kernels/isa.h"
#include "../kernels/table.h"
#include "channel_gate_op.h"
#include "gated_conv_op.h"
#include "shape_inference.h"

#define SANP_EXPORT extern "C" __attribute__((visibility("default")))

namespace sanp {
namespace {

// ONNX Runtime keeps pointers to the operators and the domain for as long as any session lives, so one of each is made
// and never freed. Created with the first table seen; its functions are the same in every table of one runtime.
OrtCustomOpDomain* domain(const OrtApi* api) {
  static const OrtCustomOp gated_conv = make_op<GatedConvOp>();
  static const OrtCustomOp channel_gate = make_op<ChannelGateOp>();
  static OrtCustomOpDomain* const made = [api] {
    OrtCustomOpDomain* d = nullptr;
    check(api, ort::CreateCustomOpDomain(api, "sanp", &d));
    check(api, ort::CustomOpDomain_Add(api, d, &gated_conv));
    check(api, ort::CustomOpDomain_Add(api, d, &channel_gate));
    return d;
  }();
  return made;
}

}  // namespace
}  // namespace sanp

SANP_EXPORT OrtStatus* RegisterCustomOps(OrtSessionOptions* options, const OrtApiBase* base) {
  using namespace sanp;
  const OrtApi* const api = base->GetApi(kOrtApiVersion);
  if (api == nullptr) {
    // Version 1 exists in every release and has CreateStatus in the same slot.
    const OrtApi* const oldest = base->GetApi(1);
    char text[160];
    snprintf(text, sizeof text, "libsanp_ops needs ONNX Runtime 1.17 or later, this is %s; upgrade onnxruntime",
             base->GetVersionString());
    return oldest ? ort::CreateStatus(oldest, kOrtFail, static_cast<const char*>(text)) : nullptr;
  }
  return guarded(api, "RegisterCustomOps", [&] {
    set_infer_api(api);
    check(api, ort::AddCustomOpDomain(api, options, domain(api)));
  });
}

SANP_EXPORT const char* sanp_ops_version() { return SANP_OPS_VERSION; }

SANP_EXPORT const char* sanp_ops_isa() { return sanp::current_isa().name; }

SANP_EXPORT int sanp_ops_limit_winograd(int tile) { return sanp::limit_winograd(tile) ? 0 : 1; }

SANP_EXPORT int sanp_ops_force_isa(const char* name) { return sanp::force_isa(name) ? 0 : 1; }
