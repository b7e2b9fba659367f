// The functions of one instruction set, as data. One constant object per set; chosen by isa.h.
#pragma once

#include "cpu/microkernels/block.h"
#include "cpu/microkernels/channels.h"
#include "cpu/microkernels/depthwise.h"
#include "cpu/microkernels/depthwise_in_place.h"
#include "cpu/microkernels/depthwise_strided.h"
#include "cpu/microkernels/dot.h"
#include "cpu/microkernels/listed_dot.h"
#include "cpu/microkernels/pixel_pairs.h"
#include "cpu/microkernels/plane.h"
#include "cpu/microkernels/tile.h"
#include "cpu/microkernels/winograd.h"

namespace sanp {

constexpr int kMaxMr = 8;
constexpr int kMaxNr = 4;

struct IsaKernels {
  const char* name;
  int lanes;
  int max_nr;              // largest NR worth using
  int max_nr9;             // the same for nine taps
  double strided_rows;     // cost of a kRows vector with a stride against a kColumns vector
  int max_mr[kMaxNr + 1];  // by NR; 0 where there is no such tile
  TileFn tile[kWeightKinds][kTapsKinds][kMaxNr + 1][kMaxMr + 1];  // kBf16Weights: up to kBf16MaxPixels
  DotFn dot[kWeightKinds][kDotMaxRows + 1][kDotMaxPixels + 1];    // by rows (1 or dot_rows) and pixels
  int dot_rows[kDotMaxPixels + 1];                                // by pixels: what fits the registers
  ListedDotFn listed_dot[kListedMax + 1];                         // by pixels
  // By rows up to pairs_max_rows; none where the set has no permutation across a vector.
  PairsFn pairs[kWeightKinds][kPairMaxRows + 1];
  int pairs_max_rows;
  bool (*pairs_fit)(const int32_t* taps, int n_taps);
  int winograd_nr;  // vectors of tiles multiplied at once
  WinogradInputFn winograd_input[kWinogradKinds];
  PointsFn points[kMaxNr + 1][kMaxMr + 1];  // the tiles above, for Winograd's products
  WinogradOutputFn winograd_output[kWinogradKinds];
  ChannelsFn channels[kMostChannelVecs + 1][kMostChannelPixels + 1];  // by vectors and pixels
  int channel_vecs, channel_pixels;                                   // the most of both
  BlockKernels block;
  DepthwiseFn depthwise;
  DepthwiseInPlaceFn depthwise_in_place[kMaxColumnStride + 1];  // by column stride; none without masked loads
  DepthwiseStridedFn depthwise_strided[kMaxStridedKernel + 1];  // by kernel width; 3 and 5, or none
  // A set of half as many lanes that every CPU with this one has, for maps whose rows would leave half a vector empty;
  // null: none.
  const IsaKernels& (*narrower)();
  void (*pack_plane)(const Plane&, const float* channel, float* dst);
  void (*pack_strip)(const Plane&, const float* channel, int first, int rows, bool clear, float* dst);
  void (*channel_means)(const float* x, ptrdiff_t channels, ptrdiff_t pixels, float* z);
  void (*dense_relu)(const float* w, const float* b, const float* v, ptrdiff_t rows, ptrdiff_t cols, float* out);
};

const IsaKernels& avx512_kernels();
const IsaKernels& avx2_kernels();
const IsaKernels& neon_kernels();
const IsaKernels& portable_kernels();

}  // namespace sanp
