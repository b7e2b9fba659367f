// kDepthwise: the instruction set that fills its vectors best, and the planes of a strip of one channel.
#pragma once

#include "cpu/conv/plan/tile_plan.h"

namespace sanp {

constexpr int64_t kMostChannelsAhead = 8;

// A channel is computed in strips of output rows, so that its planes stay in the first-level cache.
struct DepthwisePlan {
  explicit DepthwisePlan(const Problem& p);

  const IsaKernels* isa;
  int64_t row_span;    // plane rows that a strip reads beyond its output rows
  int64_t strip_rows;  // output rows of every strip but the last
  int64_t strips;
  PlanesPlan planes;
  // Channels whose planes are copied before the first of them is computed, 1 where there are strips: a vector that is
  // read before the two stores under it have left the store buffer waits for them, which a small map is too short to
  // hide.
  int64_t channels_ahead;
  std::vector<TapChain> chains;
};

// Whether each group has one input channel, and there is more than one.
bool one_channel_groups(const Problem& p);

}  // namespace sanp
