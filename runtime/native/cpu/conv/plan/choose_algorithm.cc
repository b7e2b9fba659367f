// Which algorithms can compute a shape, what they cost, and which one a plan takes.
#include <math.h>

#include "cpu/conv/plan/plan.h"

namespace sanp {
namespace {

constexpr int64_t kSmallMap = 256;  // pixels
constexpr int64_t kWinogradMinPixels = 17;
constexpr int64_t kImageChannels = 4;
constexpr int64_t kCachedWeights = int64_t{2} << 20;

// Weights that a second-level cache does not hold beside everything else.
constexpr int64_t kStreamedWeights = int64_t{512} << 10;

}  // namespace

bool Plan::pointwise() const {
  return n_taps == 1 && shape.stride_y == 1 && shape.stride_x == 1 && shape.pad_top == 0 && shape.pad_left == 0 &&
         shape.pad_bottom == 0 && shape.pad_right == 0;
}

bool Plan::possible(Algorithm f) const {
  if (f == Algorithm::kGather) return true;
  if (f == Algorithm::kInPlace) return pointwise() && pixels % isa->lanes == 0;
  if (f == Algorithm::kDot) return pixels <= kDotMaxPixels;
  if (f == Algorithm::kQuad)
    return isa->quad_fits != nullptr && n_taps > 1 && n_taps <= kQuadLanes &&
           shape.height * shape.width <= kQuadLanes / pixels &&
           isa->quad_fits(pair_taps().data(), static_cast<int>(n_taps));
  if (f == Algorithm::kWinograd2 || f == Algorithm::kWinograd4)
    return shape.group == 1 && shape.kernel_h == 3 && shape.kernel_w == 3 && shape.stride_y == 1 &&
           shape.stride_x == 1 && shape.dilation_y == 1 && shape.dilation_x == 1 && shape.pad_top < 4 &&
           shape.pad_left < 4 && shape.pad_bottom < 4 && shape.pad_right < 4 && pixels <= kWinogradMaxPixels;
  // Bordered planes must not be far larger than the map itself (huge pads or dilations).
  const Axis ay = y_axis(shape, out_h), ax = x_axis(shape, out_w);
  const bool columns = f == Algorithm::kColumns;
  const int64_t rows = ay.length(), cols = columns ? out_w : ax.length();
  if (rows > kMaxExtent || cols > kMaxExtent) return false;
  const int64_t copies =
      static_cast<int64_t>(ay.phases().size()) * (columns ? shape.kernel_w : static_cast<int64_t>(ax.phases().size()));
  const int64_t room = 8 * copies * (shape.height * shape.width + pixels) + 65536;
  return rows * cols <= room / copies && rows * cols <= kMaxOffset / copies;
}

bool Plan::allows(Algorithm f, int winograd) const { return winograd_tile(f) <= winograd && possible(f); }

// Reading a weight, in vector multiply-adds. Weights past a second-level cache arrive at about 8 bytes a cycle, in
// which time two short vectors are multiplied.
double Plan::weight_cost(int64_t cells) const {
  const int64_t bytes = cells * group_in * group_out * static_cast<int64_t>(sizeof(float));
  return bytes <= kCachedWeights || isa->lanes > 8 ? 0.7 : 1.5;
}

// In vector multiply-adds per input and output channel; where half of both are open, as gates leave them, the
// transforms weigh twice. An image is always open, so that the transform of the outputs of a stem weighs once (counted
// twice it kept 3-64 channels at 32x32 direct, which takes 10 to 20 % longer). A product also pays for its weight, once
// per register tile: maps of few tiles are bound by that, and 4x4 maps, whose weights come from memory, would only read
// 1.8 times as many.
double Plan::winograd_cost(int m) const {
  const double vecs = static_cast<double>(ceil_div(ceil_div(out_w, m) * ceil_div(out_h, m), isa->lanes));
  const double in = m == 2 ? 80 : 200, out = m == 2 ? 80 : 220;  // instructions per vector of tiles
  const int points = winograd_points(m);
  return points * (vecs + weight_cost(points) * ceil(vecs / isa->winograd_nr)) +
         vecs * (2 * in / static_cast<double>(group_out) +
                 (group_in <= kImageChannels ? 1 : 2) * out / static_cast<double>(group_in));
}

double Plan::direct_cost() const {
  const double vecs = static_cast<double>(row_vecs() < packed_vecs() ? row_vecs() : packed_vecs());
  return static_cast<double>(n_taps) * (vecs + weight_cost(n_taps) * ceil(vecs / widest()));
}

// Zen 3, layers of 512 channels: kQuad is 1.4 to 1.8 times faster with 16-bit weights from the cache, because one
// shuffle replaces three instructions, and up to 1.9 from memory; kDot 1.04 and up to 1.5. Tiles pay a shift per
// weight, 5 to 10 % where multiplying takes the time, and gain where reading does: the fewer input channels are open,
// the fewer products each line of weights has. From memory 512 channels at 4x4 with half of the rows open took 1.28
// times less at 40 % of the inputs, 1.09 at 50 %, 1.03 at 60 %, and 4 % more at 80 %.
int64_t Plan::steps_that_gain() const {
  // Rows end in zeros up to a cache line: a depthwise row of nine weights would grow from 36 bytes to 64.
  const int64_t row = group_in * n_taps;
  if (bf16_row(row) * static_cast<int64_t>(sizeof(Bf16)) >= row * static_cast<int64_t>(sizeof(float))) return 0;
  if (algorithm == Algorithm::kQuad || algorithm == Algorithm::kDot) return shape.channels_in;
  const int64_t bytes = shape.channels_out * row * static_cast<int64_t>(sizeof(float));
  return bytes >= kStreamedWeights ? shape.channels_in * 3 / 5 : 0;
}

Algorithm Plan::choose_algorithm(int winograd) const {
  const Algorithm direct = choose_direct();
  if (pixels < kWinogradMinPixels) return direct;
  Algorithm best = direct;
  double cost = direct_cost();
  for (Algorithm f : {Algorithm::kWinograd2, Algorithm::kWinograd4}) {
    const int m = winograd_tile(f);
    if (!allows(f, winograd) || winograd_cost(m) >= cost) continue;
    best = f;
    cost = winograd_cost(m);
  }
  return best;
}

// 1x1: planes a multiple of 1 kB apart fall into few cache sets, and channels of one tile evict each other. Copying
// each once, to an odd distance, made 64 to 256 channels at 16x16 and 32x32 2 to 20 % faster on Zen 3, at 56x56 up to
// 11 % slower.
bool Plan::copy_pays() const { return pixels % 256 == 0 && group_out >= 32; }

Algorithm Plan::choose_direct() const {
  if (possible(Algorithm::kInPlace) && !(copy_pays() && possible(Algorithm::kColumns))) return Algorithm::kInPlace;
  if (possible(Algorithm::kQuad)) return Algorithm::kQuad;
  if (possible(Algorithm::kDot) && group_in * n_taps >= isa->lanes) return Algorithm::kDot;
  const bool rows = possible(Algorithm::kRows), columns = possible(Algorithm::kColumns);
  if (!rows || !columns) return rows ? Algorithm::kRows : columns ? Algorithm::kColumns : Algorithm::kGather;
  // Copying a vector costs about three multiply-adds of a vector; kColumns copies kernel_w times as much.
  const double per_copy = 6.0 / static_cast<double>(n_taps * group_out);
  // On large maps the copies of kColumns leave the caches: a 7x7 stem at 224 took 30 % longer with them.
  const bool strided = shape.stride_x > 1 && taps_kind == kTaps9 && pixels <= kSmallMap;
  const double row = strided ? isa->strided_rows : 1.0;
  const double row_cost = static_cast<double>(row_vecs()) * (row + per_copy);
  const double vecs_in_columns = static_cast<double>(packed_vecs()) - (dot_tail() ? 0.7 : 0.0);
  const double column_cost = vecs_in_columns * (1.0 + per_copy * static_cast<double>(shape.kernel_w));
  return row_cost <= column_cost ? Algorithm::kRows : Algorithm::kColumns;
}

}  // namespace sanp
