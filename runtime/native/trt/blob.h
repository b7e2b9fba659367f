// Attributes as bytes, for engines of TensorRT 8: a header that can be recognised, then the struct. No TensorRT in
// here.
#pragma once

#include "trt/fields.h"

namespace sanp {
namespace trt {

struct BlobHeader {
  char magic[8];    // "SANPTRT"
  int32_t version;  // SANP_CUDA_ABI_VERSION
  int32_t operator_tag;
  int32_t bytes;  // of what follows
};

constexpr size_t blob_bytes(size_t payload) { return sizeof(BlobHeader) + payload; }

// `to` has blob_bytes(payload) bytes and any alignment.
void write_blob(int32_t operator_tag, const void* attributes, size_t payload, void* to) noexcept;

// Fills `attributes` only from bytes that are exactly a blob of this operator and version; values are not checked here.
Error read_blob(int32_t operator_tag, const void* from, size_t bytes, void* attributes, size_t payload) noexcept;

}  // namespace trt
}  // namespace sanp
