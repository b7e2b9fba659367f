// One group of one sample being computed, and the functions that compute it, one per algorithm.
#pragma once

#include <stdint.h>

#include "cpu/base/arena.h"
#include "cpu/base/task_count.h"
#include "cpu/conv/sample.h"

namespace sanp {

// The active rows and channels of one group.
struct GroupRun {
  const Sample& s;
  int64_t group;
  int32_t row0, n_rows;
  const Step* steps;
  int32_t n_steps;

  GroupRun(const Sample& sample, int64_t g)
      : s(sample),
        group(g),
        row0(s.row_begin[g]),
        n_rows(s.row_begin[g + 1] - row0),
        steps(s.steps + s.step_begin[g]),
        n_steps(s.step_begin[g + 1] - s.step_begin[g]) {}

  const float* channel(int32_t step) const {
    const ConvShape& shape = s.plan->shape;
    return s.x + (group * s.plan->group_in + steps[step].x_index) * shape.height * shape.width;
  }
};

// Scratch for `n` pixels and, behind them, `steps` steps; null when memory is short.
inline float* pixel_floats(int64_t n, int64_t steps) {
  return static_cast<float*>(pixel_arena().get(static_cast<size_t>(n) * sizeof(float) + steps * sizeof(Step)));
}

// Each computes all active rows of the group, and fills the masked rows of the sample when `fill` is set. False when
// scratch memory is short.
bool run_in_place(const InPlacePlan& layout, const GroupRun& g, const Pool& pool, bool fill);
bool run_planes(const PlanesPlan& layout, const GroupRun& g, const Pool& pool, bool fill);
bool run_channels(const ChannelsPlan& layout, const GroupRun& g, const Pool& pool, bool fill);
bool run_gather(const GroupRun& g, const Pool& pool, bool fill);
bool run_dot(const GroupRun& g, const Pool& pool, bool fill);
bool run_pixel_pairs(const GroupRun& g, const Pool& pool, bool fill);
bool run_winograd(const GroupRun& g, const Pool& pool, bool fill);

// All groups of a sample that was found and not listed, and its masked channels.
bool run_depthwise(const Sample& s, const Pool& pool);
bool run_depthwise_in_place(const Sample& s, const Pool& pool);

}  // namespace sanp
