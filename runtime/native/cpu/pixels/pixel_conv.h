// A convolution of which every pixel takes a short path or the whole one. docs/operators.md gives the formula.
#pragma once

#include <stdint.h>

#include <vector>

#include "cpu/base/pool.h"
#include "cpu/conv/plan/plan.h"

namespace sanp {

// Fixed per shape: the plan of the short path, and how the inputs of a pixel lie in a map with channels last.
class PixelPlan {
 public:
  PixelPlan(const ConvShape& whole, const ConvShape& base, const IsaKernels& isa);

  Plan base;
  ConvShape shape;
  int64_t pitch;                   // floats from one row of the padded map to the next
  int64_t rows, cols;              // of the padded map
  int64_t length;                  // floats of a run of inputs
  std::vector<ptrdiff_t> offsets;  // of each run, from the first

  int64_t map_floats() const { return rows * pitch; }
  int64_t weight_floats() const;
  // Weights [Co, Ci, kh, kw] as [Co, kh, kw, Ci], the order of the runs.
  void reorder(const float* w, float* out) const;
};

struct PixelCall {
  int64_t batch;
  const float* x;
  const float* w;       // in the order of the runs
  const float* w_base;  // as it is
  const float* bound;
  const float* scale;
  const float* shift;
  float* y;
};

// False when scratch memory could not be allocated; y is then undefined. Safe to call from several threads.
bool run_pixel_conv(const PixelPlan& plan, const PixelCall& call, const Pool& pool);

}  // namespace sanp
