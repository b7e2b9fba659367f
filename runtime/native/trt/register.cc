// libsanp_trt.so registers its operators when it is loaded: with dlopen, trtexec --staticPlugins, or ctypes.CDLL.
#include "trt/creators.h"
#include "trt/host.h"

namespace {

bool is_registered(nvinfer1::IPluginRegistry& registry, const char* name) {
#if NV_TENSORRT_MAJOR >= 10
  return registry.getCreator(name, "1", "") != nullptr;
#else
  return registry.getPluginCreator(name, "1", "") != nullptr;
#endif
}

}  // namespace

// The number of operators that TensorRT now knows: 2, or 0 where no TensorRT is loaded. May be called again, which
// helps when TensorRT was loaded after this library; nothing is registered twice.
extern "C" __attribute__((visibility("default"))) int32_t sanp_trt_register() noexcept {
  using namespace sanp::trt;
  nvinfer1::IPluginRegistry* const registry = host_registry();
  if (registry == nullptr) return 0;
  const CreatorList& list = creators();
  int32_t known = 0;
  for (int32_t i = 0; i < CreatorList::kCount; ++i)
    known += is_registered(*registry, list.names[i]) || registry->registerCreator(*list.rows[i], "");
  return known;
}

__attribute__((constructor)) static void register_at_load() { sanp_trt_register(); }
