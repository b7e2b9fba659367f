// Algorithms whose lanes are output pixels: pack the active input channels (or not), then run the tiles.
#include "cpu/conv/dot_run.h"
#include "cpu/conv/tile_run.h"

namespace sanp {
namespace {

// Pixels expanded at once by kGather; larger panels are built and used in chunks of tiles.
constexpr int64_t kPanelFloats = int64_t{1} << 20;

// Copying a pixel, in vector multiply-adds: small planes are mostly borders. Measured on Zen 3, 4x4 to 32x32: 2 to 6.
constexpr int64_t kCopyWork = 4;

// The steps of packed pixels count packed channels instead of input channels. Carved behind the pixels.
const Step* packed_steps(const GroupRun& g, float* memory) {
  Step* out = reinterpret_cast<Step*>(memory);
  for (int32_t a = 0; a < g.n_steps; ++a) out[a] = {a, g.steps[a].w_offset};
  return out;
}

void gather_channel(const Plan& plan, const float* channel, const Tile& tile, float* dst) {
  const ConvShape& s = plan.shape;
  const int64_t lanes = static_cast<int64_t>(tile.nr) * plan.isa->lanes;
  const int64_t first = static_cast<int64_t>(tile.first_vec) * plan.isa->lanes;
  for (int64_t ky = 0; ky < s.kernel_h; ++ky)
    for (int64_t kx = 0; kx < s.kernel_w; ++kx)
      for (int64_t p = first; p < first + lanes; ++p) {
        const int64_t y = p / plan.out_w * s.stride_y - s.pad_top + ky * s.dilation_y;
        const int64_t x = p % plan.out_w * s.stride_x - s.pad_left + kx * s.dilation_x;
        const bool inside = p < plan.pixels && y >= 0 && y < s.height && x >= 0 && x < s.width;
        *dst++ = inside ? channel[y * s.width + x] : 0.0f;
      }
}

}  // namespace

bool run_in_place(const InPlacePlan& layout, const GroupRun& g, const Pool& pool, bool fill) {
  const Plan& plan = *g.s.plan;
  const int64_t plane = plan.shape.height * plan.shape.width;
  const float* const x = g.s.x + g.group * plan.group_in * plane;
  TileRun(g, layout.tiles, layout.taps, g.steps, x, plane).run(pool, fill);
  return true;
}

bool run_planes(const PlanesPlan& layout, const GroupRun& g, const Pool& pool, bool fill) {
  const Plan& plan = *g.s.plan;
  const int64_t channel = layout.plane.channel_floats;
  const int64_t slack = plan.isa->lanes;  // the last vector of a plane may read past it
  const int64_t floats = g.n_steps * channel + slack;
  const DotRun tail(g, plan.pixels - layout.tail_pixels);
  float* const x = pixel_floats(floats + tail.floats(), g.n_steps);
  if (x == nullptr) return false;
  for (int64_t j = 0; j < slack; ++j) x[floats - slack + j] = 0.0f;
  const Step* const steps = packed_steps(g, x + floats + tail.floats());

  const size_t tasks = task_count(g.n_steps * channel * kCopyWork, g.n_steps);
  auto pack = [&](size_t index) {
    const int32_t end = share(g.n_steps, index + 1, tasks);
    for (int32_t a = share(g.n_steps, index, tasks); a < end; ++a)
      plan.isa->pack_plane(layout.plane, g.channel(a), x + a * channel);
  };
  parallel_for(pool, tasks, pack);
  TileRun(g, layout.tiles, layout.taps, steps, x, channel).run(pool, fill);
  if (layout.tail_pixels > 0) {
    tail.expand(x + floats);
    tail.run(x + floats, pool, false);
  }
  return true;
}

bool run_gather(const GroupRun& g, const Pool& pool, bool fill) {
  const Plan& plan = *g.s.plan;
  const auto& layout = plan.layout_as<GatherPlan>();
  const int64_t n_tiles = layout.tiles.count();
  for (int64_t tile0 = 0, tile1; tile0 < n_tiles; tile0 = tile1) {
    auto floats = [&](int64_t end) { return (layout.panels[end] - layout.panels[tile0]) * g.n_steps; };
    for (tile1 = tile0 + 1; tile1 < n_tiles && floats(tile1 + 1) <= kPanelFloats;) ++tile1;
    float* const x = pixel_floats(floats(tile1), g.n_steps);
    if (x == nullptr) return false;
    const Step* const steps = packed_steps(g, x + floats(tile1));

    const size_t tasks = task_count(floats(tile1) * kCopyWork, g.n_steps);
    auto pack = [&](size_t index) {
      const int32_t end = share(g.n_steps, index + 1, tasks);
      for (int32_t a = share(g.n_steps, index, tasks); a < end; ++a)
        for (int64_t t = tile0; t < tile1; ++t) {
          const Tile& tile = layout.tiles.tiles[t];
          gather_channel(plan, g.channel(a), tile, x + floats(t) + a * plan.n_taps * tile.nr * plan.isa->lanes);
        }
    };
    parallel_for(pool, tasks, pack);
    TileRun(g, layout, steps, x, tile0, tile1).run(pool, fill && tile0 == 0);
  }
  return true;
}

}  // namespace sanp
