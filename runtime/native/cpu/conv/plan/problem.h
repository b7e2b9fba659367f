// One convolution for one instruction set: what every algorithm needs to know of it.
#pragma once

#include <stdint.h>

#include "cpu/conv/plan/axis.h"
#include "cpu/isa/table.h"

namespace sanp {

struct Problem {
  ConvShape shape;
  const IsaKernels* isa;
  int64_t out_h, out_w, pixels;
  int64_t group_in, group_out;  // channels of one group
  int64_t n_taps;
  Taps taps_kind;

  // The shape must have an output, see ConvShape::output_size.
  Problem(const ConvShape& s, const IsaKernels& kernels);

  int widest() const { return taps_kind == kTaps9 ? isa->max_nr9 : isa->max_nr; }
  int64_t row_weights() const { return group_in * n_taps; }  // of one output channel
  int64_t row_vecs() const { return out_h * ceil_div(out_w, isa->lanes); }
  int64_t packed_vecs() const { return ceil_div(pixels, isa->lanes); }
  // The last pixels that kColumns leaves to dot products, or 0.
  int64_t dot_tail() const;
};

}  // namespace sanp
