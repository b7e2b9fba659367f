// Node over IPluginV2DynamicExt; empty when the libraries have the other interface.
#ifdef SANP_TRT_V2

#include <string.h>

#include "tests/trt/node.h"

namespace sanp {
namespace test {
namespace {

nvinfer1::IPluginCreator* creator(const std::string& op) {
  return static_cast<nvinfer1::IPluginCreator*>(tensorrt().registry.find(op));
}

std::vector<Desc> largest(const std::vector<Dynamic>& tensors) {
  std::vector<Desc> all;
  for (const Dynamic& t : tensors) {
    all.push_back(t.desc);
    all.back().dims = t.max;
  }
  return all;
}

class NodeV2 final : public Node {
 public:
  explicit NodeV2(nvinfer1::IPluginV2DynamicExt* plugin) : plugin_(plugin) {}

  static std::unique_ptr<Node> own(const std::string& op, nvinfer1::IPluginV2* plugin) {
    if (plugin == nullptr) return nullptr;
    auto node = std::make_unique<NodeV2>(static_cast<nvinfer1::IPluginV2DynamicExt*>(plugin));
    if (op != plugin->getPluginType() || std::string("1") != plugin->getPluginVersion() ||
        std::string() != plugin->getPluginNamespace() || plugin->initialize() != 0)
      return nullptr;
    plugin->setPluginNamespace("elsewhere");
    if (std::string("elsewhere") != plugin->getPluginNamespace()) return nullptr;
    plugin->setPluginNamespace("");
    return node;
  }

  std::unique_ptr<Node> clone() override { return own(plugin_->getPluginType(), plugin_->clone()); }

  std::unique_ptr<Node> attach() override {
    std::unique_ptr<Node> copy = clone();
    if (copy) static_cast<NodeV2&>(*copy).plugin_->attachToContext(nullptr, nullptr, nullptr);
    return copy;
  }

  bool supports(int32_t position, const std::vector<Dynamic>& tensors, int32_t inputs) override {
    std::vector<Desc> all;
    for (const Dynamic& t : tensors) all.push_back(t.desc);
    return plugin_->supportsFormatCombination(position, all.data(), inputs, static_cast<int32_t>(all.size()) - inputs);
  }

  bool output_types(const std::vector<nvinfer1::DataType>& in, std::vector<nvinfer1::DataType>* out) override {
    out->clear();
    for (int32_t i = 0; i < plugin_->getNbOutputs(); ++i)
      out->push_back(plugin_->getOutputDataType(i, in.data(), static_cast<int32_t>(in.size())));
    return true;
  }

  bool output_shapes(const std::vector<nvinfer1::DimsExprs>& in, FakeBuilder& builder,
                     std::vector<nvinfer1::DimsExprs>* out) override {
    out->clear();
    for (int32_t i = 0; i < plugin_->getNbOutputs(); ++i)
      out->push_back(plugin_->getOutputDimensions(i, in.data(), static_cast<int32_t>(in.size()), builder));
    return out->front().nbDims >= 0;
  }

  bool configure(const std::vector<Dynamic>& in, const std::vector<Dynamic>& out) override {
    plugin_->configurePlugin(in.data(), static_cast<int32_t>(in.size()), out.data(), static_cast<int32_t>(out.size()));
    return true;
  }

  size_t workspace(const std::vector<Dynamic>& in, const std::vector<Dynamic>& out) override {
    const std::vector<Desc> i = largest(in), o = largest(out);
    return plugin_->getWorkspaceSize(i.data(), static_cast<int32_t>(i.size()), o.data(),
                                     static_cast<int32_t>(o.size()));
  }

  // TensorRT 8 configures again; nothing answers.
  bool shape_change(const std::vector<Desc>& in, const std::vector<Desc>& out) override {
    const auto exact = [](const std::vector<Desc>& tensors) {
      std::vector<Dynamic> all;
      for (const Desc& t : tensors) {
        Dynamic d{};
        d.desc = t;
        d.min = d.max = t.dims;
        all.push_back(d);
      }
      return all;
    };
    return configure(exact(in), exact(out));
  }

  int enqueue(const Desc* in, const Desc* out, const void* const* inputs, void* const* outputs, void* workspace,
              cudaStream_t stream) override {
    return plugin_->enqueue(in, out, inputs, outputs, workspace, stream);
  }

  Saved save() override {
    Saved saved{plugin_->getPluginType(), {}, std::vector<char>(plugin_->getSerializationSize())};
    plugin_->serialize(saved.bytes.data());
    return saved;
  }

 private:
  struct Destroy {
    void operator()(nvinfer1::IPluginV2DynamicExt* p) const {
      p->detachFromContext();
      p->terminate();
      p->destroy();
    }
  };
  const std::unique_ptr<nvinfer1::IPluginV2DynamicExt, Destroy> plugin_;
};

}  // namespace

std::unique_ptr<Node> create_raw(const std::string& op, const nvinfer1::PluginFieldCollection* fields) {
  return NodeV2::own(op, creator(op)->createPlugin("layer", fields));
}

std::unique_ptr<Node> load(const Saved& saved) {
  // Exactly the bytes, so that reading one more is seen by sanitizers.
  const std::unique_ptr<char[]> exact(new char[saved.bytes.size()]);
  memcpy(exact.get(), saved.bytes.data(), saved.bytes.size());
  return NodeV2::own(saved.op, creator(saved.op)->deserializePlugin("layer", exact.get(), saved.bytes.size()));
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
