// What the algorithms cost; constants were measured on Zen 3.
#include "cpu/conv/plan/choose_algorithm.h"

#include <math.h>

#include "cpu/conv/plan/channels_plan.h"
#include "cpu/conv/plan/depthwise_plan.h"
#include "cpu/conv/plan/edge_plan.h"
#include "cpu/conv/plan/pair_plan.h"

namespace sanp {
namespace {

constexpr int64_t kSmallMap = 256;  // pixels
constexpr int64_t kWinogradMinPixels = 17;
constexpr int64_t kMaskedPixels = 16;
constexpr int64_t kMaskedPixels512 = 49;
constexpr int64_t kImageChannels = 4;
constexpr int64_t kCachedWeights = int64_t{2} << 20;

// Weights that a second-level cache does not hold beside everything else.
constexpr int64_t kStreamedWeights = int64_t{512} << 10;

bool pointwise(const Problem& p) {
  return p.n_taps == 1 && p.shape.stride_y == 1 && p.shape.stride_x == 1 && p.shape.pad_top == 0 &&
         p.shape.pad_left == 0 && p.shape.pad_bottom == 0 && p.shape.pad_right == 0;
}

// Reading a weight, in vector multiply-adds. Weights past a second-level cache arrive at about 8 bytes a cycle, in
// which time two short vectors are multiplied.
double weight_cost(const Problem& p, int64_t cells) {
  const int64_t bytes = cells * p.group_in * p.group_out * static_cast<int64_t>(sizeof(float));
  return bytes <= kCachedWeights || p.isa->lanes > 8 ? 0.7 : 1.5;
}

// In vector multiply-adds per input and output channel; where half of both are open, as gates leave them, the
// transforms weigh twice. An image is always open, so that the transform of the outputs of a stem weighs once (counted
// twice it kept 3-64 channels at 32x32 direct, which takes 10 to 20 % longer). A product also pays for its weight, once
// per register tile: maps of few tiles are bound by that, and 4x4 maps, whose weights come from memory, would only read
// 1.8 times as many.
double winograd_cost(const Problem& p, int m) {
  const double vecs = static_cast<double>(ceil_div(ceil_div(p.out_w, m) * ceil_div(p.out_h, m), p.isa->lanes));
  const double in = m == 2 ? 80 : 200, out = m == 2 ? 80 : 220;  // instructions per vector of tiles
  const int points = winograd_points(m);
  return points * (vecs + weight_cost(p, points) * ceil(vecs / p.isa->winograd_nr)) +
         vecs * (2 * in / static_cast<double>(p.group_out) +
                 (p.group_in <= kImageChannels ? 1 : 2) * out / static_cast<double>(p.group_in));
}

double direct_cost(const Problem& p) {
  const double vecs = static_cast<double>(p.row_vecs() < p.packed_vecs() ? p.row_vecs() : p.packed_vecs());
  return static_cast<double>(p.n_taps) * (vecs + weight_cost(p, p.n_taps) * ceil(vecs / p.widest()));
}

// 1x1: planes a multiple of 1 kB apart fall into few cache sets, and channels of one tile evict each other. Copying
// each once, to an odd distance, made 64 to 256 channels at 16x16 and 32x32 2 to 20 % faster on Zen 3, at 56x56 up to
// 11 % slower.
bool copy_pays(const Problem& p) { return p.pixels % 256 == 0 && p.group_out >= 32; }

// Copying a channel of few pixels takes longer than what the copy saves. Zen 4, AVX-512, one thread: 960 channels at
// 3x3 41 us with copies and 20 without, 576 at 14x14 to 7x7 55 and 40, 960 at 7x7 47 and 43; 384 at 14x14 34 and 46.
// AVX2 makes its masks of lanes from bits, two instructions a tap: 960 channels at 3x3 40 and 25, at 7x7 47 and 57.
bool masks_pay(const Problem& p) {
  if (!possible(p, Algorithm::kDepthwiseInPlace)) return false;
  if (strided_possible(p)) return true;
  if (p.isa->lanes < 16) return p.n_taps <= 9 && p.pixels <= kMaskedPixels;
  return p.pixels <= kMaskedPixels || (p.n_taps <= 9 && p.pixels <= kMaskedPixels512);
}

// Lanes of output channels where lanes of pixels would be empty.
bool channels_pay(const Problem& p) {
  return possible(p, Algorithm::kChannels) && p.pixels <= kSmallMap && channels_rows(p) < p.shape.channels_out;
}

}  // namespace

Algorithm choose_direct(const Problem& p) {
  if (possible(p, Algorithm::kInPlace) && !(copy_pays(p) && possible(p, Algorithm::kColumns)))
    return Algorithm::kInPlace;
  if (masks_pay(p)) return Algorithm::kDepthwiseInPlace;
  if (possible(p, Algorithm::kDepthwise)) return Algorithm::kDepthwise;
  if (possible(p, Algorithm::kPixelPairs)) return Algorithm::kPixelPairs;
  if (possible(p, Algorithm::kDot) && p.group_in * p.n_taps >= p.isa->lanes) return Algorithm::kDot;
  const bool rows = possible(p, Algorithm::kRows), columns = possible(p, Algorithm::kColumns);
  if (!rows || !columns) return rows ? Algorithm::kRows : columns ? Algorithm::kColumns : Algorithm::kGather;
  // Copying a vector costs about three multiply-adds of a vector; kColumns copies kernel_w times as much.
  const double per_copy = 6.0 / static_cast<double>(p.n_taps * p.group_out);
  // On large maps the copies of kColumns leave the caches: a 7x7 stem at 224 took 30 % longer with them.
  const bool strided = p.shape.stride_x > 1 && p.taps_kind == kTaps9 && p.pixels <= kSmallMap;
  const double row = strided ? p.isa->strided_rows : 1.0;
  const double row_cost = static_cast<double>(p.row_vecs()) * (row + per_copy);
  const double vecs_in_columns = static_cast<double>(p.packed_vecs()) - (p.dot_tail() ? 0.7 : 0.0);
  const double column_cost = vecs_in_columns * (1.0 + per_copy * static_cast<double>(p.shape.kernel_w));
  return row_cost <= column_cost ? Algorithm::kRows : Algorithm::kColumns;
}

bool possible(const Problem& p, Algorithm f) {
  if (f == Algorithm::kGather) return true;
  if (f == Algorithm::kInPlace) return pointwise(p) && p.pixels % p.isa->lanes == 0;
  if (f == Algorithm::kDot) return p.pixels <= kDotMaxPixels;
  if (f == Algorithm::kPixelPairs) return pairs_possible(p);
  if (f == Algorithm::kWinograd2 || f == Algorithm::kWinograd4)
    return p.shape.group == 1 && p.shape.kernel_h == 3 && p.shape.kernel_w == 3 && p.shape.stride_y == 1 &&
           p.shape.stride_x == 1 && p.shape.dilation_y == 1 && p.shape.dilation_x == 1 && p.shape.pad_top < 4 &&
           p.shape.pad_left < 4 && p.shape.pad_bottom < 4 && p.shape.pad_right < 4 && p.pixels <= kWinogradMaxPixels;
  if (f == Algorithm::kChannels) return pointwise(p) && channels_possible(p) && possible(p, Algorithm::kRows);
  if (f == Algorithm::kDepthwiseInPlace) return one_channel_groups(p) && edges_possible(p);
  if (f == Algorithm::kDepthwise && !one_channel_groups(p)) return false;
  // Bordered planes must not be far larger than the map itself (huge pads or dilations).
  const Axis ay = y_axis(p.shape, p.out_h), ax = x_axis(p.shape, p.out_w);
  const bool columns = f == Algorithm::kColumns;
  const int64_t rows = ay.length(), cols = columns ? p.out_w : ax.length();
  if (rows > kMaxExtent || cols > kMaxExtent) return false;
  const int64_t copies = static_cast<int64_t>(ay.phases().size()) *
                         (columns ? p.shape.kernel_w : static_cast<int64_t>(ax.phases().size()));
  const int64_t room = 8 * copies * (p.shape.height * p.shape.width + p.pixels) + 65536;
  return rows * cols <= room / copies && rows * cols <= kMaxOffset / copies;
}

Algorithm choose_algorithm(const Problem& p, int winograd, bool copies) {
  if (copies && channels_pay(p)) return Algorithm::kChannels;
  const Algorithm direct = choose_direct(p);
  if (p.pixels < kWinogradMinPixels) return direct;
  Algorithm best = direct;
  double cost = direct_cost(p);
  for (Algorithm f : {Algorithm::kWinograd2, Algorithm::kWinograd4}) {
    const int m = winograd_tile(f);
    if (m > winograd || !possible(p, f) || winograd_cost(p, m) >= cost) continue;
    best = f;
    cost = winograd_cost(p, m);
  }
  return best;
}

// Zen 3, layers of 512 channels: kPixelPairs is 1.4 to 1.8 times faster with 16-bit weights from the cache, because one
// shuffle replaces three instructions, and up to 1.9 from memory; kDot 1.04 and up to 1.5. Tiles pay a shift per
// weight, 5 to 10 % where multiplying takes the time, and gain where reading does: the fewer input channels are open,
// the fewer products each line of weights has. From memory 512 channels at 4x4 with half of the rows open took 1.28
// times less at 40 % of the inputs, 1.09 at 50 %, 1.03 at 60 %, and 4 % more at 80 %.
int64_t bf16_steps_that_gain(const Problem& p, Algorithm f) {
  // Rows end in zeros up to a cache line: a depthwise row of nine weights would grow from 36 bytes to 64.
  const int64_t row = p.row_weights();
  if (bf16_row(row) * static_cast<int64_t>(sizeof(Bf16)) >= row * static_cast<int64_t>(sizeof(float))) return 0;
  if (f == Algorithm::kPixelPairs || f == Algorithm::kDot) return p.shape.channels_in;
  const int64_t bytes = p.shape.channels_out * row * static_cast<int64_t>(sizeof(float));
  return bytes >= kStreamedWeights ? p.shape.channels_in * 3 / 5 : 0;
}

}  // namespace sanp
