// Output shapes of both operators, so that ONNX Runtime can plan memory and keep the symbolic batch.
#include "ort/common/shape_inference.h"

#include <atomic>

#include "contract/gated_qlinear_conv.h"
#include "contract/inverted_residual.h"
#include "contract/max_pool.h"
#include "contract/qlinear_channel_gate.h"

namespace sanp {
namespace {

std::atomic<const OrtApi*> remembered{nullptr};

// Each on its own, for one of them may be a name. Out of a valid range a dimension stays unknown here and compute
// explains it.
void infer_size(const ConvShape& s, int64_t* out_h, int64_t* out_w) {
  int64_t ignored;
  ConvShape rows = s, cols = s;
  rows.width = rows.kernel_w = rows.stride_x = rows.dilation_x = 1;
  rows.pad_left = rows.pad_right = 0;
  cols.height = cols.kernel_h = cols.stride_y = cols.dilation_y = 1;
  cols.pad_top = cols.pad_bottom = 0;
  if (!rows.output_size(out_h, &ignored)) *out_h = -1;
  if (!cols.output_size(&ignored, out_w)) *out_w = -1;
}

// The map that the kernel of input w_at makes of x, with as many channels as input channels_at has rows.
bool conv_shapes(const OrtApi* api, OrtShapeInferContext* context, size_t w_at, size_t channels_at, int type) {
  std::vector<InferDim> x, w, channels;
  int64_t strides[2], pads[4], dilations[2];
  if (!infer_input(api, context, kConvX, &x) || !infer_input(api, context, w_at, &w) || x.size() != 4 ||
      w.size() != 4 || !infer_input(api, context, channels_at, &channels) || channels.empty() ||
      !infer_ints(api, context, "strides", strides, 2) || !infer_ints(api, context, "pads", pads, 4) ||
      !infer_ints(api, context, "dilations", dilations, 2))
    return false;
  std::vector<InferDim> y{x[0], channels[0], {-1, ""}, {-1, ""}};
  infer_size({1, x[2].value, x[3].value, 1, w[2].value, w[3].value, strides[0], strides[1], pads[0], pads[1], pads[2],
              pads[3], dilations[0], dilations[1], 1},
             &y[2].value, &y[3].value);
  infer_output(api, context, 0, y, type);
  return true;
}

bool pool_shapes(const OrtApi* api, OrtShapeInferContext* context) {
  std::vector<InferDim> x;
  int64_t kernel[2], strides[2], pads[4];
  if (!infer_input(api, context, kPoolX, &x) || x.size() != 4 || !infer_ints(api, context, "kernel_shape", kernel, 2) ||
      !infer_ints(api, context, "strides", strides, 2) || !infer_ints(api, context, "pads", pads, 4))
    return false;
  std::vector<InferDim> y{x[0], x[1], {-1, ""}, {-1, ""}};
  infer_size({1, x[2].value, x[3].value, 1, kernel[0], kernel[1], strides[0], strides[1], pads[0], pads[1], pads[2],
              pads[3], 1, 1, 1},
             &y[2].value, &y[3].value);
  infer_output(api, context, 0, y, kOrtUint8);
  return true;
}

bool gate_shapes(const OrtApi* api, OrtShapeInferContext* context, size_t w2_at) {
  std::vector<InferDim> x, w2;
  if (!infer_input(api, context, kGateX, &x) || !infer_input(api, context, w2_at, &w2) || x.size() != 4 ||
      w2.size() != 2)
    return false;
  for (size_t out = 0; out < kGateOutputs; ++out) infer_output(api, context, out, {x[0], w2[0]});
  return true;
}

template <class F>
void best_effort(F infer) {
  const OrtApi* const api = infer_api();
  if (api == nullptr) return;
  try {
    infer(api);
  } catch (...) {
    // An unknown output shape is legal; an exception across the C boundary is not.
  }
}

}  // namespace

void set_infer_api(const OrtApi* api) { remembered.store(api, std::memory_order_release); }
const OrtApi* infer_api() { return remembered.load(std::memory_order_acquire); }

bool infer_input(const OrtApi* api, const OrtShapeInferContext* context, size_t index, std::vector<InferDim>* dims) {
  size_t count = 0;
  if (!succeeded(api, ort::ShapeInferContext_GetInputCount(api, context, &count)) || index >= count) return false;
  OrtTensorTypeAndShapeInfo* info = nullptr;  // owned by the context
  if (!succeeded(api, ort::ShapeInferContext_GetInputTypeShape(api, context, index, &info)) || info == nullptr)
    return false;
  size_t rank = 0;
  if (!succeeded(api, ort::GetDimensionsCount(api, info, &rank)) || rank == 0) return false;
  std::vector<int64_t> values(rank, -1);
  std::vector<const char*> names(rank, nullptr);
  if (!succeeded(api, ort::GetDimensions(api, info, values.data(), rank)) ||
      !succeeded(api, ort::GetSymbolicDimensions(api, info, names.data(), rank)))
    return false;
  dims->clear();
  for (size_t i = 0; i < rank; ++i) dims->push_back({values[i], names[i] ? names[i] : ""});
  return true;
}

bool infer_ints(const OrtApi* api, const OrtShapeInferContext* context, const char* name, int64_t* out, size_t count) {
  const OrtOpAttr* attribute = nullptr;
  if (!succeeded(api, ort::ShapeInferContext_GetAttribute(api, context, name, &attribute)) || attribute == nullptr)
    return false;
  size_t needed = 0;
  return succeeded(api, ort::ReadOpAttr(api, attribute, kOrtAttrInts, static_cast<void*>(out), count * sizeof(int64_t),
                                        &needed)) &&
         needed == count * sizeof(int64_t);
}

void infer_output(const OrtApi* api, OrtShapeInferContext* context, size_t index, const std::vector<InferDim>& dims,
                  int type) {
  OrtTensorTypeAndShapeInfo* info = nullptr;
  if (!succeeded(api, ort::CreateTensorTypeAndShapeInfo(api, &info)) || info == nullptr) return;
  std::vector<int64_t> values;
  std::vector<const char*> names;
  for (const InferDim& d : dims) {
    values.push_back(d.value);
    names.push_back(d.name.c_str());
  }
  if (succeeded(api, ort::SetTensorElementType(api, info, type)) &&
      succeeded(api, ort::SetDimensions(api, info, values.data(), values.size())) &&
      succeeded(api, ort::SetSymbolicDimensions(api, info, names.data(), names.size())))
    succeeded(api, ort::ShapeInferContext_SetOutputTypeShape(api, context, index, info));
  ort::ReleaseTensorTypeAndShapeInfo(api, info);
}

void infer_gated_conv(OrtShapeInferContext* context) {
  best_effort([&](const OrtApi* api) { conv_shapes(api, context, kConvW, kConvW, kOrtFloat); });
}

void infer_channel_gate(OrtShapeInferContext* context) {
  best_effort([&](const OrtApi* api) { gate_shapes(api, context, kGateW2); });
}

void infer_gated_qlinear_conv(OrtShapeInferContext* context) {
  best_effort([&](const OrtApi* api) { conv_shapes(api, context, kQConvW, kQConvW, kOrtUint8); });
}

void infer_inverted_residual(OrtShapeInferContext* context) {
  best_effort([&](const OrtApi* api) { conv_shapes(api, context, kBlockDepthwise, kBlockProject, kOrtFloat); });
}

void infer_max_pool(OrtShapeInferContext* context) {
  best_effort([&](const OrtApi* api) { pool_shapes(api, context); });
}

void infer_qlinear_channel_gate(OrtShapeInferContext* context) {
  best_effort([&](const OrtApi* api) { gate_shapes(api, context, kQGateW2); });
}

}  // namespace sanp
