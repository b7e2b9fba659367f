// Reads the entries of a session's configuration, and explains the values that they can have.
#include "ort/cpu/settings.h"

#include <vector>

#include "cpu/isa/table.h"
#include "ort/common/op_base.h"

namespace sanp {
namespace {

// Values in the text of an entry; the first is the default.
struct Entry {
  const char* key;
  std::vector<std::string> values;
};

Entry isa_entry() {
  const IsaKernels* usable[kMaxIsas];
  Entry entry{"sanp.isa", {"auto"}};
  for (size_t i = 0, n = usable_isas(usable, kMaxIsas); i < n; ++i) entry.values.push_back(usable[i]->name);
  return entry;
}
Entry winograd_entry() { return {"sanp.winograd", {"4", "2", "0"}}; }
Entry bf16_entry() { return {"sanp.bf16_weights", {"1", "0"}}; }

std::string joined(const std::vector<std::string>& values, const char* between) {
  std::string text;
  for (const std::string& value : values) text += (text.empty() ? "" : between) + value;
  return text;
}

std::string value_of(const OrtApi* api, const OrtSessionOptions* options, const Entry& entry) {
  int has = 0;
  check(api, ort::HasSessionConfigEntry(api, options, entry.key, &has));
  if (has == 0) return entry.values.front();
  size_t size = 0;  // with the terminating zero
  char* const none = nullptr;
  check(api, ort::GetSessionConfigEntry(api, options, entry.key, none, &size));
  std::string value(size, '\0');
  check(api, ort::GetSessionConfigEntry(api, options, entry.key, &value[0], &size));
  value.resize(size - 1);
  for (const std::string& known : entry.values)
    if (value == known) return value;
  fail("session config entry '%s' is '%.60s'; expected one of %s in this build on this CPU, leave it out for %s",
       entry.key, value.c_str(), joined(entry.values, ", ").c_str(), entry.values.front().c_str());
}

}  // namespace

CpuSettings CpuSettings::read(const OrtApi* api, const OrtSessionOptions* options) {
  const std::string isa = value_of(api, options, isa_entry());
  return {isa == "auto" ? &best_isa() : find_isa(isa.c_str()), std::stoi(value_of(api, options, winograd_entry())),
          value_of(api, options, bf16_entry()) == "1"};
}

std::string setting_values() {
  std::vector<std::string> entries;
  for (const Entry& entry : {isa_entry(), winograd_entry(), bf16_entry()})
    entries.push_back(entry.key + std::string("=") + joined(entry.values, "|"));
  return joined(entries, " ");
}

}  // namespace sanp
