// kDepthwiseInPlace: vectors over the input as it lies, and which lanes of each tap are inside the map.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include <vector>

#include "cpu/conv/plan/problem.h"

namespace sanp {

struct EdgePlan {
  explicit EdgePlan(const Problem& p);

  std::vector<EdgeVec> vecs;
  std::vector<ptrdiff_t> taps;  // byte offsets from tap 0
  std::vector<uint16_t> masks;  // by set and tap; vectors with equal masks share a set

 private:
  void add(const Problem& p, int64_t x, int64_t first, int64_t count, const std::vector<uint16_t>& set);
};

// Whether the instruction set has kernels for the column stride of a depthwise problem.
bool edges_possible(const Problem& p);

}  // namespace sanp
