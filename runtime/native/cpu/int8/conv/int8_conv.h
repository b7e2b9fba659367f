// Gated convolution of bytes on a plan. docs/operators.md gives the formula of SanpGatedQLinearConv.
//
// scale[n,o] == 0: w[o] is not read. in_active[n,i] == 0: x[n,i] is not read; it stands for x_zero.
#pragma once

#include <stdint.h>

#include "cpu/base/pool.h"
#include "cpu/int8/conv/int8_plan.h"

namespace sanp {

struct Int8Call {
  int64_t batch;
  const uint8_t* x;
  float x_scale;
  int32_t x_zero;
  const int8_t* w;        // what Int8Plan::prepare made
  const int32_t* w_sums;  // of the rows, as made there
  const float* w_scale;   // [Co]
  const float* scale;
  const float* shift;
  const float* in_active;
  int64_t scale_step, shift_step, in_active_step;  // floats from one sample to the next; 0: one row for all
  const uint8_t* residual;                         // as y, or one element
  bool residual_is_map;
  float residual_scale;
  int32_t residual_zero;
  float y_scale;
  int32_t y_zero;
  float act_min, act_max;
  uint8_t* y;
};

// False when scratch memory could not be allocated; y is then undefined. Safe to call from several threads. The bytes
// depend neither on the instruction set nor on the pool.
bool run_int8_conv(const Int8Plan& plan, const Int8Call& call, const Pool& pool);

}  // namespace sanp
