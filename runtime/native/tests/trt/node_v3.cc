// Node over IPluginV3; empty when the libraries have the other interface.
#ifndef SANP_TRT_V2

#include <string.h>

#include "tests/trt/node.h"

namespace sanp {
namespace test {
namespace {

using nvinfer1::PluginCapabilityType;

nvinfer1::IPluginCreatorV3One* creator(const std::string& op) {
  return static_cast<nvinfer1::IPluginCreatorV3One*>(tensorrt().registry.find(op));
}

class NodeV3 final : public Node {
 public:
  NodeV3(std::string op, nvinfer1::IPluginV3* plugin) : op_(std::move(op)), plugin_(plugin) {
    core_ = static_cast<nvinfer1::IPluginV3OneCore*>(plugin->getCapabilityInterface(PluginCapabilityType::kCORE));
    build_ = static_cast<nvinfer1::IPluginV3OneBuild*>(plugin->getCapabilityInterface(PluginCapabilityType::kBUILD));
    runtime_ =
        static_cast<nvinfer1::IPluginV3OneRuntime*>(plugin->getCapabilityInterface(PluginCapabilityType::kRUNTIME));
  }

  static std::unique_ptr<Node> own(const std::string& op, nvinfer1::IPluginV3* plugin) {
    if (plugin == nullptr) return nullptr;
    auto node = std::make_unique<NodeV3>(op, plugin);
    if (node->core_ == nullptr || node->build_ == nullptr || node->runtime_ == nullptr) return nullptr;
    if (op != node->core_->getPluginName() || std::string("1") != node->core_->getPluginVersion() ||
        std::string() != node->core_->getPluginNamespace())
      return nullptr;
    return node;
  }

  std::unique_ptr<Node> clone() override { return own(op_, plugin_->clone()); }
  std::unique_ptr<Node> attach() override { return own(op_, runtime_->attachToContext(nullptr)); }

  bool supports(int32_t position, const std::vector<Dynamic>& tensors, int32_t inputs) override {
    return build_->supportsFormatCombination(position, tensors.data(), inputs,
                                             static_cast<int32_t>(tensors.size()) - inputs);
  }

  bool output_types(const std::vector<nvinfer1::DataType>& in, std::vector<nvinfer1::DataType>* out) override {
    out->resize(static_cast<size_t>(build_->getNbOutputs()));
    return build_->getOutputDataTypes(out->data(), build_->getNbOutputs(), in.data(),
                                      static_cast<int32_t>(in.size())) == 0;
  }

  bool output_shapes(const std::vector<nvinfer1::DimsExprs>& in, FakeBuilder& builder,
                     std::vector<nvinfer1::DimsExprs>* out) override {
    out->resize(static_cast<size_t>(build_->getNbOutputs()));
    return build_->getOutputShapes(in.data(), static_cast<int32_t>(in.size()), nullptr, 0, out->data(),
                                   build_->getNbOutputs(), builder) == 0;
  }

  bool configure(const std::vector<Dynamic>& in, const std::vector<Dynamic>& out) override {
    return build_->configurePlugin(in.data(), static_cast<int32_t>(in.size()), out.data(),
                                   static_cast<int32_t>(out.size())) == 0;
  }

  size_t workspace(const std::vector<Dynamic>& in, const std::vector<Dynamic>& out) override {
    return build_->getWorkspaceSize(in.data(), static_cast<int32_t>(in.size()), out.data(),
                                    static_cast<int32_t>(out.size()));
  }

  bool shape_change(const std::vector<Desc>& in, const std::vector<Desc>& out) override {
    return runtime_->onShapeChange(in.data(), static_cast<int32_t>(in.size()), out.data(),
                                   static_cast<int32_t>(out.size())) == 0;
  }

  int enqueue(const Desc* in, const Desc* out, const void* const* inputs, void* const* outputs, void* workspace,
              cudaStream_t stream) override {
    return runtime_->enqueue(in, out, inputs, outputs, workspace, stream);
  }

  Saved save() override {
    Saved saved{op_, {}, {}};
    const nvinfer1::PluginFieldCollection* const fields = runtime_->getFieldsToSerialize();
    for (int32_t i = 0; i < fields->nbFields; ++i) {
      const nvinfer1::PluginField& f = fields->fields[i];
      const char* const from = static_cast<const char*>(f.data);
      saved.fields.push_back({f.name, f.type, std::vector<char>(from, from + 4 * f.length), f.length});
    }
    return saved;
  }

 private:
  const std::string op_;
  const std::unique_ptr<nvinfer1::IPluginV3> plugin_;
  nvinfer1::IPluginV3OneCore* core_;
  nvinfer1::IPluginV3OneBuild* build_;
  nvinfer1::IPluginV3OneRuntime* runtime_;
};

}  // namespace

std::unique_ptr<Node> create_raw(const std::string& op, const nvinfer1::PluginFieldCollection* fields) {
  return NodeV3::own(op, creator(op)->createPlugin("layer", fields, nvinfer1::TensorRTPhase::kBUILD));
}

std::unique_ptr<Node> load(const Saved& saved) {
  const FieldView view(saved.fields);
  return NodeV3::own(saved.op, creator(saved.op)->createPlugin("layer", view.get(), nvinfer1::TensorRTPhase::kRUNTIME));
}

std::vector<std::string> field_names(const std::string& op) {
  const nvinfer1::PluginFieldCollection* const fields = creator(op)->getFieldNames();
  std::vector<std::string> names;
  for (int32_t i = 0; i < fields->nbFields; ++i) names.push_back(fields->fields[i].name);
  return names;
}

}  // namespace test
}  // namespace sanp

#endif
