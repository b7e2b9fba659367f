// What one call of a pixel-pair kernel is told: weight rows on maps of so few pixels that (output, input) pairs fill a
// vector.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "cpu/microkernels/tile.h"

namespace sanp {

constexpr int kPairLanes = 16;
constexpr int kPairMaxRows = 8;

struct PairsCall {
  const float* x;  // [active channels][16]: lane (output pixel * inputs + input pixel) holds the input pixel
  const Step* steps;
  ptrdiff_t n_steps;
  const int32_t* taps;  // [16]: the tap that joins the pair of a lane, or -1
  int32_t n_taps;
  int32_t inputs, outputs;  // pixels; inputs * outputs <= 16
  const void* const* w;     // rows of the type that the kernel reads
  Epilogue end;
};

using PairsFn = void (*)(const PairsCall&);

}  // namespace sanp
