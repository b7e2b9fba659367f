// Tensors and shapes as both adapters see them, and shape arithmetic over numbers or symbols. No TensorRT in here.
#pragma once

#include <stdint.h>

#include <initializer_list>

#include "trt/error.h"

namespace sanp {
namespace trt {

enum class Type { kFloat, kHalf, kOther };

constexpr int32_t kMaxRank = 8;

template <class Value>
struct Shape {
  int32_t rank = 0;
  Value dims[kMaxRank] = {};
};

struct Tensor {
  Type type = Type::kOther;
  bool linear = false;  // dense, in the order of its shape
  Shape<int64_t> shape;

  bool known() const noexcept;  // every dimension is a number
  bool is_one_element() const noexcept;
  bool has(std::initializer_list<int64_t> dims) const noexcept;
};

// "[1, 64, 32, 32]" in a fixed buffer.
struct ShapeText {
  explicit ShapeText(const Shape<int64_t>& shape) noexcept;
  char text[kMaxRank * 22 + 4];
};

// Arithmetic that the shape rules are written in; the adapters have another one over TensorRT's expressions.
struct Numbers {
  using Value = int64_t;
  Value constant(int64_t v) noexcept { return v; }
  Value add(Value a, Value b) noexcept { return a + b; }
  Value subtract(Value a, Value b) noexcept { return a - b; }
  Value multiply(Value a, Value b) noexcept { return a * b; }
  Value floor_divide(Value a, Value b) noexcept { return a / b - (a % b < 0); }
};

// Requires `rank` positive dimensions; the first may be 0 where a batch may be empty. The kernels count in 32 bits.
constexpr bool kMayBeEmpty = true;
Error require_dense(const Tensor& t, const char* name, int32_t rank, bool may_be_empty = false) noexcept;
// Requires [rows or 1, columns].
Error require_rows(const Tensor& t, const char* name, int64_t rows, int64_t columns) noexcept;

}  // namespace trt
}  // namespace sanp
