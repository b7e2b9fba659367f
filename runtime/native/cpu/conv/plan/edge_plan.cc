// Lays out the vectors of kDepthwiseInPlace and finds their masks.
#include "cpu/conv/plan/edge_plan.h"

#include <algorithm>

namespace sanp {
namespace {

// Rows follow each other in input and output at one distance: vectors may run over their ends.
bool flat(const Problem& p) { return p.shape.stride_y == 1 && p.shape.stride_x == 1 && p.out_w == p.shape.width; }

// Lanes of output pixels [first, first + count) that lie `step` input columns apart, for which a tap is inside the map.
uint16_t inside(const Problem& p, int64_t tap, int64_t first, int64_t count) {
  const ConvShape& s = p.shape;
  const Axis ay = y_axis(s, p.out_h), ax = x_axis(s, p.out_w);
  const int64_t down = ay.offset(tap / s.kernel_w), right = ax.offset(tap % s.kernel_w);
  unsigned bits = 0;
  for (int64_t j = 0; j < count * s.stride_x; ++j) {
    const int64_t pixel = first + j / s.stride_x;
    const int64_t y = pixel / p.out_w * s.stride_y + down, x = pixel % p.out_w * s.stride_x + j % s.stride_x + right;
    if (y >= 0 && y < s.height && x >= 0 && x < s.width) bits |= 1u << j;
  }
  return static_cast<uint16_t>(bits);
}

}  // namespace

EdgePlan::EdgePlan(const Problem& p) {
  if (strided_possible(p)) {
    add_strided(p);
    return;
  }
  const ConvShape& s = p.shape;
  for (int64_t ky = 0; ky < s.kernel_h; ++ky)
    for (int64_t kx = 0; kx < s.kernel_w; ++kx)
      taps.push_back((ky * s.dilation_y * s.width + kx * s.dilation_x) * static_cast<int64_t>(sizeof(float)));
  const int64_t most = p.isa->lanes / s.stride_x, run = flat(p) ? p.pixels : p.out_w;
  std::vector<uint16_t> set(static_cast<size_t>(p.n_taps));
  for (int64_t row = 0; row < p.pixels; row += run)
    for (int64_t i = 0; i < run; i += most) {
      // The last vector of a run is moved back over pixels that are done rather than left short.
      const int64_t first = row + (i + most <= run || run < most ? i : run - most);
      const int64_t count = run - i < most && run < most ? run : most;
      for (int64_t t = 0; t < p.n_taps; ++t) set[t] = inside(p, t, first, count);
      const int64_t y = first / p.out_w * s.stride_y - s.pad_top, x = first % p.out_w * s.stride_x - s.pad_left;
      add(p, y * s.width + x, first, count, set);
    }
}

void EdgePlan::add(const Problem& p, int64_t x, int64_t first, int64_t count, const std::vector<uint16_t>& set) {
  size_t at = 0;
  while (at < masks.size() && !std::equal(set.begin(), set.end(), masks.begin() + at)) at += p.n_taps;
  if (at == masks.size()) masks.insert(masks.end(), set.begin(), set.end());
  vecs.push_back(
      {static_cast<int32_t>(x), static_cast<int32_t>(first), static_cast<int32_t>(at), static_cast<int32_t>(count)});
}

void EdgePlan::add_strided(const Problem& p) {
  const int64_t lanes = p.isa->lanes;
  for (int64_t y = 0; y < p.out_w; y += lanes) {
    const int64_t count = p.out_w - y < lanes ? p.out_w - y : lanes, x = 2 * y - p.shape.pad_left;
    StridedVec vec{static_cast<int32_t>(x), static_cast<int32_t>(y), static_cast<int32_t>(count), {}};
    for (int64_t k = 0; k < p.shape.kernel_w; ++k)
      for (int64_t j = 0; j < count; ++j) {
        const int64_t lane = 2 * j + k % 2, column = x + k - k % 2 + lane;
        const bool used = column >= 0 && column < p.shape.width;
        vec.masks[k - k % 2 + lane / lanes] |= static_cast<uint16_t>((used ? 1u : 0u) << lane % lanes);
      }
    strided.push_back(vec);
  }
}

bool strided_possible(const Problem& p) {
  const ConvShape& s = p.shape;
  return s.stride_x == 2 && s.stride_y == 2 && s.dilation_x == 1 && s.dilation_y == 1 && s.kernel_w == s.kernel_h &&
         s.kernel_w <= kMaxStridedKernel && p.isa->depthwise_strided[s.kernel_w] != nullptr &&
         2 * p.out_w > p.isa->lanes;
}

bool edges_possible(const Problem& p) {
  const ConvShape& s = p.shape;
  const int64_t reach = (s.kernel_h * s.dilation_y + s.pad_top) * s.width + s.kernel_w * s.dilation_x + s.pad_left;
  return s.stride_x <= kMaxColumnStride && p.isa->depthwise_in_place[s.stride_x] != nullptr && p.n_taps <= 128 &&
         reach <= kMaxOffset && s.height * s.width <= kMaxOffset;
}

}  // namespace sanp
