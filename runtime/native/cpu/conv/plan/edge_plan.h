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
  std::vector<StridedVec> strided;  // instead of all others where the kernel for a stride of two is taken
  std::vector<ptrdiff_t> taps;      // byte offsets from tap 0
  std::vector<uint16_t> masks;      // by set and tap; vectors with equal masks share a set

 private:
  void add_strided(const Problem& p);
  void add(const Problem& p, int64_t x, int64_t first, int64_t count, const std::vector<uint16_t>& set);
};

// Whether the kernel for a stride of two can hold the problem, and rows fill more than half of a vector.
bool strided_possible(const Problem& p);

// Whether the instruction set has kernels for the column stride of a depthwise problem.
bool edges_possible(const Problem& p);

}  // namespace sanp
