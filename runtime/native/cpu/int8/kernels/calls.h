// What the int8 kernels are told: tiles, dot products, the end of every row, and how bytes are moved.
//
// Pixels are unsigned bytes with `flip` applied (0x80 where the instruction set multiplies signed bytes only), weights
// are signed bytes from -127 to 127, sums are exact 32-bit integers. Four channels that lie together are a quad.
#pragma once

#include <stddef.h>
#include <stdint.h>

namespace sanp {

constexpr int kQuad = 4;
constexpr int kInt8MaxMr = 8;
constexpr int kInt8MaxNr = 4;
constexpr int kInt8MaxDotRows = 6;
constexpr int kInt8MaxDotPixels = 4;
constexpr int kInt8DotMap = 16;  // output pixels up to which the dot kernels may serve a shape
constexpr int kInt8Slack = 64;   // bytes that may be read or written behind packed pixels, rows and weights

// The bytes of one pixel of four channels, side by side. Static: every instruction set compiles its own.
static inline uint32_t quad_of(const uint8_t* const* channels, ptrdiff_t i) {
  return channels[0][i] | static_cast<uint32_t>(channels[1][i]) << 8 | static_cast<uint32_t>(channels[2][i]) << 16 |
         static_cast<uint32_t>(channels[3][i]) << 24;
}

static inline uint8_t max_of_four(const uint8_t* a, const uint8_t* b) {
  const uint8_t above = a[0] > a[1] ? a[0] : a[1], below = b[0] > b[1] ? b[0] : b[1];
  return above > below ? above : below;
}

// The end of every row: y = zero + round(clamp(factor * (sum + correction) + shift + residual, low, high)), in steps of
// y. Parallel arrays over the rows that a kernel computes; the pointers already stand at its first row.
struct Int8Finish {
  const float* factor;
  const float* shift;
  const int32_t* correction;  // what the zero point of the pixels added to the sums
  uint8_t* const* y;
  const uint8_t* const* residual;  // null: none
  float residual_factor, residual_zero;
  float low, high;  // within what a byte holds
  int32_t zero;

  Int8Finish from(ptrdiff_t m) const {
    Int8Finish f = *this;
    f.factor += m, f.shift += m, f.correction += m, f.y += m;
    if (f.residual) f.residual += m;
    return f;
  }
};

// Weights that the next call will read, fetched while this one multiplies: small maps use a weight so rarely that they
// would wait for it, and rows end before a processor has seen that they are read from end to end.
struct Int8Ahead {
  const int8_t* const* rows;
  int32_t count;    // 0: nothing
  ptrdiff_t bytes;  // of a row
};

// MR rows times NR vectors of pixels, the last of them partial.
struct Int8TileCall {
  const uint8_t* x;     // the first pixel of the tile in the first quad
  ptrdiff_t quad_step;  // bytes from one quad of channels to the next
  int32_t quads;
  int32_t n_taps;
  const ptrdiff_t* taps;   // bytes
  const int8_t* const* w;  // rows of [tap][quad][4]
  ptrdiff_t at;            // index of the first pixel in y and residual
  int last;                // pixels of the last vector
  Int8Finish end;
  Int8Ahead ahead;
};
using Int8TileFn = void (*)(const Int8TileCall&);

// MR rows times PR pixels whose inputs lie together as the weights do.
struct Int8DotCall {
  const uint8_t* x;
  ptrdiff_t x_step;  // bytes from one pixel to the next
  ptrdiff_t length;  // a multiple of 64; behind the weights of a row both sides have zeros or one of them does
  const int8_t* const* w;
  int32_t* sums;  // [row][kInt8DotMap]
  Int8Ahead ahead;
};
using Int8DotFn = void (*)(const Int8DotCall&);

// The active channels of a group, in both forms that the kernels use.
struct Int8Channels {
  const uint64_t* masks;  // one bit a channel
  const int32_t* list;
  int32_t count;
};

// One copy of the pixels of a quad: row j, column i is input row j * row_step + row0, column i * col_step + col0.
struct Int8Plane {
  ptrdiff_t offset;  // bytes from the first plane of the quad
  int32_t rows;
  int64_t row0, row_step, col0, col_step;
  int32_t col_begin, col_end;  // columns that lie inside the input
};

// Planes to be pooled, one after the other in x and y.
struct Int8PoolCall {
  int64_t height, width, kernel_h, kernel_w, stride_y, stride_x, pad_top, pad_left, out_h, out_w;
  ptrdiff_t planes;
  const uint8_t* x;
  uint8_t* y;
  uint8_t* scratch;  // twice the columns under all windows of a row, those outside the plane included
};

struct Int8Planes {
  const Int8Plane* planes;
  int32_t count;
  int32_t cols;
  int64_t height, width;
  bool direct;  // one plane that is the input itself
};

}  // namespace sanp
