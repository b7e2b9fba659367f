// Views of tensors, and the pool of a session.
#include "ort/common/op_base.h"

namespace sanp {

int64_t TensorView::elements() const {
  int64_t n = 1;
  for (int32_t i = 0; i < shape.rank; ++i) n *= shape.dims[i];
  return n;
}

namespace {

TensorView view_of(const OrtApi* api, const OrtValue* value, const char* name) {
  int is_tensor = 0;
  check(api, ort::IsTensor(api, value, &is_tensor));
  if (!is_tensor) fail("input '%s' is not a tensor; pass a tensor", name);

  OrtTensorTypeAndShapeInfo* info = nullptr;
  check(api, ort::GetTensorTypeAndShape(api, value, &info));
  struct Release {
    const OrtApi* api;
    OrtTensorTypeAndShapeInfo* info;
    ~Release() { ort::ReleaseTensorTypeAndShapeInfo(api, info); }
  } release{api, info};

  TensorView t;
  check(api, ort::GetTensorElementType(api, info, &t.type));
  size_t rank = 0;
  check(api, ort::GetDimensionsCount(api, info, &rank));
  if (rank > kMaxRank) fail("input '%s' has %zu dimensions; at most 4 are expected, reshape it", name, rank);
  t.shape.rank = static_cast<int32_t>(rank);
  check(api, ort::GetDimensions(api, info, static_cast<int64_t*>(t.shape.dims), rank));
  void* data = nullptr;
  check(api, ort::GetTensorMutableData(api, const_cast<OrtValue*>(value), &data));
  t.bytes = data;
  return t;
}

const TensorView& of_type(const TensorView& view, const char* name, int type) {
  const char* const names[] = {"", "float32 (1)", "uint8 (2)", "int8 (3)"};
  if (view.type != type) fail("input '%s' has element type %d; expected %s, cast it", name, view.type, names[type]);
  return view;
}

}  // namespace

ConstantInputs::ConstantInputs(const OrtApi* api, const OrtKernelInfo* info, size_t inputs) : view_{} {
  for (size_t i = 0; i < inputs && i < kMost; ++i) {
    int constant = 0;
    const OrtValue* value = nullptr;
    if (!succeeded(api, ort::KernelInfoGetConstantInput_tensor(api, info, i, &constant, &value))) continue;
    if (constant == 0 || value == nullptr) continue;
    try {
      view_[i] = view_of(api, value, "");
    } catch (const OpError&) {  // the run finds the same and can name the input
    }
  }
}

TensorView input_tensor(const OrtApi* api, const OrtKernelContext* context, size_t index, const char* name,
                        const ConstantInputs* constants, int type) {
  if (const TensorView* const view = constants ? constants->find(index) : nullptr) return of_type(*view, name, type);
  const OrtValue* value = nullptr;
  check(api, ort::KernelContext_GetInput(api, context, index, &value));
  if (value == nullptr) fail("input '%s' is missing; it is required, re-export the model", name);
  return of_type(view_of(api, value, name), name, type);
}

bool optional_input(const OrtApi* api, const OrtKernelContext* context, size_t index, const char* name,
                    const ConstantInputs* constants, TensorView* view) {
  if (const TensorView* const known = constants ? constants->find(index) : nullptr) {
    *view = of_type(*known, name, kOrtFloat);
    return true;
  }
  const OrtValue* value = nullptr;
  check(api, ort::KernelContext_GetInput(api, context, index, &value));
  if (value == nullptr) return false;
  *view = of_type(view_of(api, value, name), name, kOrtFloat);
  return true;
}

void* output_bytes(const OrtApi* api, OrtKernelContext* context, size_t index, const int64_t* dims, size_t rank) {
  OrtValue* value = nullptr;
  check(api, ort::KernelContext_GetOutput(api, context, index, dims, rank, &value));
  if (value == nullptr) fail("output %zu could not be allocated", index);
  void* data = nullptr;
  check(api, ort::GetTensorMutableData(api, value, &data));
  return data;
}

Pool session_pool(const OrtApi* api, const OrtKernelContext* context, PoolContext* storage) {
  *storage = PoolContext{api, context};
  return Pool{[](void* pool, Pool::Task task, size_t count, void* arg) {
                const auto* p = static_cast<const PoolContext*>(pool);
                OrtStatus* status = ort::KernelContext_ParallelFor(p->api, p->context, task, count, size_t{0}, arg);
                if (status == nullptr) return;
                // Refused before any task ran (it only checks its arguments), so running them here is complete.
                ort::ReleaseStatus(p->api, status);
                for (size_t i = 0; i < count; ++i) task(arg, i);
              },
              storage};
}

}  // namespace sanp
