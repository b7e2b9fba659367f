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

size_t sample_bytes(const Plan& plan);
// Fills `s` for sample n with lists in `memory` (sample_bytes large, 64-byte aligned).
void list_sample(const Plan& plan, const ConvCall& call, int64_t n, void* memory, Sample* s);
// Writes part `index` of `count` of the masked channels: clamp(shift + residual).
void fill_masked(const Sample& s, size_t index, size_t count);

}  // namespace sanp
