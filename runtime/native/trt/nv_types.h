// TensorRT's descriptors and fields as the plain types of this folder.
#pragma once

#include <NvInferRuntime.h>

#include "trt/fields.h"
#include "trt/tensor.h"

#if NV_TENSORRT_MAJOR < 10 && !defined(SANP_TRT_V2)
#error "TensorRT 8 has IPluginV2DynamicExt only; compile with SANP_TRT_V2, as CMakeLists.txt does"
#endif

namespace sanp {
namespace trt {

inline Tensor tensor_of(const nvinfer1::Dims& dims, nvinfer1::DataType type, nvinfer1::TensorFormat format) noexcept {
  Tensor t;
  t.type = type == nvinfer1::DataType::kFLOAT  ? Type::kFloat
           : type == nvinfer1::DataType::kHALF ? Type::kHalf
                                               : Type::kOther;
  t.linear = format == nvinfer1::TensorFormat::kLINEAR;
  t.shape.rank = dims.nbDims >= 0 && dims.nbDims <= kMaxRank ? dims.nbDims : -1;
  for (int32_t i = 0; i < t.shape.rank; ++i) t.shape.dims[i] = dims.d[i];
  return t;
}

inline Tensor tensor_of(const nvinfer1::PluginTensorDesc& d) noexcept { return tensor_of(d.dims, d.type, d.format); }

// What a plan has to hold for: the largest shapes.
inline Tensor tensor_of(const nvinfer1::DynamicPluginTensorDesc& d) noexcept {
  return tensor_of(d.max, d.desc.type, d.desc.format);
}

// All tensors of one node.
template <class Op>
struct Tensors {
  Tensor in[Op::kInputs], out[Op::kOutputs];

  template <class Desc>
  Tensors(const Desc* inputs, const Desc* outputs) noexcept {
    for (int32_t i = 0; i < Op::kInputs; ++i) in[i] = tensor_of(inputs[i]);
    for (int32_t i = 0; i < Op::kOutputs; ++i) out[i] = tensor_of(outputs[i]);
  }

  // False while a builder has not decided a dimension.
  bool known() const noexcept {
    bool all = true;
    for (const Tensor& t : in) all = all && t.known();
    for (const Tensor& t : out) all = all && t.known();
    return all;
  }
};

// The fields of a collection; `broken` when it cannot be one of ours.
struct Fields {
  static constexpr int32_t kMax = 32;
  Field rows[kMax];
  int32_t count = 0;
  bool broken = false;

  explicit Fields(const nvinfer1::PluginFieldCollection* from) noexcept {
    broken = from == nullptr || from->nbFields < 0 || from->nbFields > kMax ||
             (from->nbFields > 0 && from->fields == nullptr);
    if (broken) return;
    for (; count < from->nbFields; ++count) {
      const nvinfer1::PluginField& f = from->fields[count];
      rows[count] = {f.name, kind_of(f.type), f.length, f.data};
    }
  }

  static FieldKind kind_of(nvinfer1::PluginFieldType type) noexcept {
    switch (type) {
      case nvinfer1::PluginFieldType::kINT32:
        return FieldKind::kInt32;
      case nvinfer1::PluginFieldType::kFLOAT32:
        return FieldKind::kFloat32;
#if NV_TENSORRT_MAJOR >= 10
      case nvinfer1::PluginFieldType::kINT64:
        return FieldKind::kInt64;
#endif
      default:
        return FieldKind::kOther;
    }
  }
};

// An attribute as a field: of a list that names what is expected (data null), or of one that is saved.
inline nvinfer1::PluginField field_of(const Attribute& a, const void* attributes) noexcept {
  const void* const data = attributes ? static_cast<const char*>(attributes) + a.offset : nullptr;
  const auto type = a.is_float ? nvinfer1::PluginFieldType::kFLOAT32 : nvinfer1::PluginFieldType::kINT32;
  return {a.name, data, type, a.count};
}

// What a creator asks the network parser for.
struct FieldNames {
  nvinfer1::PluginField rows[Fields::kMax];
  nvinfer1::PluginFieldCollection collection{0, rows};

  explicit FieldNames(const AttributeTable& table) noexcept {
    for (; collection.nbFields < table.count; ++collection.nbFields)
      rows[collection.nbFields] = field_of(table.rows[collection.nbFields], nullptr);
  }
  FieldNames(const FieldNames&) = delete;
  FieldNames& operator=(const FieldNames&) = delete;
};

// Shape arithmetic over the builder's expressions. A null result, which a builder gives when it is out of memory, stays
// null.
struct Expressions {
  using Value = const nvinfer1::IDimensionExpr*;
  nvinfer1::IExprBuilder& builder;

  Value constant(int64_t v) noexcept { return builder.constant(static_cast<Integer>(v)); }
  Value add(Value a, Value b) noexcept { return operation(nvinfer1::DimensionOperation::kSUM, a, b); }
  Value subtract(Value a, Value b) noexcept { return operation(nvinfer1::DimensionOperation::kSUB, a, b); }
  Value multiply(Value a, Value b) noexcept { return operation(nvinfer1::DimensionOperation::kPROD, a, b); }
  Value floor_divide(Value a, Value b) noexcept { return operation(nvinfer1::DimensionOperation::kFLOOR_DIV, a, b); }

 private:
#if NV_TENSORRT_MAJOR >= 10
  using Integer = int64_t;
#else
  using Integer = int32_t;
#endif
  Value operation(nvinfer1::DimensionOperation op, Value a, Value b) noexcept {
    return a && b ? builder.operation(op, *a, *b) : nullptr;
  }
};

// An error if height or width of 'x' vary within an optimisation profile and the operator cannot have that.
template <class Op>
Error one_image(const nvinfer1::DynamicPluginTensorDesc& x) noexcept {
  if (!Op::kFixedImage || x.min.nbDims != 4 || x.max.nbDims != 4) return {};
  if (x.min.d[2] == x.max.d[2] && x.min.d[3] == x.max.d[3]) return {};
  return Error::format("'x' is %lld x %lld to %lld x %lld in one optimisation profile; give each size a profile",
                       static_cast<long long>(x.min.d[2]), static_cast<long long>(x.min.d[3]),
                       static_cast<long long>(x.max.d[2]), static_cast<long long>(x.max.d[3]));
}

// Output shapes of a node as expressions.
template <class Op>
Error output_expressions(const typename Op::Attributes& attributes, const nvinfer1::DimsExprs* inputs,
                         nvinfer1::DimsExprs* outputs, nvinfer1::IExprBuilder& builder) noexcept {
  Shape<Expressions::Value> in[Op::kInputs], out[Op::kOutputs];
  for (int32_t i = 0; i < Op::kInputs; ++i) {
    in[i].rank = inputs[i].nbDims >= 0 && inputs[i].nbDims <= kMaxRank ? inputs[i].nbDims : -1;
    for (int32_t j = 0; j < in[i].rank; ++j) in[i].dims[j] = inputs[i].d[j];
  }
  Expressions expressions{builder};
  if (!Op::output_shapes(attributes, in, out, expressions))
    return Error::format("an input has the wrong number of dimensions; check the network");
  for (int32_t i = 0; i < Op::kOutputs; ++i) {
    outputs[i].nbDims = out[i].rank;
    for (int32_t j = 0; j < out[i].rank; ++j) {
      if (out[i].dims[j] == nullptr) return Error::format("the builder gave no expression for an output");
      outputs[i].d[j] = out[i].dims[j];
    }
  }
  return {};
}

}  // namespace trt
}  // namespace sanp
