// One random problem for the gated int8 convolution, its exact reference, and the check against it.
#pragma once

#include <random>
#include <string>
#include <vector>

#include "cpu/int8/conv/int8_conv.h"
#include "tests/cpu/check.h"

namespace sanp {
namespace test {

// Bytes that end exactly where an unmapped page begins.
class GuardedBytes {
 public:
  explicit GuardedBytes(size_t n, uint8_t value = 0) : n_(n), floats_((n + 3) / 4) {
    for (size_t i = 0; i < n; ++i) data()[i] = value;
  }
  uint8_t* data() { return reinterpret_cast<uint8_t*>(floats_.data() + floats_.size()) - n_; }
  const uint8_t* data() const { return reinterpret_cast<const uint8_t*>(floats_.data() + floats_.size()) - n_; }
  size_t size() const { return n_; }
  uint8_t& operator[](size_t i) { return data()[i]; }
  uint8_t operator[](size_t i) const { return data()[i]; }

 private:
  size_t n_;
  GuardedFloats floats_;
};

enum class Int8Values { kRandom, kCorners };

struct Int8Case {
  ConvShape shape;
  int64_t batch, out_h, out_w;
  Int8Call call;
  // Inactive channels of x hold what must not be read as a pixel.
  GuardedBytes x, w, residual;
  GuardedFloats w_scale, scale, shift, in_active;

  // openness: the chance of a row or channel to be open. Corners: pixels 0 and 255, weights -127 and 127.
  Int8Case(const ConvShape& s, int64_t n, double openness, Int8Values values, std::mt19937& rng);

  // y for one set of kernels. Weights of rows that are closed in every sample are changed after they were prepared.
  std::vector<uint8_t> run(const Int8Kernels& isa, const Pool& pool) const;
  // From sums in 64 bits over all channels; fails where they do not fit 32.
  std::vector<uint8_t> expected() const;
  std::string text() const;
};

ConvShape random_int8_shape(std::mt19937& rng);
// Fails with the case and the place where bytes differ.
void require_same_bytes(const Int8Case& c, const std::vector<uint8_t>& got, const std::vector<uint8_t>& expected,
                        const std::string& what);

}  // namespace test
}  // namespace sanp
