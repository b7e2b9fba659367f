// How the libraries announce their operators.
#include <dlfcn.h>

#include "tests/trt/cases.h"
#include "tests/trt/libraries.h"
#include "tests/trt/node.h"

namespace sanp {
namespace test {
namespace {

template <class F>
F* symbol(const char* library, const char* name) {
  void* const handle = dlopen(library, RTLD_NOW | RTLD_LOCAL);
  EXPECT(handle, "%s", dlerror());
  return reinterpret_cast<F*>(dlsym(handle, name));
}

CASE(registered_once_by_loading) {
  const auto again = symbol<int32_t()>(libraries().plugin, "sanp_trt_register");
  EXPECT(again, "sanp_trt_register is exported");
  EXPECT(tensorrt().registry.size() == 2 && tensorrt().registry.attempts == 2, "%d attempts",
         tensorrt().registry.attempts);
  EXPECT(again() == 2 && tensorrt().registry.attempts == 2, "nothing is registered twice");
  EXPECT(tensorrt().registry.find("SanpGatedConv") && tensorrt().registry.find("SanpChannelGate"), "both are there");
}

CASE(another_major_version_is_refused) {
  const auto again = symbol<int32_t()>(libraries().plugin, "sanp_trt_register");
  const int32_t own = tensorrt().version;
  FakeRegistry& registry = tensorrt().registry;
  registry.clear();
  for (const int32_t other : {7200, 8502, 8600, 90000, 100300, 110100, 120000}) {
    const int32_t major = other >= 10000 ? other / 10000 : other / 1000;
    tensorrt().version = other;
    EXPECT((again() == 2) == (major == NV_TENSORRT_MAJOR), "version %d", other);
    registry.clear();
  }
  // TensorRT-RTX: 1.7 has the interface of 11. A library for 10 crashes in it.
  for (const int32_t rtx : {10000, 10300, 10701}) {
    tensorrt().version = rtx;
    EXPECT((again() == 2) == (rtx == 10701 && NV_TENSORRT_MAJOR == 11), "TensorRT-RTX %d", rtx);
    registry.clear();
  }
  registry.clear();
  tensorrt().version = own;
  EXPECT(again() == 2 && registry.size() == 2, "and registers again");
}

#if NV_TENSORRT_MAJOR > 8 || NV_TENSORRT_MINOR >= 6
class Finder final : public nvinfer1::ILoggerFinder {
 public:
  nvinfer1::ILogger* findLogger() override {
    if (throws) throw 1;
    return &logger;
  }
  FakeLogger logger;
  bool throws = false;
};

CASE(entry_points) {
#if NV_TENSORRT_MAJOR >= 10
  const char* const name = "getCreators";
#else
  const char* const name = "getPluginCreators";
#endif
  const int attempts = tensorrt().registry.attempts;
  const auto list = symbol<CreatorBase* const*(int32_t&)>(libraries().creators, name);
  const auto set_finder = symbol<void(nvinfer1::ILoggerFinder*)>(libraries().creators, "setLoggerFinder");
  EXPECT(list && set_finder, "both entry points are exported");
  EXPECT(tensorrt().registry.attempts == attempts, "this library registers nothing by itself");
  int32_t count = 0;
  CreatorBase* const* const creators = list(count);
  EXPECT(count == 2 && creators != nullptr && list(count) == creators, "two creators, the same each time");
  static Finder finder;
  set_finder(&finder);
  // Through the registry, as loadLibrary does.
  FakeRegistry& registry = tensorrt().registry;
  registry.clear();
  for (int32_t i = 0; i < count; ++i) EXPECT(registry.registerCreator(*creators[i], ""), "creator %d", i);
  EXPECT(create_raw("SanpGatedConv", nullptr) == nullptr, "no fields");
  EXPECT(contains(finder.logger.take(), "SanpGatedConv"), "the message went to the logger that was given");
  finder.throws = true;
  EXPECT(create_raw("SanpGatedConv", nullptr) == nullptr, "no fields");
  EXPECT(contains(tensorrt().logger.take(), "SanpGatedConv"), "and to the usual one when that fails");
  set_finder(nullptr);
  registry.clear();
  EXPECT(symbol<int32_t()>(libraries().plugin, "sanp_trt_register")() == 2, "as before");
  tensorrt().logger.errors = 0;
}
#endif

}  // namespace
}  // namespace test
}  // namespace sanp
