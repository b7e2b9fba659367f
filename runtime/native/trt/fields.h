// Attributes of an operator as one table: parsing, saving and listing all read it. No TensorRT in here.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "contract/error.h"

namespace sanp {
namespace trt {

enum class FieldKind { kInt32, kInt64, kFloat32, kOther };

// One value list as a network parser or an engine hands it over; nothing about it can be trusted.
struct Field {
  const char* name;
  FieldKind kind;
  int64_t count;
  const void* data;
};

// One attribute: its values lie at `offset` of the operator's struct, as int32_t or as float.
struct Attribute {
  const char* name;
  bool is_float;
  bool required;
  int32_t count;
  size_t offset;
};

struct AttributeTable {
  const Attribute* rows;
  int32_t count;
};

// The fields of a network. Fills `attributes`; an attribute that is not required keeps the value it has there.
Error parse_fields(const AttributeTable& table, const Field* fields, int32_t count, void* attributes) noexcept;

// The fields of an engine: all attributes, and the version they were saved by.
constexpr const char* kVersionField = "sanp_abi_version";
// Instead of the version where no device was there while building: nobody knows which kernels will run, so the scratch
// memory of such an engine may be too small. It is for checking a model and refuses to be loaded.
constexpr int32_t kUnsizedVersion = -1;
Error parse_saved_fields(const AttributeTable& table, const Field* fields, int32_t count, void* attributes) noexcept;

// "strides = [1, 1], group = 1, ..." for logs and engine inspectors; cut off where `text` ends.
void describe_attributes(const AttributeTable& table, const void* attributes, char* text, size_t bytes) noexcept;

}  // namespace trt
}  // namespace sanp
