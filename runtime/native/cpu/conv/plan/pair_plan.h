// kPixelPairs: which tap joins each pair of an output and an input pixel.
#pragma once

#include <stdint.h>

#include <vector>

#include "cpu/conv/plan/problem.h"

namespace sanp {

struct PairPlan {
  explicit PairPlan(const Problem& p);

  std::vector<int32_t> taps;  // [kPairLanes], by lane (output pixel * input pixels + input pixel); -1 for no tap
};

// Whether the pairs of a problem fill no more than kPairLanes and the instruction set has kernels for its taps.
bool pairs_possible(const Problem& p);

}  // namespace sanp
