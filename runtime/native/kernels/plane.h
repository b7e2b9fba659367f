// Geometry of one input channel copied into a zero-bordered plane, split by stride phase.
//
// With stride s, output o reads input o * s + c for tap offset c. Writing c = s * q + r (0 <= r < s) turns that into
// element o + q of the phase plane r, so every stride becomes stride 1 with shifted loads.
#pragma once

#include <stddef.h>
#include <stdint.h>

namespace sanp {

struct Phase {
  int32_t row_begin, row_end;  // plane rows that hold input; the others are zero
  int32_t col_begin, col_end;
  int64_t source;  // offset in the input channel of the element at (row_begin, col_begin)
};

struct Plane {
  const Phase* phases;
  int32_t n_phases;
  int32_t rows, cols;
  int32_t pitch;         // below `cols` where the right border of a row may double as the left border of the next
  int64_t phase_floats;  // distance between phase planes
  int64_t channel_floats;
  int32_t stride_y, stride_x;
  int64_t height, width;  // of the input channel
};

// How the pixels of one tap are gathered from a plane: vector v joins pieces (offset relative to the tap).
struct PanelLayout {
  const struct Vec* vecs;
  const struct Piece* pieces;
  const int32_t* taps;
  int32_t n_taps;
};

}  // namespace sanp
