// Behaviour of the fake: a registry refuses what is registered already, expressions compute.
#include "tests/trt/fake_tensorrt.h"

#include <string.h>

#include <algorithm>
#include <mutex>

namespace sanp {
namespace test {
namespace {

std::mutex log_mutex;

#if NV_TENSORRT_MAJOR >= 10
// Names are not in the common base of the two creator interfaces.
const char* name_of(const nvinfer1::IPluginCreatorInterface& c) {
  const std::string kind = c.getInterfaceInfo().kind;
  if (kind == "PLUGIN CREATOR_V3ONE") return static_cast<const nvinfer1::IPluginCreatorV3One&>(c).getPluginName();
  return static_cast<const nvinfer1::IPluginCreator&>(c).getPluginName();
}
#else
const char* name_of(const nvinfer1::IPluginCreator& c) { return c.getPluginName(); }
#endif

}  // namespace

FakeTensorRT& tensorrt() {
  static FakeTensorRT one;
  return one;
}

void FakeLogger::log(Severity severity, const char* message) noexcept {
  const std::lock_guard<std::mutex> lock(log_mutex);
  errors += severity <= Severity::kERROR;
  lines_ += message;
  lines_ += '\n';
}

std::string FakeLogger::take() {
  const std::lock_guard<std::mutex> lock(log_mutex);
  std::string lines;
  lines.swap(lines_);
  return lines;
}

CreatorBase* FakeRegistry::find(const std::string& name) const {
  const auto is_it = [&](CreatorBase* c) { return name == name_of(*c); };
  const auto found = std::find_if(creators_.begin(), creators_.end(), is_it);
  return found == creators_.end() ? nullptr : *found;
}

bool FakeRegistry::add(CreatorBase& creator, const char* name_space) {
  ++attempts;
  if (strcmp(name_space, "") != 0 || find(name_of(creator)) != nullptr) return false;
  creators_.push_back(&creator);
  return true;
}

#if NV_TENSORRT_MAJOR >= 10
nvinfer1::IPluginCreatorInterface* FakeRegistry::getCreator(const char* const name, const char* const version,
                                                            const char* const name_space) noexcept {
  return strcmp(version, "1") == 0 && strcmp(name_space, "") == 0 ? find(name) : nullptr;
}
#endif

#if NV_TENSORRT_MAJOR < 11
nvinfer1::IPluginCreator* FakeRegistry::getPluginCreator(const char* const name, const char* const version,
                                                         const char* const name_space) noexcept {
#if NV_TENSORRT_MAJOR < 10
  if (strcmp(version, "1") == 0 && strcmp(name_space, "") == 0) return find(name);
#else
  (void)name, (void)version, (void)name_space;  // deprecated there; asking for a V3 creator this way finds nothing
#endif
  return nullptr;
}
#endif

const FakeDimension* FakeBuilder::dimension(int64_t value, bool constant) {
  owned_.emplace_back(value, constant);
  return &owned_.back();
}

const nvinfer1::IDimensionExpr* FakeBuilder::operation(nvinfer1::DimensionOperation op,
                                                       const nvinfer1::IDimensionExpr& first,
                                                       const nvinfer1::IDimensionExpr& second) {
  const int64_t a = value(first), b = value(second);
  const bool fixed = first.isConstant() && second.isConstant();
  switch (op) {
    case nvinfer1::DimensionOperation::kSUM:
      return dimension(a + b, fixed);
    case nvinfer1::DimensionOperation::kSUB:
      return dimension(a - b, fixed);
    case nvinfer1::DimensionOperation::kPROD:
      return dimension(a * b, fixed);
    case nvinfer1::DimensionOperation::kFLOOR_DIV:
      return dimension(a / b - (a % b != 0 && (a < 0) != (b < 0)), fixed);
    default:
      return nullptr;
  }
}

}  // namespace test
}  // namespace sanp

#define SANP_EXPORT extern "C" __attribute__((visibility("default"), used))

SANP_EXPORT nvinfer1::IPluginRegistry* getPluginRegistry() noexcept { return &sanp::test::tensorrt().registry; }
SANP_EXPORT nvinfer1::ILogger* getLogger() noexcept { return &sanp::test::tensorrt().logger; }
SANP_EXPORT int32_t getInferLibVersion() noexcept { return sanp::test::tensorrt().version; }
