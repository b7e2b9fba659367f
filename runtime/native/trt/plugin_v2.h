// An operator as IPluginV2DynamicExt, the plugin interface of TensorRT 8; 10 and 11 have it too, as deprecated.
#pragma once

#include <new>

#include "trt/attributes.h"
#include "trt/blob.h"
#include "trt/host.h"
#include "trt/nv_types.h"
#include "trt/operation.h"

namespace sanp {
namespace trt {

// A namespace given by the application; names of TensorRT have at most 1024 bytes.
class Namespace {
 public:
  const char* get() const noexcept { return text_; }
  void set(const char* name) noexcept { snprintf(text_, sizeof text_, "%s", name ? name : ""); }

 private:
  char text_[1024] = "";
};

template <class Op>
class PluginV2 final : public nvinfer1::IPluginV2DynamicExt {
  using Dynamic = nvinfer1::DynamicPluginTensorDesc;
  using Static = nvinfer1::PluginTensorDesc;

 public:
  PluginV2(const typename Op::Attributes& attributes, const Namespace& name_space) noexcept
      : operation_(attributes), namespace_(name_space) {}

  const char* getPluginType() const noexcept override { return Op::kName; }
  const char* getPluginVersion() const noexcept override { return "1"; }
  const char* getPluginNamespace() const noexcept override { return namespace_.get(); }
  void setPluginNamespace(const char* name) noexcept override { namespace_.set(name); }
  int32_t getNbOutputs() const noexcept override { return Op::kOutputs; }
  int32_t initialize() noexcept override { return 0; }
  void terminate() noexcept override {}
  void destroy() noexcept override { delete this; }

  PluginV2* clone() const noexcept override {
    PluginV2* const copy = new (std::nothrow) PluginV2(operation_.attributes(), namespace_);
    if (copy) copy->one_image_ = one_image_;
    return copy;
  }

  nvinfer1::DataType getOutputDataType(int32_t, const nvinfer1::DataType* in, int32_t inputs) const noexcept override {
    return Op::kOutputsLikeX && inputs > 0 ? in[0] : nvinfer1::DataType::kFLOAT;
  }

  // A rank of -1 tells the builder that the network is wrong.
  nvinfer1::DimsExprs getOutputDimensions(int32_t index, const nvinfer1::DimsExprs* in, int32_t inputs,
                                          nvinfer1::IExprBuilder& builder) noexcept override {
    nvinfer1::DimsExprs out[Op::kOutputs];
    const Error error = inputs == Op::kInputs && index >= 0 && index < Op::kOutputs
                            ? output_expressions<Op>(operation_.attributes(), in, out, builder)
                            : Error::format("output %d of a node with %d inputs; expected %d inputs, check the network",
                                            index, inputs, Op::kInputs);
    if (!error) return out[index];
    report(error);
    nvinfer1::DimsExprs none{};
    none.nbDims = -1;
    return none;
  }

  bool supportsFormatCombination(int32_t position, const Static* tensors, int32_t inputs,
                                 int32_t outputs) noexcept override {
    if (inputs != Op::kInputs || outputs != Op::kOutputs || position < 0 || position >= inputs + outputs) return false;
    Tensor known[Op::kInputs + Op::kOutputs];
    for (int32_t i = 0; i <= position; ++i) known[i] = tensor_of(tensors[i]);
    return Op::accepts(position, known);
  }

  // Called for each optimisation profile while building, when dimensions may be open, and before a run with new shapes;
  // planning waits for enqueue, which knows the shapes either way and compares them with those of the last plan. There
  // is no way to refuse here, so that the next question, for the workspace, does it.
  void configurePlugin(const Dynamic* in, int32_t inputs, const Dynamic*, int32_t) noexcept override {
    if (inputs == Op::kInputs) one_image_ = report(one_image<Op>(in[0])) == 0;
  }

  size_t getWorkspaceSize(const Static* in, int32_t inputs, const Static* out,
                          int32_t outputs) const noexcept override {
    if (inputs != Op::kInputs || outputs != Op::kOutputs) return 0;
    if (!one_image_) return kTooMuch;
    const Tensors<Op> largest(in, out);
    size_t bytes = 0;
    report(operation_.workspace(largest.in, largest.out, &bytes));
    return bytes;
  }

  int32_t enqueue(const Static* in, const Static* out, const void* const* inputs, void* const* outputs, void* workspace,
                  cudaStream_t stream) noexcept override {
    const Tensors<Op> tensors(in, out);
    return report(operation_.launch(tensors.in, tensors.out, inputs, outputs, workspace, stream));
  }

  size_t getSerializationSize() const noexcept override { return blob_bytes(sizeof(typename Op::Attributes)); }
  void serialize(void* to) const noexcept override {
    write_blob(Op::kTag, &operation_.attributes(), sizeof(typename Op::Attributes), to);
  }

 private:
  static int32_t report(const Error& error) noexcept {
    if (!error) return 0;
    log_error(Op::kName, error);
    return 1;
  }

  // More than any device has: the builder finds no way to run the layer, and says so.
  static constexpr size_t kTooMuch = size_t{1} << 50;

  Operation<Op> operation_;
  Namespace namespace_;
  bool one_image_ = true;
};

template <class Op>
class CreatorV2 final : public nvinfer1::IPluginCreator {
 public:
  const char* getPluginName() const noexcept override { return Op::kName; }
  const char* getPluginVersion() const noexcept override { return "1"; }
  const char* getPluginNamespace() const noexcept override { return namespace_.get(); }
  void setPluginNamespace(const char* name) noexcept override { namespace_.set(name); }
  const nvinfer1::PluginFieldCollection* getFieldNames() noexcept override { return &names_.collection; }

  nvinfer1::IPluginV2* createPlugin(const char*, const nvinfer1::PluginFieldCollection* collection) noexcept override {
    const Fields fields(collection);
    typename Op::Attributes attributes;
    return make(fields.broken ? Error::format("the list of attributes is broken")
                              : parse_fields(Op::table(), fields.rows, fields.count, &attributes),
                attributes);
  }

  nvinfer1::IPluginV2* deserializePlugin(const char*, const void* data, size_t bytes) noexcept override {
    typename Op::Attributes attributes;
    return make(read_blob(Op::kTag, data, bytes, &attributes, sizeof attributes), attributes);
  }

 private:
  nvinfer1::IPluginV2* make(Error error, const typename Op::Attributes& attributes) const noexcept {
    if (!error) error = check_attributes(attributes);
    if (!error) return new (std::nothrow) PluginV2<Op>(attributes, namespace_);
    log_error(Op::kName, error);
    return nullptr;
  }

  FieldNames names_{Op::table()};
  Namespace namespace_;
};

template <class Op>
using Creator = CreatorV2<Op>;

}  // namespace trt
}  // namespace sanp
