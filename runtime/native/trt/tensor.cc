// Shape checks whose messages say what to do.
#include "trt/tensor.h"

namespace sanp {
namespace trt {

bool Tensor::known() const noexcept {
  bool all = shape.rank >= 0;
  for (int32_t i = 0; all && i < shape.rank; ++i) all = shape.dims[i] >= 0;
  return all;
}

bool Tensor::is_one_element() const noexcept {
  bool one = shape.rank >= 0;
  for (int32_t i = 0; one && i < shape.rank; ++i) one = shape.dims[i] == 1;
  return one;
}

bool Tensor::has(std::initializer_list<int64_t> dims) const noexcept {
  if (static_cast<size_t>(shape.rank) != dims.size()) return false;
  for (int32_t i = 0; i < shape.rank; ++i)
    if (shape.dims[i] != dims.begin()[i]) return false;
  return true;
}

ShapeText::ShapeText(const Shape<int64_t>& shape) noexcept {
  size_t at = static_cast<size_t>(snprintf(text, sizeof text, "["));
  for (int32_t i = 0; i < shape.rank && at < sizeof text; ++i)
    at += static_cast<size_t>(
        snprintf(text + at, sizeof text - at, i ? ", %lld" : "%lld", static_cast<long long>(shape.dims[i])));
  if (at < sizeof text) snprintf(text + at, sizeof text - at, "]");
}

Error require_dense(const Tensor& t, const char* name, int32_t rank, bool may_be_empty) noexcept {
  bool good = t.shape.rank == rank;
  for (int32_t i = 0; good && i < rank; ++i)
    good = t.shape.dims[i] >= (i == 0 && may_be_empty ? 0 : 1) && t.shape.dims[i] <= INT32_MAX;
  if (good) return {};
  return Error::format("'%s' has shape %s; expected %d positive dimensions below 2^31, check the network", name,
                       ShapeText(t.shape).text, rank);
}

Error require_rows(const Tensor& t, const char* name, int64_t rows, int64_t columns) noexcept {
  if (t.has({rows, columns}) || t.has({1, columns})) return {};
  return Error::format("'%s' has shape %s; expected [%lld, %lld] or one row for all samples, check the network", name,
                       ShapeText(t.shape).text, static_cast<long long>(rows), static_cast<long long>(columns));
}

}  // namespace trt
}  // namespace sanp
