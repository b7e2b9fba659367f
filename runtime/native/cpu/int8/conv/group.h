// One group of one sample being computed: its open rows, closed rows and active channels as lists.
#pragma once

#include "cpu/int8/conv/int8_conv.h"

namespace sanp {

class Int8Group {
 public:
  static size_t bytes(const Int8Plan& plan);
  // Lists for group g of sample n in `memory` (bytes(plan) large, 64-byte aligned).
  Int8Group(const Int8Plan& plan, const Int8Call& call, int64_t n, int64_t g, void* memory);

  const Int8Plan& plan;
  const Int8Call& call;
  const uint8_t* x;  // the first channel of the group
  Int8Channels active;
  bool compress;       // weights of open rows are pushed together; else every channel is multiplied
  int64_t tap_step;    // channels of a tap in a row that is multiplied
  int32_t sum_factor;  // what the sum of a row's weights is multiplied by to correct its sums
  int32_t n_open, n_closed;
  const int8_t** w;  // of open rows
  int32_t* correction;
  Int8Finish end;

  // The channel at position i of a row that is multiplied; `zeros` for one that is not read.
  const uint8_t* channel(int64_t i, const uint8_t* zeros) const;
  // Pushes the weights of open rows [first, last) together at `out`, which then replaces them.
  void compress_rows(int32_t first, int32_t last, int8_t* out) const;
  // Writes part `index` of `count` of the closed rows: clamp(shift + residual).
  void fill_closed(size_t index, size_t count) const;

 private:
  int32_t* closed_;
  int64_t row0_, sample_;
};

}  // namespace sanp
