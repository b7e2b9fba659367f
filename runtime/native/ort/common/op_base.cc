// Tensor views and shape checks with messages that say what to do.
#include "ort/common/op_base.h"

namespace sanp {

std::string shape_text(const int64_t* dims, size_t rank) {
  std::string text = "[";
  for (size_t i = 0; i < rank; ++i) text += (i ? ", " : "") + std::to_string(dims[i]);
  return text + "]";
}

int64_t TensorView::elements() const {
  int64_t n = 1;
  for (size_t i = 0; i < rank; ++i) n *= dims[i];
  return n;
}

std::string TensorView::shape() const { return shape_text(dims, rank); }

namespace {

TensorView view_of(const OrtApi* api, const OrtValue* value, const char* name) {
  int is_tensor = 0;
  check(api, ort::IsTensor(api, value, &is_tensor));
  if (!is_tensor) fail("input '%s' is not a tensor; pass a float32 tensor", name);

  OrtTensorTypeAndShapeInfo* info = nullptr;
  check(api, ort::GetTensorTypeAndShape(api, value, &info));
  struct Release {
    const OrtApi* api;
    OrtTensorTypeAndShapeInfo* info;
    ~Release() { ort::ReleaseTensorTypeAndShapeInfo(api, info); }
  } release{api, info};

  TensorView t{name, 0, {}, nullptr};
  int type = 0;
  check(api, ort::GetTensorElementType(api, info, &type));
  if (type != kOrtFloat) fail("input '%s' has element type %d; expected float32 (1), cast it", name, type);
  check(api, ort::GetDimensionsCount(api, info, &t.rank));
  if (t.rank > TensorView::kMaxRank)
    fail("input '%s' has %zu dimensions; at most 4 are expected, reshape it", name, t.rank);
  check(api, ort::GetDimensions(api, info, static_cast<int64_t*>(t.dims), t.rank));
  void* data = nullptr;
  check(api, ort::GetTensorMutableData(api, const_cast<OrtValue*>(value), &data));
  t.data = static_cast<const float*>(data);
  return t;
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
                        const ConstantInputs* constants) {
  if (const TensorView* const view = constants ? constants->find(index) : nullptr) {
    TensorView t = *view;
    t.name = name;
    return t;
  }
  const OrtValue* value = nullptr;
  check(api, ort::KernelContext_GetInput(api, context, index, &value));
  if (value == nullptr) fail("input '%s' is missing; it is required, re-export the model", name);
  return view_of(api, value, name);
}

float* output_tensor(const OrtApi* api, OrtKernelContext* context, size_t index, const int64_t* dims, size_t rank) {
  OrtValue* value = nullptr;
  check(api, ort::KernelContext_GetOutput(api, context, index, dims, rank, &value));
  if (value == nullptr) fail("output %zu could not be allocated", index);
  void* data = nullptr;
  check(api, ort::GetTensorMutableData(api, value, &data));
  return static_cast<float*>(data);
}

void require_rank(const TensorView& t, size_t rank, int zero_ok) {
  if (t.rank != rank)
    fail("input '%s' has shape %s; expected %zu dimensions, reshape it", t.name, t.shape().c_str(), rank);
  for (size_t i = 0; i < rank; ++i)
    if (t.dims[i] < 1 && !(t.dims[i] == 0 && static_cast<int>(i) == zero_ok))
      fail("input '%s' has shape %s; dimension %zu must be at least 1, pass a tensor that is not empty", t.name,
           t.shape().c_str(), i);
}

int64_t require_rows(const TensorView& t, int64_t rows, int64_t cols, const char* per) {
  if (t.rank != 2 || t.dims[1] != cols || (t.dims[0] != rows && t.dims[0] != 1))
    fail(
        "input '%s' has shape %s; expected [%lld, %lld] or [1, %lld], one value per %s; pass one row per sample or one "
        "row for all",
        t.name, t.shape().c_str(), static_cast<long long>(rows), static_cast<long long>(cols),
        static_cast<long long>(cols), per);
  return t.dims[0] == 1 ? 0 : cols;
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
