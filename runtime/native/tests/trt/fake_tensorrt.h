// The parts of TensorRT that a plugin library meets: registry, logger, expressions. Exported from the test program
// under TensorRT's own names, so the library under test finds them as it would find libnvinfer.
#pragma once

#include <NvInferRuntime.h>

#include <list>
#include <memory>
#include <string>
#include <vector>

namespace sanp {
namespace test {

#if NV_TENSORRT_MAJOR >= 10
using CreatorBase = nvinfer1::IPluginCreatorInterface;
#else
using CreatorBase = nvinfer1::IPluginCreator;
#endif

// Keeps every line.
class FakeLogger final : public nvinfer1::ILogger {
 public:
  void log(Severity severity, const char* message) noexcept override;
  // The lines since the last call, joined.
  std::string take();
  int errors = 0;

 private:
  std::string lines_;
};

class FakeRegistry final : public nvinfer1::IPluginRegistry {
 public:
  ~FakeRegistry() noexcept override = default;
  CreatorBase* find(const std::string& name) const;
  void clear() { creators_.clear(); }
  size_t size() const { return creators_.size(); }
  int attempts = 0;  // calls of registerCreator

  void setErrorRecorder(nvinfer1::IErrorRecorder* const) noexcept override {}
  nvinfer1::IErrorRecorder* getErrorRecorder() const noexcept override { return nullptr; }
#if NV_TENSORRT_MAJOR > 8 || NV_TENSORRT_MINOR >= 6
  bool isParentSearchEnabled() const override { return true; }
  void setParentSearchEnabled(bool const) override {}
  PluginLibraryHandle loadLibrary(const char*) noexcept override { return nullptr; }
  void deregisterLibrary(PluginLibraryHandle) noexcept override {}
#endif
#if NV_TENSORRT_MAJOR < 11
  bool registerCreator(nvinfer1::IPluginCreator& creator, const char* const name_space) noexcept override {
    return add(creator, name_space);
  }
  nvinfer1::IPluginCreator* const* getPluginCreatorList(int32_t* const count) const noexcept override {
    *count = 0;
    return nullptr;
  }
  nvinfer1::IPluginCreator* getPluginCreator(const char* const name, const char* const version,
                                             const char* const name_space) noexcept override;
  bool deregisterCreator(const nvinfer1::IPluginCreator&) noexcept override { return false; }
#endif
#if NV_TENSORRT_MAJOR >= 10
  bool registerCreator(nvinfer1::IPluginCreatorInterface& creator, const char* const name_space) noexcept override {
    return add(creator, name_space);
  }
  nvinfer1::IPluginCreatorInterface* const* getAllCreators(int32_t* const count) const noexcept override {
    *count = 0;
    return nullptr;
  }
  nvinfer1::IPluginCreatorInterface* getCreator(const char* const name, const char* const version,
                                                const char* const name_space) noexcept override;
  bool deregisterCreator(const nvinfer1::IPluginCreatorInterface&) noexcept override { return false; }
  nvinfer1::IPluginResource* acquirePluginResource(const char*, nvinfer1::IPluginResource*) noexcept override {
    return nullptr;
  }
  int32_t releasePluginResource(const char*) noexcept override { return 0; }
#endif
#if NV_TENSORRT_MAJOR > 10 || (NV_TENSORRT_MAJOR == 10 && NV_TENSORRT_MINOR >= 10)
  nvinfer1::IPluginCreatorInterface* const* getAllCreatorsRecursive(int32_t* const count) noexcept override {
    *count = 0;
    return nullptr;
  }
#endif

 private:
  bool add(CreatorBase& creator, const char* name_space);
  std::vector<CreatorBase*> creators_;
};

// What the exported getPluginRegistry, getLogger and getInferLibVersion answer with.
struct FakeTensorRT {
  FakeLogger logger;
  FakeRegistry registry;
  int32_t version = NV_TENSORRT_VERSION;
};
FakeTensorRT& tensorrt();

#if NV_TENSORRT_MAJOR >= 10
using DimInteger = int64_t;
#else
using DimInteger = int32_t;
#endif

// A dimension that is a symbol while the network is built: asking for its constant value gives nonsense, as there.
class FakeDimension final : public nvinfer1::IDimensionExpr, nvinfer1::apiv::VDimensionExpr {
 public:
  FakeDimension(int64_t value, bool constant) : value_(value), constant_(constant) { mImpl = this; }
  ~FakeDimension() noexcept override = default;
  int64_t value() const { return value_; }

 private:
  bool isConstant() const override { return constant_; }
  DimInteger getConstantValue() const override { return constant_ ? static_cast<DimInteger>(value_) : -999; }
#if NV_TENSORRT_MAJOR >= 10
  bool isSizeTensor() const override { return false; }
#endif
  const int64_t value_;
  const bool constant_;
};

class FakeBuilder final : public nvinfer1::IExprBuilder, nvinfer1::apiv::VExprBuilder {
 public:
  FakeBuilder() { mImpl = this; }
  ~FakeBuilder() noexcept override = default;
  const FakeDimension* dimension(int64_t value, bool constant);
  static int64_t value(const nvinfer1::IDimensionExpr& e) { return static_cast<const FakeDimension&>(e).value(); }

 private:
  const nvinfer1::IDimensionExpr* constant(DimInteger value) override { return dimension(value, true); }
  const nvinfer1::IDimensionExpr* operation(nvinfer1::DimensionOperation op, const nvinfer1::IDimensionExpr& a,
                                            const nvinfer1::IDimensionExpr& b) override;
#if NV_TENSORRT_MAJOR >= 10
  const nvinfer1::IDimensionExpr* declareSizeTensor(int32_t, const nvinfer1::IDimensionExpr&,
                                                    const nvinfer1::IDimensionExpr&) override {
    return nullptr;
  }
#endif
  std::list<FakeDimension> owned_;
};

}  // namespace test
}  // namespace sanp
