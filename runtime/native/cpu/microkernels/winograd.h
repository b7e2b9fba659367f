// Winograd's convolution F(m, 3): a 3x3 kernel on tiles of m x m output pixels as (m + 2)^2 products per channel pair
// instead of 9 m^2. What its kernels are told; the formulas are in winograd_inl.h, the loops in run_winograd.cc.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "cpu/microkernels/epilogue.h"
#include "cpu/microkernels/tile.h"

namespace sanp {

constexpr int kWinogradSizes[] = {2, 4};  // m
constexpr int kWinogradKinds = 2;

// F(4, 3) evaluates at 0, +-a, +-b and infinity. The usual 1 and 2 cost 4 to 5 times the rounding error of a direct
// sum (RMS); these two, exact in float like all their products, cost 1.7 to 2.1 times and the same instructions.
constexpr double kWinogradA = 0.625, kWinogradB = 1.375;

constexpr int64_t kWinogradMaxPixels = int64_t{1} << 24;  // offsets of tiles stay within 32 bits

constexpr int winograd_points(int m) { return (m + 2) * (m + 2); }

// One run of output pixels that are neighbours both in the staging plane and in y.
struct PixelRun {
  int32_t from, to, count;
};

// Tiles that are computed together. A tile is a lane; lanes behind the last tile repeat it.
struct WinogradBlock {
  int32_t first_row, rows;  // rows of tiles these tiles lie in
  const ptrdiff_t* read;    // per lane: where its input tile begins in the rows after the vertical transform
  const ptrdiff_t* write;   // per lane: where its output tile begins in the staging plane
  const PixelRun* runs;
  int32_t n_runs;
};

// Transforms one input channel: v[point * v_step + lane].
struct WinogradInput {
  const WinogradBlock* block;
  const float* x;
  int32_t height, width, pad_top, pad_left;
  const float* zeros;  // [width], stands for rows outside the input
  float* rows;         // scratch [rows of tiles][m + 2][pitch]
  int32_t pitch;
  int32_t nr;  // vectors of tiles
  float* v;
  ptrdiff_t v_step;
};

// The products: sums[row][vector][point][lane] = sum over active channels of weight[row][point][channel] *
// v[point][channel].
struct PointsCall {
  const float* v;  // [point][active channel][NR vectors], points v_step floats apart
  ptrdiff_t v_step;
  const Step* steps;
  ptrdiff_t n_steps;
  int32_t n_points;
  const void* const* w;  // MR rows of float [point][channel]
  ptrdiff_t w_step;      // floats from one point to the next
  float* sums;
};

// Transforms one output row back, then scale, shift, residual, clamp and store.
struct WinogradOutput {
  const WinogradBlock* block;
  const float* sums;  // [vector][point][lane]
  int32_t nr;
  float* plane;  // staging: [rows of tiles * m][pitch]
  int32_t pitch;
  Epilogue end;  // of this row
};

using WinogradInputFn = void (*)(const WinogradInput&);
using PointsFn = void (*)(const PointsCall&);
using WinogradOutputFn = void (*)(const WinogradOutput&);

}  // namespace sanp
