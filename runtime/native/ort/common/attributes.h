// Reading node attributes with errors that name the attribute.
#pragma once

#include <string>

#include "ort/common/op_base.h"

namespace sanp {

inline void read_ints(const OrtApi* api, const OrtKernelInfo* info, const char* name, int64_t* out, size_t count) {
  size_t size = 0;
  int64_t* const none = nullptr;
  if (!succeeded(api, ort::KernelInfoGetAttributeArray_int64(api, info, name, none, &size)))
    fail("attribute '%s' is missing or not a list of integers; expected %zu integers, re-export the model", name,
         count);
  if (size == 0)
    fail("attribute '%s' is empty or not a list of integers; expected %zu integers, re-export the model", name, count);
  if (size != count)
    fail("attribute '%s' has %zu values; expected %zu (two spatial dimensions), re-export the model", name, size,
         count);
  check(api, ort::KernelInfoGetAttributeArray_int64(api, info, name, out, &size));
}

// Where the kernel of a convolution stands: the attributes of every operator that has one.
template <class Attributes>
void read_window(const OrtApi* api, const OrtKernelInfo* info, Attributes* a) {
  read_ints(api, info, "strides", a->strides, 2);
  read_ints(api, info, "pads", a->pads, 4);
  read_ints(api, info, "dilations", a->dilations, 2);
}

inline int64_t read_int(const OrtApi* api, const OrtKernelInfo* info, const char* name) {
  int64_t value = 0;
  if (!succeeded(api, ort::KernelInfoGetAttribute_int64(api, info, name, &value)))
    fail("attribute '%s' is missing or not an integer; re-export the model", name);
  return value;
}

inline float read_float(const OrtApi* api, const OrtKernelInfo* info, const char* name) {
  float value = 0;
  if (!succeeded(api, ort::KernelInfoGetAttribute_float(api, info, name, &value)))
    fail("attribute '%s' is missing or not a float; re-export the model", name);
  if (value != value) fail("attribute '%s' is NaN; expected a number, re-export the model", name);
  return value;
}

// True when the node has the attribute as an integer; a float of that name is an error.
inline bool read_optional_int(const OrtApi* api, const OrtKernelInfo* info, const char* name, int64_t* out) {
  if (succeeded(api, ort::KernelInfoGetAttribute_int64(api, info, name, out))) return true;
  float ignored = 0;
  if (succeeded(api, ort::KernelInfoGetAttribute_float(api, info, name, &ignored)))
    fail("attribute '%s' is a float; expected an integer, re-export the model", name);
  return false;
}

// The value of a string attribute, "" where the node has none; a number of that name is an error.
inline std::string read_optional_string(const OrtApi* api, const OrtKernelInfo* info, const char* name) {
  size_t size = 0;  // with the terminating zero
  char* const none = nullptr;
  if (succeeded(api, ort::KernelInfoGetAttribute_string(api, info, name, none, &size))) {
    std::string value(size, '\0');
    check(api, ort::KernelInfoGetAttribute_string(api, info, name, &value[0], &size));
    return value.c_str();
  }
  int64_t integer = 0;
  float real = 0;
  if (succeeded(api, ort::KernelInfoGetAttribute_int64(api, info, name, &integer)) ||
      succeeded(api, ort::KernelInfoGetAttribute_float(api, info, name, &real)))
    fail("attribute '%s' is a number; expected a string, re-export the model", name);
  return "";
}

}  // namespace sanp
