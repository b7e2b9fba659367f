// Registration of a list of operators with ONNX Runtime, the same for every library.
#pragma once

#include <memory>
#include <mutex>
#include <vector>

#include "ort/common/op_base.h"
#include "ort/common/shape_inference.h"

namespace sanp {

// For libraries whose kernels cannot be told anything.
struct NoSettings {
  static NoSettings read(const OrtApi*, const OrtSessionOptions*) { return {}; }
  bool operator==(const NoSettings&) const { return true; }
};

// The operators of one combination of settings.
template <class Settings, class... Ops>
struct Registered {
  explicit Registered(const Settings& s) : settings(s), ops{make_op<Ops>(s)...} {}
  const Settings settings;
  const ConfiguredOp<Settings> ops[sizeof...(Ops)];
  OrtCustomOpDomain* domain = nullptr;
};

// ONNX Runtime keeps pointers to the operators and the domain for as long as any session lives, and says to nobody when
// the last one ends. So one of each is made per combination of settings, of which there are few, and never freed.
// Created with the first table seen; its functions are the same in every table of one runtime.
template <class Settings, class... Ops>
OrtCustomOpDomain* domain_of(const OrtApi* api, const Settings& settings) {
  using Row = Registered<Settings, Ops...>;
  static std::mutex mutex;
  static std::vector<std::unique_ptr<Row>>& rows = *new std::vector<std::unique_ptr<Row>>;
  const std::lock_guard<std::mutex> lock(mutex);
  for (const auto& row : rows)
    if (row->settings == settings) return row->domain;
  auto made = std::make_unique<Row>(settings);
  check(api, ort::CreateCustomOpDomain(api, "sanp", &made->domain));
  for (const auto& op : made->ops)
    check(api, ort::CustomOpDomain_Add(api, made->domain, static_cast<const OrtCustomOp*>(&op)));
  rows.push_back(std::move(made));
  return rows.back()->domain;
}

// The body of RegisterCustomOps.
template <class Settings, class... Ops>
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
    const Settings settings = Settings::read(api, options);
    check(api, ort::AddCustomOpDomain(api, options, domain_of<Settings, Ops...>(api, settings)));
  });
}

}  // namespace sanp
