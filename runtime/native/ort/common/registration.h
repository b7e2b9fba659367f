// Registration of a list of operators with ONNX Runtime, the same for every library.
#pragma once

#include "ort/common/op_base.h"
#include "ort/common/shape_inference.h"

namespace sanp {

// ONNX Runtime keeps pointers to the operators and the domain for as long as any session lives, so one of each is made
// and never freed. Created with the first table seen; its functions are the same in every table of one runtime.
template <class... Ops>
OrtCustomOpDomain* domain_of(const OrtApi* api) {
  static const OrtCustomOp ops[] = {make_op<Ops>()...};
  static OrtCustomOpDomain* const made = [api] {
    OrtCustomOpDomain* d = nullptr;
    check(api, ort::CreateCustomOpDomain(api, "sanp", &d));
    for (const OrtCustomOp& op : ops) check(api, ort::CustomOpDomain_Add(api, d, &op));
    return d;
  }();
  return made;
}

// The body of RegisterCustomOps.
template <class... Ops>
OrtStatus* register_ops(OrtSessionOptions* options, const OrtApiBase* base, const char* library) {
  const OrtApi* const api = base->GetApi(kOrtApiVersion);
  if (api == nullptr) {
    // Version 1 exists in every release and has CreateStatus in the same slot.
    const OrtApi* const oldest = base->GetApi(1);
    char text[160];
    snprintf(text, sizeof text, "%s needs ONNX Runtime 1.17 or later, this is %s; upgrade onnxruntime", library,
             base->GetVersionString());
    return oldest ? ort::CreateStatus(oldest, kOrtFail, static_cast<const char*>(text)) : nullptr;
  }
  return guarded(api, "RegisterCustomOps", [&] {
    set_infer_api(api);
    check(api, ort::AddCustomOpDomain(api, options, domain_of<Ops...>(api)));
  });
}

}  // namespace sanp
