// Looks up TensorRT's exported functions, never loading it: without TensorRT this library is harmless.
#include "trt/host.h"

#include <dlfcn.h>

#include <atomic>

#include "trt/nv_types.h"

namespace sanp {
namespace trt {
namespace {

// A symbol of the loaded TensorRT. Python loads libnvinfer with local scope, where the global search cannot see it; its
// soname carries the major version this library was compiled for. RTLD_NOLOAD: only if it is there already.
void* symbol(const char* name) {
  if (void* const found = dlsym(RTLD_DEFAULT, name)) return found;
  char soname[32];
  snprintf(soname, sizeof soname, "libnvinfer.so.%d", NV_TENSORRT_MAJOR);
  for (const char* library : {static_cast<const char*>(soname), "libtensorrt_rtx.so.1"})
    if (void* const handle = dlopen(library, RTLD_NOLOAD | RTLD_LAZY))
      if (void* const found = dlsym(handle, name)) return found;
  return nullptr;
}

// An interface of another major version has other virtual tables, and calling into them crashes. TensorRT-RTX counts
// from 1; its 1.7 has the interface of 11, earlier ones have not been tried.
bool same_interface() {
  using Version = int32_t (*)();
  const auto version = reinterpret_cast<Version>(symbol("getInferLibVersion"));
  if (version == nullptr) return false;
  const int32_t v = version();
  const int32_t major = v >= 10000 ? v / 10000 : v / 1000;
  if (major == NV_TENSORRT_MAJOR || (major == 1 && v >= 10700 && NV_TENSORRT_MAJOR == 11)) return true;
  fprintf(stderr, "sanp: this plugin library was compiled for TensorRT %d, version %d is loaded; compile it again\n",
          NV_TENSORRT_MAJOR, v);
  return false;
}

std::atomic<FindLogger> find_logger{nullptr};

nvinfer1::ILogger* logger() {
  if (const FindLogger find = find_logger.load())
    if (nvinfer1::ILogger* const found = find()) return found;
  using GetLogger = nvinfer1::ILogger* (*)();
  const auto get = reinterpret_cast<GetLogger>(symbol("getLogger"));
  return get ? get() : nullptr;
}

}  // namespace

nvinfer1::IPluginRegistry* host_registry() noexcept {
  using GetRegistry = nvinfer1::IPluginRegistry* (*)();
  const auto get = reinterpret_cast<GetRegistry>(symbol("getPluginRegistry"));
  return get && same_interface() ? get() : nullptr;
}

void set_find_logger(FindLogger find) noexcept { find_logger.store(find); }

void log_error(const char* op, const Error& error) noexcept {
  char line[Error::kMostText + 64];
  snprintf(line, sizeof line, "%s: %s", op, error.text());
  if (nvinfer1::ILogger* const to = logger())
    to->log(nvinfer1::ILogger::Severity::kERROR, line);
  else
    fprintf(stderr, "sanp: %s\n", line);
}

}  // namespace trt
}  // namespace sanp
