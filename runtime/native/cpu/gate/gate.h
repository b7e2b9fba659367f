// The channel gate: pool, squeeze, excite, threshold or top-k. docs/operators.md gives the formula.
#pragma once

#include <stdint.h>

#include "cpu/base/pool.h"
#include "cpu/isa/table.h"

namespace sanp {

struct GateCall {
  int64_t batch, channels, pixels;
  int64_t hidden;  // 0: no hidden layer, w2 [outputs, channels] reads the means
  int64_t outputs;
  const float* x;
  const float* w1;
  const float* b1;
  const float* w2;
  const float* b2;
  const float* bias;
  const float* mask;
  int64_t mask_step;  // 0 broadcasts one row over the batch
  float threshold;
  int64_t k;  // 0: off
  float* scale;
  float* shift;
  const float* offset;  // [outputs], added to the shift of open channels; null for none

  // x as bytes: their exact sums become the means, in this order of roundings. Null: x is float32.
  const uint8_t* bytes = nullptr;
  void (*channel_sums)(const uint8_t* x, ptrdiff_t channels, ptrdiff_t pixels, int32_t* sums) = nullptr;
  float x_scale = 0;
  int32_t x_zero = 0;
};

// False when scratch memory could not be allocated. The result does not depend on the instruction set or the pool.
bool run_gate(const IsaKernels& isa, const GateCall& call, const Pool& pool);

}  // namespace sanp
