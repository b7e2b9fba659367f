// Parsing of field lists: every name once, known, of the right kind and length.
#include "trt/fields.h"

#include <string.h>

#include "cuda/sanp_cuda.h"

namespace sanp {
namespace trt {
namespace {

const Attribute* find(const AttributeTable& table, const char* name) {
  for (int32_t i = 0; i < table.count; ++i)
    if (strcmp(table.rows[i].name, name) == 0) return &table.rows[i];
  return nullptr;
}

Error check_field(const Attribute& a, const Field& f) {
  const bool kind =
      a.is_float ? f.kind == FieldKind::kFloat32 : f.kind == FieldKind::kInt32 || f.kind == FieldKind::kInt64;
  if (!kind)
    return Error::format("attribute '%s' has another type; expected %s, re-export the model", a.name,
                         a.is_float ? "float" : "integer");
  if (f.count != a.count)
    return Error::format("attribute '%s' has %lld values; expected %d, re-export the model", a.name,
                         static_cast<long long>(f.count), a.count);
  if (f.data == nullptr) return Error::format("attribute '%s' has no data; re-export the model", a.name);
  return {};
}

// Data of a field need not be aligned.
Error store(const Attribute& a, const Field& f, void* attributes) {
  char* const to = static_cast<char*>(attributes) + a.offset;
  if (f.kind != FieldKind::kInt64) {
    memcpy(to, f.data, static_cast<size_t>(a.count) * 4);
    return {};
  }
  for (int32_t i = 0; i < a.count; ++i) {
    int64_t wide;
    memcpy(&wide, static_cast<const char*>(f.data) + 8 * i, 8);
    if (wide < INT32_MIN || wide > INT32_MAX)
      return Error::format("attribute '%s' has the value %lld; expected at most 32 bits, re-export the model", a.name,
                           static_cast<long long>(wide));
    const int32_t value = static_cast<int32_t>(wide);
    memcpy(to + 4 * i, &value, 4);
  }
  return {};
}

Error parse(const AttributeTable& table, const Field* fields, int32_t count, bool all, bool version, void* attributes) {
  uint64_t seen = 0;
  if (count < 0 || (count > 0 && fields == nullptr)) return Error::format("the list of attributes is broken");
  for (int32_t i = 0; i < count; ++i) {
    const Field& f = fields[i];
    if (f.name == nullptr) return Error::format("attribute %d has no name; re-export the model", i);
    if (version && strcmp(f.name, kVersionField) == 0) continue;
    const Attribute* const a = find(table, f.name);
    if (a == nullptr) return Error::format("attribute '%.64s' is unknown; re-export the model", f.name);
    const uint64_t bit = uint64_t{1} << (a - table.rows);
    if (seen & bit) return Error::format("attribute '%s' is given twice; re-export the model", a->name);
    seen |= bit;
    if (Error e = check_field(*a, f)) return e;
    if (Error e = store(*a, f, attributes)) return e;
  }
  for (int32_t i = 0; i < table.count; ++i)
    if (!(seen >> i & 1) && (all || table.rows[i].required))
      return Error::format("attribute '%s' is missing; re-export the model", table.rows[i].name);
  return {};
}

}  // namespace

Error parse_fields(const AttributeTable& table, const Field* fields, int32_t count, void* attributes) noexcept {
  return parse(table, fields, count, false, false, attributes);
}

Error parse_saved_fields(const AttributeTable& table, const Field* fields, int32_t count, void* attributes) noexcept {
  int32_t found = 0, version = 0;
  for (int32_t i = 0; i < count && fields != nullptr; ++i) {
    const Field& f = fields[i];
    if (f.name == nullptr || strcmp(f.name, kVersionField) != 0) continue;
    if (f.kind != FieldKind::kInt32 || f.count != 1 || f.data == nullptr)
      return Error::format("the engine's plugin version is not an integer; build the engine again");
    memcpy(&version, f.data, 4);
    ++found;
  }
  if (found != 1) return Error::format("the engine names %d plugin versions; expected one, build it again", found);
  if (version == kUnsizedVersion)
    return Error::format("the engine was built without a GPU and is for checking only; build it on the device");
  if (version != SANP_CUDA_ABI_VERSION)
    return Error::format("the engine was built by plugin version %d; this is version %d, build the engine again",
                         version, SANP_CUDA_ABI_VERSION);
  return parse(table, fields, count, true, true, attributes);
}

void describe_attributes(const AttributeTable& table, const void* attributes, char* text, size_t bytes) noexcept {
  size_t at = 0;
  const auto add = [&](const char* pattern, auto value) {
    if (at < bytes) {
      const int n = snprintf(text + at, bytes - at, pattern, value);
      at += n > 0 ? static_cast<size_t>(n) : 0;
    }
  };
  if (bytes > 0) text[0] = '\0';
  for (int32_t i = 0; i < table.count; ++i) {
    const Attribute& a = table.rows[i];
    add(i ? ", %s =" : "%s =", a.name);
    for (int32_t j = 0; j < a.count; ++j) {
      const char* const from = static_cast<const char*>(attributes) + a.offset + 4 * j;
      int32_t integer;
      float real;
      memcpy(&integer, from, 4);
      memcpy(&real, from, 4);
      if (a.is_float)
        add(" %g", static_cast<double>(real));
      else
        add(" %d", integer);
    }
  }
}

}  // namespace trt
}  // namespace sanp
