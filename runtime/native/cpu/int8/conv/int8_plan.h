// One shape of an int8 convolution: where pixels and weights lie, which tiles, whether lanes are pixels or inputs.
#pragma once

#include <vector>

#include "contract/conv_shape.h"
#include "cpu/int8/kernels/table.h"

namespace sanp {

class Int8Plan {
 public:
  Int8Plan(const ConvShape& shape, const Int8Kernels& isa);

  ConvShape shape;
  const Int8Kernels* isa;
  int64_t out_h, out_w, pixels;
  int64_t n_taps, group_in, group_out;
  bool dot;  // lanes are inputs; else pixels

  // Weights as [Co][tap][channel]: channels of a tap from one to the next, filled with zeros to quads, and bytes from a
  // row to the next.
  int64_t tap_channels, row_step;
  size_t weight_bytes() const { return static_cast<size_t>(shape.channels_out * row_step) + kInt8Slack; }
  // w: [Co, Ci/group, kh, kw]; out: weight_bytes(); sums: of each row [Co].
  void prepare(const int8_t* w, int8_t* out, int32_t* sums) const;

  // Whether to compress the weights of a sample with `active` of the channels of a group, or to read them in place.
  bool compresses(int64_t active) const;
  // Channels of a tap in a compressed row.
  static int64_t quads(int64_t channels) { return (channels + kQuad - 1) / kQuad; }

  // Lanes are pixels: the planes of a quad, the offset of every tap, the tiles.
  struct Tile {
    int64_t first;
    int nr, last;
  };
  std::vector<Int8Plane> planes;
  bool direct;
  int64_t quad_step;
  std::vector<ptrdiff_t> taps;
  std::vector<Tile> tiles;
  int max_rows;  // of a block

  // Lanes are inputs: bytes of a row of inputs of n channels.
  int64_t inputs_step(int64_t tap_step) const { return (n_taps * tap_step + kInt8Slack - 1) / kInt8Slack * kInt8Slack; }

 private:
  void place_planes();
  void place_tiles();
};

}  // namespace sanp
