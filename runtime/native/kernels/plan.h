// How one convolution shape is computed: family, data layout, tiles. Built once per shape, then read-only.
#pragma once

#include <stdint.h>

#include <vector>

#include "plane.h"
#include "table.h"
#include "tile.h"

namespace sanp {

struct ConvShape {
  int64_t channels_in, height, width;
  int64_t channels_out, kernel_h, kernel_w;
  int64_t stride_y, stride_x;
  int64_t pad_top, pad_left, pad_bottom, pad_right;
  int64_t dilation_y, dilation_x;
  int64_t group;

  bool operator==(const ConvShape& o) const;
  // False when a dimension is not positive after padding or a size leaves the range of the kernels.
  bool output_size(int64_t* out_h, int64_t* out_w) const;
};

enum class Family {
  kInPlace,  // 1x1, whole vectors: the input planes are read where they are
  kShift,    // active channels copied once into bordered planes, taps are shifted loads
  kPanel,    // taps expanded per tile: maps too small or too odd for shifted loads
  kGather,   // as kPanel, pixel by pixel: paddings or dilations whose bordered planes would not fit
  kDot,      // up to four output pixels: lanes run along the weights
};
const char* family_name(Family family);

struct Tile {
  int32_t first_vec;
  int32_t nr;
  int64_t panel;  // floats per active channel before this tile, kPanel and kGather
};

struct Plan {
  ConvShape shape;
  const IsaKernels* isa;
  Family family;
  int64_t out_h, out_w, pixels;
  int64_t group_in, group_out;  // channels of one group
  int64_t n_taps;
  Taps taps_kind;

  std::vector<Phase> phases;
  Plane plane;  // points into phases
  std::vector<int32_t> plane_taps;

  std::vector<Vec> vecs;  // read at vec.x, written at its pieces
  std::vector<Piece> pieces;
  std::vector<Vec> panel_vecs;  // kPanel: gathered from its pieces
  std::vector<Piece> panel_pieces;
  std::vector<int32_t> panel_taps[kMaxNr + 1];
  std::vector<Tile> tiles;
  int64_t panel_floats;  // per active channel, all tiles
  int max_mr;

  Plan(const ConvShape& s, const IsaKernels& kernels);
  Plan(const ConvShape& s, const IsaKernels& kernels, Family wanted);
  Plan(const Plan&) = delete;
  Plan& operator=(const Plan&) = delete;

 private:
  void init(const ConvShape& s, const IsaKernels& kernels);
  bool build_plane();
  void choose_family();
  void lay_out();
  void lay_out_rows();
  void lay_out_flat();
  void lay_out_panel();
  void split_tiles();
  int64_t row_vecs() const;
  int64_t flat_vecs() const;
  int64_t panel_vec_count() const;
  int32_t flat_pitch_;
};

}  // namespace sanp
