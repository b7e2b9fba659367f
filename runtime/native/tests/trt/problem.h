// Random nodes as an exporter writes them, with the results they must have, in double precision.
#pragma once

#include <random>
#include <string>
#include <vector>

#include "tests/trt/node.h"

namespace sanp {
namespace test {

// Numbers with a shape; `half` numbers are rounded to what half precision can hold.
struct Array {
  std::vector<int64_t> dims;
  std::vector<double> values;
  bool half = false;

  size_t elements() const;
  std::vector<char> bytes() const;  // in the type of the array
  Desc desc() const;                // as TensorRT describes it: LINEAR
};

// One node with inputs for a batch, and what its outputs must be: |y - value| <= tolerance per element.
struct Problem {
  std::string op;
  NodeFields attributes;
  std::vector<Array> in;
  std::vector<Array> out;
  std::vector<std::vector<double>> tolerance;
  std::vector<bool> batched;  // inputs whose first dimension is the batch
  std::string description;

  std::vector<Desc> descs(const std::vector<Array>& arrays) const;
};

// Inactive channels of x and weights of channels that no sample opens are NaN: a kernel that reads them shows it.
// The same seed gives the same node for every batch, so one plugin can run several.
Problem random_conv(uint32_t seed, int64_t batch, bool half);
// The same node with images that are so much higher and wider.
Problem larger_conv(uint32_t seed, int64_t batch, bool half, int64_t taller, int64_t wider);
// No saliency is so near to its level that rounding decides about the channel.
Problem random_gate(uint32_t seed, int64_t batch, bool half);

}  // namespace test
}  // namespace sanp
