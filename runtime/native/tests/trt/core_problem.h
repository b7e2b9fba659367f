// Shapes of random gated convolutions, for the tests that need no TensorRT.
#pragma once

#include <math.h>

#include <random>

#include "trt/attributes.h"
#include "trt/tensor.h"

namespace sanp {
namespace test {

using namespace sanp::trt;

inline Tensor tensor(std::initializer_list<int64_t> dims, Type type = Type::kFloat) {
  Tensor t;
  t.type = type;
  t.linear = true;
  for (int64_t d : dims) t.shape.dims[t.shape.rank++] = d;
  return t;
}

// Positions of a window by trying them all: what the closed formula has to count.
inline int64_t windows(int64_t size, int64_t before, int64_t after, int64_t kernel, int64_t dilation, int64_t stride) {
  int64_t n = 0;
  for (int64_t at = -before; at + dilation * (kernel - 1) < size + after; at += stride) ++n;
  return n;
}

struct Problem {
  ConvAttributes a;
  Tensor in[6], out[1];
};

inline Problem random_problem(std::mt19937& rng) {
  const auto pick = [&](int low, int high) {
    return low + static_cast<int>(rng() % static_cast<unsigned>(high - low + 1));
  };
  for (;;) {
    Problem p;
    const int64_t n = pick(1, 4), group = pick(1, 3), ci = group * pick(1, 9), co = group * pick(1, 9);
    int64_t size[2], kernel[2], out[2];
    for (int i = 0; i < 2; ++i) {
      size[i] = pick(1, 20);
      kernel[i] = pick(1, 5);
      p.a.strides[i] = pick(1, 3);
      p.a.dilations[i] = pick(1, 3);
      p.a.pads[i] = pick(0, 3);
      p.a.pads[2 + i] = pick(0, 3);
      out[i] = windows(size[i], p.a.pads[i], p.a.pads[2 + i], kernel[i], p.a.dilations[i], p.a.strides[i]);
    }
    if (out[0] < 1 || out[1] < 1) continue;
    p.a.group = static_cast<int32_t>(group);
    p.a.weight_order = pick(0, 1);
    p.a.act_max = INFINITY;
    p.in[0] = tensor({n, ci, size[0], size[1]});
    p.in[1] = p.a.weight_order ? tensor({kernel[0], kernel[1], ci / group, co})
                               : tensor({co, ci / group, kernel[0], kernel[1]});
    p.in[2] = tensor({pick(0, 1) ? n : 1, co});
    p.in[3] = tensor({pick(0, 1) ? n : 1, co});
    p.in[4] = tensor({pick(0, 1) ? n : 1, ci});
    p.out[0] = tensor({n, co, out[0], out[1]});
    p.in[5] = pick(0, 1) ? p.out[0] : pick(0, 1) ? tensor({1}) : pick(0, 1) ? tensor({}) : tensor({1, 1, 1, 1});
    return p;
  }
}

}  // namespace test
}  // namespace sanp
