// What both plugin interfaces share: fields, and the parser's choice among them.
#include "tests/trt/node.h"

#include <string.h>

#include <algorithm>

namespace sanp {
namespace test {

NodeField NodeField::ints(const char* name, std::vector<int32_t> values) {
  const char* const from = reinterpret_cast<const char*>(values.data());
  return {name, nvinfer1::PluginFieldType::kINT32, std::vector<char>(from, from + 4 * values.size()),
          static_cast<int32_t>(values.size())};
}

NodeField NodeField::real(const char* name, float value) {
  const char* const from = reinterpret_cast<const char*>(&value);
  return {name, nvinfer1::PluginFieldType::kFLOAT32, std::vector<char>(from, from + 4), 1};
}

bool Saved::operator==(const Saved& other) const {
  const auto same = [](const NodeField& a, const NodeField& b) {
    return a.name == b.name && a.type == b.type && a.bytes == b.bytes && a.length == b.length;
  };
  return op == other.op && bytes == other.bytes &&
         std::equal(fields.begin(), fields.end(), other.fields.begin(), other.fields.end(), same);
}

FieldView::FieldView(const NodeFields& fields) {
  for (const NodeField& f : fields) rows.push_back({f.name.c_str(), f.bytes.data(), f.type, f.length});
  collection_ = {static_cast<int32_t>(rows.size()), rows.data()};
}

std::unique_ptr<Node> create(const std::string& op, const NodeFields& attributes) {
  const std::vector<std::string> names = field_names(op);
  NodeFields passed;
  for (const NodeField& a : attributes)
    if (std::find(names.begin(), names.end(), a.name) != names.end()) passed.push_back(a);
  return create_raw(op, FieldView(passed).get());
}

}  // namespace test
}  // namespace sanp
