// Writes and recognises the serialised form; an engine file can be cut short, foreign, or of another version.
#include "trt/blob.h"

#include <string.h>

#include "cuda/sanp_cuda.h"

namespace sanp {
namespace trt {
namespace {

BlobHeader header(int32_t operator_tag, size_t payload) {
  return {
      {'S', 'A', 'N', 'P', 'T', 'R', 'T', '\0'}, SANP_CUDA_ABI_VERSION, operator_tag, static_cast<int32_t>(payload)};
}

}  // namespace

void write_blob(int32_t operator_tag, const void* attributes, size_t payload, void* to) noexcept {
  const BlobHeader h = header(operator_tag, payload);
  memcpy(to, &h, sizeof h);
  memcpy(static_cast<char*>(to) + sizeof h, attributes, payload);
}

Error read_blob(int32_t operator_tag, const void* from, size_t bytes, void* attributes, size_t payload) noexcept {
  const BlobHeader expected = header(operator_tag, payload);
  BlobHeader found;
  if (from == nullptr || bytes < sizeof found)
    return Error::format("the engine holds %zu bytes for this plugin; expected %zu, build the engine again", bytes,
                         blob_bytes(payload));
  memcpy(&found, from, sizeof found);
  if (memcmp(found.magic, expected.magic, sizeof found.magic) != 0 || found.operator_tag != operator_tag)
    return Error::format("the engine holds data of another plugin; build the engine again");
  if (found.version != expected.version)
    return Error::format("the engine was built by plugin version %d; this is version %d, build the engine again",
                         found.version, expected.version);
  if (found.bytes != expected.bytes || bytes != blob_bytes(payload))
    return Error::format("the engine holds %zu bytes for this plugin; expected %zu, build the engine again", bytes,
                         blob_bytes(payload));
  memcpy(attributes, static_cast<const char*>(from) + sizeof found, payload);
  return {};
}

}  // namespace trt
}  // namespace sanp
