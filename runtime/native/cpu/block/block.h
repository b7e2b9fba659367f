// A fused inverted residual block on a plan: expansion, depthwise layer and projection of the open channels.
//
//   e = clamp(scale * conv(x, expand) + shift)
//   d = clamp(conv(e, depthwise) + bias) where scale is not 0, else 0
//   y = clamp(scale_project * conv(d, project) + shift_project + residual)
//
// scale[n,c] == 0: the weights of c are not used in any layer. in_active[n,i] == 0: x[n,i] is not read. NaN counts as
// open.
#pragma once

#include <stdint.h>

#include "cpu/base/pool.h"
#include "cpu/block/block_plan.h"

namespace sanp {

struct BlockCall {
  int64_t batch;
  const float* x;
  BlockWeights weights;
  const float* prepared;  // what BlockPlan::prepare made of them
  const float *scale, *shift, *in_active, *scale_project, *shift_project;
  // Floats from one sample to the next; 0 broadcasts one row over the batch.
  int64_t scale_step, shift_step, in_active_step, scale_project_step, shift_project_step;
  const float* residual;  // one element, or as y
  bool residual_is_map;
  ClampBounds expand, depthwise, act;
  float* y;
};

// False when scratch memory could not be allocated; y is then undefined. Safe to call from several threads.
bool run_block(const BlockPlan& plan, const BlockCall& call, const Pool& pool);

}  // namespace sanp
