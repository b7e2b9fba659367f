// One plugin as TensorRT handles it, the same for both plugin interfaces: node_v2.cc or node_v3.cc is compiled.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "tests/trt/fake_tensorrt.h"

namespace sanp {
namespace test {

using Desc = nvinfer1::PluginTensorDesc;
using Dynamic = nvinfer1::DynamicPluginTensorDesc;

// An attribute as a parser passes it, owning its bytes. Tests of damage change any part.
struct NodeField {
  std::string name;
  nvinfer1::PluginFieldType type;
  std::vector<char> bytes;
  int32_t length;

  static NodeField ints(const char* name, std::vector<int32_t> values);
  static NodeField real(const char* name, float value);
};
using NodeFields = std::vector<NodeField>;

// A plugin inside an engine file: fields for V3, bytes for V2.
struct Saved {
  std::string op;
  NodeFields fields;
  std::vector<char> bytes;
  bool operator==(const Saved& other) const;
};

class Node {
 public:
  virtual ~Node() = default;
  virtual std::unique_ptr<Node> clone() = 0;
  virtual std::unique_ptr<Node> attach() = 0;  // the copy that an execution context works with
  virtual bool supports(int32_t position, const std::vector<Dynamic>& tensors, int32_t inputs) = 0;
  virtual bool output_types(const std::vector<nvinfer1::DataType>& in, std::vector<nvinfer1::DataType>* out) = 0;
  virtual bool output_shapes(const std::vector<nvinfer1::DimsExprs>& in, FakeBuilder& builder,
                             std::vector<nvinfer1::DimsExprs>* out) = 0;
  virtual bool configure(const std::vector<Dynamic>& in, const std::vector<Dynamic>& out) = 0;
  virtual size_t workspace(const std::vector<Dynamic>& in, const std::vector<Dynamic>& out) = 0;
  virtual bool shape_change(const std::vector<Desc>& in, const std::vector<Desc>& out) = 0;
  virtual int enqueue(const Desc* in, const Desc* out, const void* const* inputs, void* const* outputs, void* workspace,
                      cudaStream_t stream) = 0;
  virtual Saved save() = 0;
};

// What the registry's creator makes of these fields: null when it refuses.
std::unique_ptr<Node> create_raw(const std::string& op, const nvinfer1::PluginFieldCollection* fields);
// As a network parser does it: only attributes that the creator names are passed.
std::unique_ptr<Node> create(const std::string& op, const NodeFields& attributes);
std::unique_ptr<Node> load(const Saved& saved);

// The names that a creator asks for.
std::vector<std::string> field_names(const std::string& op);

// Borrowed view of owned fields.
class FieldView {
 public:
  explicit FieldView(const NodeFields& fields);
  const nvinfer1::PluginFieldCollection* get() const { return &collection_; }
  std::vector<nvinfer1::PluginField> rows;

 private:
  nvinfer1::PluginFieldCollection collection_;
};

}  // namespace test
}  // namespace sanp
