// One sample of a gated convolution: its active rows and channels as lists.
#pragma once

#include <stdint.h>

#include "cpu/conv/conv.h"

namespace sanp {

// Output rows that are computed, as parallel arrays; tiles take a slice of each.
struct Rows {
  const void** w;
  float** y;
  const float** residual;
  float* scale;
  float* shift;
};

struct Sample {
  const Plan* plan;
  const ConvCall* call;
  WeightKind weights;  // what rows.w points to
  const float* x;
  const float* scale;
  const float* active;
  const float* shift;
  float* y;
  const float* residual;  // map of this sample, or null
  float residual_value;

  Rows rows;
  Epilogue end;        // of rows
  int32_t* row_begin;  // per group, group + 1 entries
  Step* steps;         // x_index is the channel within the group
  int32_t* step_begin;
  int32_t* masked;
  int32_t n_masked;
};

// Points `s` at sample n; its lists and `end` stay undefined.
void find_sample(const Plan& plan, const ConvCall& call, int64_t n, Sample* s);
size_t sample_bytes(const Plan& plan);
// Lists the open rows and channels of a sample that was found, in `memory` (sample_bytes large, 64-byte aligned).
void list_sample(void* memory, Sample* s);
// Writes masked channel o: clamp(shift + residual).
void fill_channel(const Sample& s, int64_t o);
// Writes part `index` of `count` of the listed masked channels.
void fill_masked(const Sample& s, size_t index, size_t count);

}  // namespace sanp
