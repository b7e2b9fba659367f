// What one call of a kernel of a fused block is told: a pack of sixteen open channels between its layers.
//
// Between the layers a pixel is sixteen floats, one for each of sixteen open channels, whatever the width of a vector.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "cpu/microkernels/channels.h"
#include "cpu/microkernels/tile.h"

namespace sanp {

constexpr int kPackLanes = 16;

// Rows of weights that are used next, to be fetched meanwhile, a line after every few steps.
struct FetchRows {
  const float* const* rows;
  int32_t count;  // 0: none
  int32_t lines;  // of each row
  int32_t steps;
};

// Expansion: some consecutive pixels of the input.
struct ExpandCall {
  const float* x;  // the first pixel in input channel 0
  ptrdiff_t x_step;
  const Step* steps;  // open input channels; w_offset is the channel
  ptrdiff_t n_steps;
  const float* w;              // [channels in][kPackLanes]
  const float *scale, *shift;  // [kPackLanes]
  float low, high;
  float* y;           // a pixel may be at any of
  const int32_t* at;  // these distances, in floats
  FetchRows next;
};

// Depthwise layer: some rows of outputs.
struct DepthwiseBlockCall {
  const float* x;      // the first tap of the first output
  ptrdiff_t x_row;     // floats from one row of outputs to the next, in x
  ptrdiff_t x_step;    // from one output of a row to the next
  ptrdiff_t tap_row;   // from one row of taps to the next
  ptrdiff_t tap_step;  // from one tap of a row to the next
  const float* w;      // [taps + 1][kPackLanes]: the weights, then the bias
  float low, high;
  int32_t taps_h, taps_w;
  // Rows of x, counted from the first tap of the first output, that lie in the map; taps in others are left out.
  int32_t first_row, end_row;
  int32_t row_step, tap_rows;  // such rows from one row of outputs to the next, and from one row of taps to the next
  int32_t rows, columns;
  float* y;  // [rows][columns][kPackLanes]
};

using ExpandFn = void (*)(const ExpandCall&);
using DepthwiseBlockFn = void (*)(const DepthwiseBlockCall&);
// Rows of `columns` floats at w + at[lane], turned: out[column][lane]. A step of `next` is two columns.
using TurnRowsFn = void (*)(const float* w, const ptrdiff_t* at, int64_t columns, float* out, const FetchRows& next);

// Kernels of one instruction set, by pixels where they have some.
struct BlockKernels {
  ExpandFn expand[kMostChannelPixels + 1];
  ChannelsFn project[kMostChannelVecs + 1][kMostChannelPixels + 1];
  DepthwiseBlockFn depthwise;
  TurnRowsFn turn_rows;
  int expand_pixels, project_pixels[kMostChannelVecs + 1];  // the most
};

}  // namespace sanp
