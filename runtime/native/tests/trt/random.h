// Random numbers that survive a conversion to the type they are meant for.
#pragma once

#include <random>
#include <utility>

#include "tests/trt/half.h"
#include "tests/trt/problem.h"

namespace sanp {
namespace test {

class Random {
 public:
  explicit Random(uint32_t seed) : engine_(seed) {}
  int64_t pick(int64_t low, int64_t high) {
    return low + static_cast<int64_t>(engine_() % static_cast<uint64_t>(high - low + 1));
  }
  double real() { return static_cast<double>(engine_()) / 4294967296.0; }
  // Rounded to the type, so that reference and kernel start from the same numbers.
  double value(bool half) {
    const float f = static_cast<float>(std::normal_distribution<double>()(engine_));
    return half ? float_of_half(half_of_float(f)) : f;
  }
  Array array(std::vector<int64_t> dims, bool half) {
    Array a{std::move(dims), {}, half};
    a.values.resize(a.elements());
    for (double& v : a.values) v = value(half);
    return a;
  }

 private:
  std::mt19937 engine_;
};

}  // namespace test
}  // namespace sanp
