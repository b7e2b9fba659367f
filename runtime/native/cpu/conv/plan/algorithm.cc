// Names of the algorithms; attributes of a model and results of benchmarks hold them.
#include "cpu/conv/plan/algorithm.h"

#include <string.h>

namespace sanp {

const char* algorithm_name(Algorithm algorithm) {
  switch (algorithm) {
    case Algorithm::kInPlace:
      return "in-place";
    case Algorithm::kRows:
      return "rows";
    case Algorithm::kColumns:
      return "columns";
    case Algorithm::kGather:
      return "gather";
    case Algorithm::kDot:
      return "dot";
    case Algorithm::kPixelPairs:
      return "pixel-pairs";
    case Algorithm::kDepthwise:
      return "depthwise";
    case Algorithm::kDepthwiseInPlace:
      return "depthwise-in-place";
    case Algorithm::kChannels:
      return "channels";
    case Algorithm::kWinograd2:
      return "winograd-2";
    case Algorithm::kWinograd4:
      return "winograd-4";
  }
  return "?";
}

std::optional<Algorithm> algorithm_of(const char* name) {
  for (Algorithm algorithm : kAlgorithms)
    if (strcmp(algorithm_name(algorithm), name) == 0) return algorithm;
  return {};
}

}  // namespace sanp
