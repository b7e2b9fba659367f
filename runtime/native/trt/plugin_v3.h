// An operator as IPluginV3, the plugin interface since TensorRT 10.
#pragma once

#include <new>

#include "trt/attributes.h"
#include "trt/host.h"
#include "trt/nv_types.h"
#include "trt/operation.h"

namespace sanp {
namespace trt {

template <class Op>
class PluginV3 final : public nvinfer1::IPluginV3,
                       public nvinfer1::IPluginV3OneCore,
                       public nvinfer1::IPluginV3OneBuild,
                       public nvinfer1::IPluginV3OneRuntime {
  using Dynamic = nvinfer1::DynamicPluginTensorDesc;
  using Static = nvinfer1::PluginTensorDesc;

 public:
  explicit PluginV3(const typename Op::Attributes& attributes) noexcept : operation_(attributes) {
    describe_attributes(Op::table(), &attributes, metadata_, sizeof metadata_);
  }

  nvinfer1::IPluginCapability* getCapabilityInterface(nvinfer1::PluginCapabilityType type) noexcept override {
    switch (type) {
      case nvinfer1::PluginCapabilityType::kCORE:
        return static_cast<nvinfer1::IPluginV3OneCore*>(this);
      case nvinfer1::PluginCapabilityType::kBUILD:
        return static_cast<nvinfer1::IPluginV3OneBuild*>(this);
      case nvinfer1::PluginCapabilityType::kRUNTIME:
        return static_cast<nvinfer1::IPluginV3OneRuntime*>(this);
    }
    return nullptr;
  }

  nvinfer1::IPluginV3* clone() noexcept override { return new (std::nothrow) PluginV3(operation_.attributes()); }
  nvinfer1::IPluginV3* attachToContext(nvinfer1::IPluginResourceContext*) noexcept override { return clone(); }

  const char* getPluginName() const noexcept override { return Op::kName; }
  const char* getPluginVersion() const noexcept override { return "1"; }
  const char* getPluginNamespace() const noexcept override { return ""; }

  int32_t getNbOutputs() const noexcept override { return Op::kOutputs; }

  int32_t getOutputDataTypes(nvinfer1::DataType* types, int32_t outputs, const nvinfer1::DataType* in,
                             int32_t inputs) const noexcept override {
    if (inputs != Op::kInputs || outputs != Op::kOutputs) return report(wrong_count(inputs, outputs));
    for (int32_t i = 0; i < outputs; ++i) types[i] = Op::kOutputsLikeX ? in[0] : nvinfer1::DataType::kFLOAT;
    return 0;
  }

  int32_t getOutputShapes(const nvinfer1::DimsExprs* in, int32_t inputs, const nvinfer1::DimsExprs*, int32_t,
                          nvinfer1::DimsExprs* out, int32_t outputs,
                          nvinfer1::IExprBuilder& builder) noexcept override {
    if (inputs != Op::kInputs || outputs != Op::kOutputs) return report(wrong_count(inputs, outputs));
    return report(output_expressions<Op>(operation_.attributes(), in, out, builder));
  }

  bool supportsFormatCombination(int32_t position, const Dynamic* tensors, int32_t inputs,
                                 int32_t outputs) noexcept override {
    if (inputs != Op::kInputs || outputs != Op::kOutputs || position < 0 || position >= inputs + outputs) return false;
    Tensor known[Op::kInputs + Op::kOutputs];
    for (int32_t i = 0; i <= position; ++i) known[i] = tensor_of(tensors[i].desc);
    return Op::accepts(position, known);
  }

  // The largest shapes of a profile. A network that contradicts itself, or a layer the kernels do not have, ends the
  // build here and not in the first run.
  int32_t configurePlugin(const Dynamic* in, int32_t inputs, const Dynamic* out, int32_t outputs) noexcept override {
    if (inputs != Op::kInputs || outputs != Op::kOutputs) return report(wrong_count(inputs, outputs));
    if (const Error e = one_image<Op>(in[0])) return report(e);
    const Tensors<Op> largest(in, out);
    size_t bytes = 0;
    return largest.known() ? report(operation_.workspace(largest.in, largest.out, &bytes)) : 0;
  }

  size_t getWorkspaceSize(const Dynamic* in, int32_t, const Dynamic* out, int32_t) const noexcept override {
    const Tensors<Op> largest(in, out);
    size_t bytes = 0;
    report(operation_.workspace(largest.in, largest.out, &bytes));
    return bytes;
  }

  int32_t onShapeChange(const Static* in, int32_t inputs, const Static* out, int32_t outputs) noexcept override {
    if (inputs != Op::kInputs || outputs != Op::kOutputs) return report(wrong_count(inputs, outputs));
    const Tensors<Op> tensors(in, out);
    return report(operation_.prepare(tensors.in, tensors.out));
  }

  int32_t enqueue(const Static* in, const Static* out, const void* const* inputs, void* const* outputs, void* workspace,
                  cudaStream_t stream) noexcept override {
    const Tensors<Op> tensors(in, out);
    return report(operation_.launch(tensors.in, tensors.out, inputs, outputs, workspace, stream));
  }

  const nvinfer1::PluginFieldCollection* getFieldsToSerialize() noexcept override {
    const AttributeTable& table = Op::table();
    for (int32_t i = 0; i < table.count; ++i) saved_rows_[i] = field_of(table.rows[i], &operation_.attributes());
    SanpCudaDevice device;
    const bool sized = sanp_cuda_device(&device) == SANP_CUDA_OK;
    saved_rows_[table.count] = {kVersionField, sized ? &kVersion : &kUnsizedVersion, nvinfer1::PluginFieldType::kINT32,
                                1};
    saved_ = {table.count + 1, saved_rows_};
    return &saved_;
  }

  // Shown by engine inspectors. There is no timing cache id: timings would outlive a change of the kernels.
  const char* getMetadataString() noexcept override { return metadata_; }

 private:
  static constexpr int32_t kVersion = SANP_CUDA_ABI_VERSION;

  static Error wrong_count(int32_t inputs, int32_t outputs) noexcept {
    return Error::format("the node has %d inputs and %d outputs; expected %d and %d, re-export the model", inputs,
                         outputs, Op::kInputs, Op::kOutputs);
  }

  static int32_t report(const Error& error) noexcept {
    if (!error) return 0;
    log_error(Op::kName, error);
    return 1;
  }

  Operation<Op> operation_;
  char metadata_[256];
  nvinfer1::PluginField saved_rows_[Fields::kMax];
  nvinfer1::PluginFieldCollection saved_{0, nullptr};
};

template <class Op>
class CreatorV3 final : public nvinfer1::IPluginCreatorV3One {
 public:
  const char* getPluginName() const noexcept override { return Op::kName; }
  const char* getPluginVersion() const noexcept override { return "1"; }
  const char* getPluginNamespace() const noexcept override { return ""; }
  const nvinfer1::PluginFieldCollection* getFieldNames() noexcept override { return &names_.collection; }

  nvinfer1::IPluginV3* createPlugin(const char*, const nvinfer1::PluginFieldCollection* collection,
                                    nvinfer1::TensorRTPhase phase) noexcept override {
    const Fields fields(collection);
    typename Op::Attributes attributes;
    Error error = fields.broken ? Error::format("the list of attributes is broken")
                  : phase == nvinfer1::TensorRTPhase::kRUNTIME
                      ? parse_saved_fields(Op::table(), fields.rows, fields.count, &attributes)
                      : parse_fields(Op::table(), fields.rows, fields.count, &attributes);
    if (!error) error = check_attributes(attributes);
    if (!error) return new (std::nothrow) PluginV3<Op>(attributes);
    log_error(Op::kName, error);
    return nullptr;
  }

 private:
  FieldNames names_{Op::table()};
};

template <class Op>
using Creator = CreatorV3<Op>;

}  // namespace trt
}  // namespace sanp
