// The algorithms that compute a convolution, and their public names.
#pragma once

#include <optional>

namespace sanp {

enum class Algorithm {
  kInPlace,     // 1x1, whole vectors: the input planes are read where they are
  kRows,        // one bordered copy per stride phase; vectors do not cross output rows
  kColumns,     // one copy per kernel column without borders; vectors run over row ends: no lane is lost on small maps
  kGather,      // taps expanded pixel by pixel: paddings or dilations whose bordered planes would not fit
  kDot,         // up to four output pixels: lanes run along the weights
  kPixelPairs,  // up to 16 (output, input) pixel pairs and 16 taps: a vector holds all pairs of a channel pair
  kDepthwise,   // one input channel a group: one bordered copy per stride phase, one call a channel
  kDepthwiseInPlace,  // the same where the input lies: a mask of lanes for every tap
  kChannels,          // 1x1: lanes are output channels, from weights that are turned once
  kWinograd2,         // 3x3, stride 1, in tiles of 2 x 2 output pixels; wants its weights prepared
  kWinograd4,         // the same in tiles of 4 x 4
};
constexpr Algorithm kAlgorithms[] = {
    Algorithm::kInPlace,  Algorithm::kRows,       Algorithm::kColumns,   Algorithm::kGather,
    Algorithm::kDot,      Algorithm::kPixelPairs, Algorithm::kDepthwise, Algorithm::kDepthwiseInPlace,
    Algorithm::kChannels, Algorithm::kWinograd2,  Algorithm::kWinograd4};

const char* algorithm_name(Algorithm algorithm);
std::optional<Algorithm> algorithm_of(const char* name);  // none for a name that algorithm_name never gives

// Output pixels along an edge of a Winograd tile; 0 for the other algorithms.
constexpr int winograd_tile(Algorithm f) { return f == Algorithm::kWinograd2 ? 2 : f == Algorithm::kWinograd4 ? 4 : 0; }

}  // namespace sanp
