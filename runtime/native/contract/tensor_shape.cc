// Comparison of shapes, and sentences about them.
#include "contract/tensor_shape.h"

namespace sanp {
namespace {

long long ll(int64_t v) { return static_cast<long long>(v); }

}  // namespace

Shape<int64_t> shape_of(std::initializer_list<int64_t> dims) noexcept {
  Shape<int64_t> shape;
  for (int64_t d : dims) shape.dims[shape.rank++] = d;
  return shape;
}

bool equal(const Shape<int64_t>& shape, std::initializer_list<int64_t> dims) noexcept {
  if (shape.rank < 0 || static_cast<size_t>(shape.rank) != dims.size()) return false;
  for (int32_t i = 0; i < shape.rank; ++i)
    if (shape.dims[i] != dims.begin()[i]) return false;
  return true;
}

bool is_one_element(const Shape<int64_t>& shape) noexcept {
  bool one = shape.rank >= 0;
  for (int32_t i = 0; one && i < shape.rank; ++i) one = shape.dims[i] == 1;
  return one;
}

ShapeText::ShapeText(const Shape<int64_t>& shape) noexcept {
  size_t at = static_cast<size_t>(snprintf(text, sizeof text, "["));
  for (int32_t i = 0; i < shape.rank && at < sizeof text; ++i)
    at += static_cast<size_t>(snprintf(text + at, sizeof text - at, i ? ", %lld" : "%lld", ll(shape.dims[i])));
  if (at < sizeof text) snprintf(text + at, sizeof text - at, "]");
}

ShapeText::ShapeText(std::initializer_list<int64_t> dims) noexcept : ShapeText(shape_of(dims)) {}

Error require_rank(const Shape<int64_t>& shape, const char* name, int32_t rank, bool may_be_empty) noexcept {
  if (shape.rank != rank)
    return Error::format("input '%s' has shape %s; expected %d dimensions, reshape it", name, ShapeText(shape).text,
                         rank);
  for (int32_t i = 0; i < rank; ++i)
    if (shape.dims[i] < (i == 0 && may_be_empty ? 0 : 1) || shape.dims[i] > INT32_MAX)
      return Error::format(
          "input '%s' has shape %s; dimension %d must be at least 1 and below 2^31, pass a tensor that is not empty",
          name, ShapeText(shape).text, i);
  return {};
}

Error require_shape(const Shape<int64_t>& shape, const char* name, std::initializer_list<int64_t> dims,
                    const char* what) noexcept {
  if (equal(shape, dims)) return {};
  return Error::format("input '%s' has shape %s; expected %s (%s), pass the tensors of one gate", name,
                       ShapeText(shape).text, ShapeText(dims).text, what);
}

Error require_rows(const Shape<int64_t>& shape, const char* name, int64_t rows, int64_t columns, const char* what,
                   int64_t* step) noexcept {
  const bool one = equal(shape, {1, columns});
  *step = one ? 0 : columns;
  if (one || equal(shape, {rows, columns})) return {};
  return Error::format(
      "input '%s' has shape %s; expected [%lld, %lld] or [1, %lld], one value per %s; pass one row per sample or one "
      "row for all",
      name, ShapeText(shape).text, ll(rows), ll(columns), ll(columns), what);
}

}  // namespace sanp
