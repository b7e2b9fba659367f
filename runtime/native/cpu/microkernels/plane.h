// Geometry of one input channel copied into zero-bordered planes that the micro-kernels read with shifted loads.
//
// Rows: with stride s, output row o reads input row o * s + c for tap offset c. Writing c = s * q + r (0 <= r < s)
// turns that into row o + q of the plane of phase r, so every stride becomes stride 1. Columns are either split the
// same way (one plane per phase, borders between rows) or copied once per kernel column (no borders, so a vector may
// run over row ends); see Algorithm in plan.h.
#pragma once

#include <stddef.h>
#include <stdint.h>

namespace sanp {

struct PlanePart {
  int32_t row_begin, row_end;  // rows that hold input; the others are zero
  int32_t col_begin, col_end;
  int64_t source;  // offset in the input channel of the element at (row_begin, col_begin)
};

struct Plane {
  const PlanePart* parts;
  int32_t n_parts;
  int32_t pitch;           // floats per row
  int64_t part_floats;     // distance between parts
  int64_t channel_floats;  // distance between channels: the parts, the widest left border and one vector
  int64_t source_step;     // input floats from one plane row to the next
  int32_t stride_x;
};

}  // namespace sanp
