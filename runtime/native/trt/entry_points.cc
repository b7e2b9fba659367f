// libsanp_trt_creators.so lists its operators when TensorRT asks: IPluginRegistry::loadLibrary, trtexec
// --dynamicPlugins, engines that carry their plugin library. It registers nothing by itself, which loadLibrary would
// take for an error.
#include <atomic>

#include "trt/creators.h"
#include "trt/host.h"

#define SANP_EXPORT extern "C" __attribute__((visibility("default")))

#if NV_TENSORRT_MAJOR == 8 && NV_TENSORRT_MINOR < 6
#error "TensorRT 8.5 cannot load plugin libraries by entry points; use libsanp_trt.so"
#endif

static std::atomic<nvinfer1::ILoggerFinder*> finder{nullptr};

SANP_EXPORT void setLoggerFinder(nvinfer1::ILoggerFinder* given) noexcept {
  finder.store(given);
  sanp::trt::set_find_logger([]() -> nvinfer1::ILogger* {
    nvinfer1::ILoggerFinder* const known = finder.load();
    try {
      return known ? known->findLogger() : nullptr;
    } catch (...) {
      return nullptr;
    }
  });
}

// TensorRT 8.6 asks by the first name, 10 and later by the second.
SANP_EXPORT sanp::trt::CreatorInterface* const*
#if NV_TENSORRT_MAJOR >= 10
getCreators(int32_t& count) noexcept {
#else
getPluginCreators(int32_t& count) noexcept {
#endif
  count = sanp::trt::CreatorList::kCount;
  return sanp::trt::creators().rows;
}
