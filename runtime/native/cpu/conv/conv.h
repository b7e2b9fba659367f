// Gated convolution on a plan: which rows are computed, which channels are read, what the rest is filled with.
//
//   y[n,o] = clamp(scale[n,o] * conv(x, w)[n,o] + shift[n,o] + residual[n,o], act_min, act_max)
//
// scale[n,o] == 0: w[o] is not read. in_active[n,i] == 0: x[n,i] is not read. NaN counts as active.
#pragma once

#include <stdint.h>

#include "cpu/base/pool.h"
#include "cpu/conv/plan/plan.h"

namespace sanp {

struct ConvCall {
  int64_t batch;
  const float* x;
  const float* w;  // OIHW
  const float* scale;
  const float* shift;
  const float* in_active;
  int64_t scale_step;  // floats from one sample to the next; 0 broadcasts one row over the batch
  int64_t shift_step;
  int64_t in_active_step;
  const float* residual;  // one element, or as y
  bool residual_is_map;
  float act_min;
  float act_max;
  float* y;
  const void* prepared = nullptr;  // what Plan::prepare made of w, where plan.prepared_floats() is not 0
};

// False when scratch memory could not be allocated; y is then undefined. Safe to call from several threads.
bool run_conv(const Plan& plan, const ConvCall& call, const Pool& pool);

}  // namespace sanp
