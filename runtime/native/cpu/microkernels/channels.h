// What one call of a channel-lane kernel is told: a block of output channels, some consecutive pixels of a 1x1
// convolution.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "cpu/microkernels/tile.h"

namespace sanp {

struct ChannelsCall {
  const float* x;  // the first pixel in input channel 0
  ptrdiff_t x_step;
  const Step* steps;  // w_offset is the input channel
  ptrdiff_t n_steps;
  const float* w;       // [vectors of the block][lanes] for each channel in, zero behind the last channel
  ptrdiff_t w_step;     // from one channel in to the next
  const float* next_w;  // those of the block that is computed next, or w
  int32_t fetch_lines;  // cache lines fetched at each step: of the block, and of those behind it
  int32_t outputs;      // channels of the block: more than all its vectors but one hold
  const float* scale;   // of the block, as shift
  const float* shift;
  float shift_more;  // added to every shift
  float* y;          // the first pixel in the first output channel
  ptrdiff_t y_step;
  const ptrdiff_t* at;    // multiples of y_step, for each lane
  const float* residual;  // as y, or null
  float act_min, act_max;
};

using ChannelsFn = void (*)(const ChannelsCall&);

constexpr int kMostChannelVecs = 2;
constexpr int kLeastChannelPixels = 4;  // of a call: results are turned four pixels at a time
constexpr int kMostChannelPixels = 28;

}  // namespace sanp
