// Chooses the vectors and the strips of a depthwise convolution.
#include "cpu/conv/plan/depthwise_plan.h"

namespace sanp {
namespace {

constexpr int64_t kStripFloats = 3072;  // of a first-level cache of 32 kB, which holds input and output besides

// Rows of 7, 40 or 56 pixels leave half of their last vector of 16 empty. Two vectors of eight take the time of one of
// 16, so that costs half a vector.
const IsaKernels* fitting(const Problem& p) {
  const int64_t last = p.out_w % p.isa->lanes;
  return p.isa->narrower && last > 0 && 2 * last <= p.isa->lanes ? &p.isa->narrower() : p.isa;
}

// Even strips: 112 rows of which 27 fit are 4 x 23 + 20.
int64_t even_strip(const Problem& p, int64_t span) {
  const Axis ay = y_axis(p.shape, p.out_h), ax = x_axis(p.shape, p.out_w);
  const int64_t row = static_cast<int64_t>(ay.phases().size() * ax.phases().size()) * ax.length();
  const int64_t fit = kStripFloats / row - span, least = span > 4 ? span : 4;
  return ceil_div(p.out_h, ceil_div(p.out_h, fit > least ? fit : least));
}

}  // namespace

DepthwisePlan::DepthwisePlan(const Problem& p)
    : isa(fitting(p)),
      row_span(y_axis(p.shape, p.out_h).length() - p.out_h),
      strip_rows(even_strip(p, row_span)),
      strips(ceil_div(p.out_h, strip_rows)),
      planes(Problem(p.shape, *isa), false, strip_rows) {
  const int64_t fit = kStripFloats / planes.plane.channel_floats;
  channels_ahead = strips > 1 || fit < 1 ? 1 : fit < kMostChannelsAhead ? fit : kMostChannelsAhead;
  const int64_t row_bytes = planes.plane.pitch * static_cast<int64_t>(sizeof(float));
  const int32_t width = static_cast<int32_t>(p.shape.kernel_w), height = static_cast<int32_t>(p.shape.kernel_h);
  // Columns outside, so that every output pixel adds its taps in one order, whatever rows it is computed with.
  for (int32_t x = 0; x < width; ++x)
    for (int32_t phase = 0; phase < height && phase < p.shape.stride_y; ++phase)
      for (int32_t y = phase; y < height; y += static_cast<int32_t>(p.shape.stride_y)) {
        const ptrdiff_t offset = planes.taps[y * width + x];
        TapChain* const open = y == phase ? nullptr : &chains.back();
        if (open && open->length < kMaxChain && offset == open->offset + open->length * row_bytes)
          ++open->length;
        else
          chains.push_back({offset, y * width + x, width * static_cast<int32_t>(p.shape.stride_y), 1});
      }
}

bool one_channel_groups(const Problem& p) { return p.group_in == 1 && p.shape.group > 1; }

}  // namespace sanp
