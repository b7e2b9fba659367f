// One launch of a convolution kernel: what the host derives once from shape and plan, passed by value.
#pragma once

#include "cuda/base/index_math.h"

namespace sanp {
namespace cuda {

struct ConvArgs {
  const void *x, *w;
  const float *scale, *shift, *in_active;
  const void* residual;
  void* y;
  float* partial;  // split_k > 1: sums of every slice, [split_k, batch, c_out, pixels]; else null

  int32_t batch, c_in, height, width, c_out, out_h, out_w, pixels;
  int32_t kernel_w, taps, stride_h, stride_w, pad_top, pad_left, dilation_h, dilation_w;
  int32_t group_in, group_out;
  int32_t scale_step, shift_step, active_step;  // between samples: 0 broadcasts one row
  int32_t w_out, w_in, w_tap;                   // weight strides in elements: any order is three numbers
  int32_t residual_dense;
  float act_min, act_max;

  // Tiling. The map is cut into vertical strips, a strip into runs of tile_n pixels counted row by row.
  int32_t m_tiles;  // per group
  int32_t split_k;
  int32_t strip_w, strip_tiles;
  int32_t halo_w, halo_pixels;  // the input window of a tile; only where a kernel stages one
  FastDivide by_taps, by_kernel_w, by_strip_w, by_halo_w, by_halo_pixels, by_m_tiles, by_strip_tiles, by_split_k;
};

// Of the algorithms with packed weights: what the first launch writes to the workspace for the second.
struct PackedArgs {
  unsigned char* weights;  // fragments [lists][row block][k block][tap], in the order in which lanes multiply them
  int32_t* opens;          // [lists][row blocks + 1]: open rows of each block of 16, then the number of open inputs
  int32_t* rows;           // [lists][16 row blocks]: output channels, the open ones first, -1 past the last
  int32_t* inputs;         // [lists][16 k blocks]: where the planes of the open input channels begin in a sample
  unsigned* arrivals;      // of the slices of each tile, 0 before the second launch
  float* partial;          // sums of the slices, [tile][slice][element of a thread / 4][thread][4]
  int32_t row_blocks, k_blocks, list_step;  // list_step: 0 where all samples share one list
  int32_t gap, window;                      // as PackedWindow
  int32_t pairs;                            // 1: two neighbouring outputs of a row are one aligned store
  int32_t tiles_x;                          // blocks of a grid in the first dimension
  FastDivide by_width;
};

// What those kernels are given. The others get the first part alone: the size of their arguments moves the choices of
// the compiler.
struct PackedConvArgs : ConvArgs {
  PackedArgs packed;
};

// Which part of the output a block computes.
struct BlockTile {
  int32_t sample, slice;
  int32_t first_out, first_in;  // first channels of the group
  int32_t first_rank;           // in the order "active channels, then masked ones" of the group
  int32_t strip_x, first_pixel;
};

SANP_HOST_DEVICE inline BlockTile block_tile(const ConvArgs& a, int tile_m, int tile_n, int bx, int by, int bz) {
  const int32_t sample = a.by_split_k.quotient(bz), group = a.by_m_tiles.quotient(by);
  const int32_t strip = a.by_strip_tiles.quotient(bx);
  return BlockTile{sample,
                   a.by_split_k.remainder(bz, sample),
                   group * a.group_out,
                   group * a.group_in,
                   a.by_m_tiles.remainder(by, group) * tile_m,
                   strip * a.strip_w,
                   a.by_strip_tiles.remainder(bx, strip) * tile_n};
}

struct Pixel {
  int32_t y, x;
  bool valid;
};

// Pixel `q` of a tile. The last strip can be narrower than the others and the last tile of a strip shorter.
SANP_HOST_DEVICE inline Pixel tile_pixel(const ConvArgs& a, const BlockTile& b, int q) {
  const int32_t n = b.first_pixel + q;
  const int32_t y = a.by_strip_w.quotient(n), x = b.strip_x + a.by_strip_w.remainder(n, y);
  return Pixel{y, x, y < a.out_h && x < a.out_w};
}

}  // namespace cuda
}  // namespace sanp
