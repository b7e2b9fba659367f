// What one call of a quad kernel is told: weight rows on maps of so few pixels that (output, input) pairs fill a
// vector.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "cpu/microkernels/tile.h"

namespace sanp {

constexpr int kQuadLanes = 16;
constexpr int kQuadMaxRows = 8;

struct QuadCall {
  const float* x;  // [active channels][16]: lane (output pixel * inputs + input pixel) holds the input pixel
  const Step* steps;
  ptrdiff_t n_steps;
  const int32_t* taps;  // [16]: the tap that joins the pair of a lane, or -1
  int32_t n_taps;
  int32_t inputs, outputs;  // pixels; inputs * outputs <= 16
  const void* const* w;     // rows of the type that the kernel reads
  const float* scale;
  const float* shift;
  float* const* y;
  const float* const* residual;  // null: none
  float act_min;
  float act_max;
};

using QuadFn = void (*)(const QuadCall&);

}  // namespace sanp
