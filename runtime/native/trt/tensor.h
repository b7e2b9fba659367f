// Tensors and shapes as both adapters see them, and shape arithmetic over numbers or symbols. No TensorRT in here.
#pragma once

#include <stdint.h>

#include "contract/tensor_shape.h"

namespace sanp {
namespace trt {

enum class Type { kFloat, kHalf, kOther };

struct Tensor {
  Type type = Type::kOther;
  bool linear = false;  // dense, in the order of its shape
  Shape<int64_t> shape;

  bool known() const noexcept {  // every dimension is a number
    bool all = shape.rank >= 0;
    for (int32_t i = 0; all && i < shape.rank; ++i) all = shape.dims[i] >= 0;
    return all;
  }
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

}  // namespace trt
}  // namespace sanp
