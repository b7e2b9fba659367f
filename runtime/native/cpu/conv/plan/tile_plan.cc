// Lays the pixels of a shape out into vectors, tiles, planes and panels.
#include "cpu/conv/plan/tile_plan.h"

namespace sanp {
namespace {

// Vectors over `rows` rows of `cols` output pixels, whose input lies `pitch` floats apart.
TilePlan plan_tiles(const Problem& p, int64_t rows, int64_t cols, int64_t pitch) {
  TilePlan plan;
  const int64_t lanes = p.isa->lanes;
  for (int64_t y = 0; y < rows; ++y)
    for (int64_t x = 0; x < cols; x += lanes) {
      const int64_t count = cols - x < lanes ? cols - x : lanes;
      plan.vecs.push_back(
          {static_cast<int32_t>(y * pitch + x), static_cast<int32_t>(y * cols + x), static_cast<int32_t>(count)});
    }
  plan.tiles = split_tiles(static_cast<int64_t>(plan.vecs.size()), p.widest());
  plan.max_mr = p.isa->max_mr[plan.tiles.back().nr];
  return plan;
}

}  // namespace

std::vector<Tile> split_tiles(int64_t n, int max_nr) {
  std::vector<Tile> tiles;
  const int64_t count = ceil_div(n, max_nr);
  for (int64_t t = 0; t < count; ++t) {
    const int64_t begin = n * t / count, end = n * (t + 1) / count;
    tiles.push_back({static_cast<int32_t>(begin), static_cast<int32_t>(end - begin)});
  }
  return tiles;
}

InPlacePlan::InPlacePlan(const Problem& p) : tiles(plan_tiles(p, 1, p.pixels, 0)), taps{0} {}

PlanesPlan::PlanesPlan(const Problem& p, bool columns, int64_t out_rows)
    : plane{}, tail_pixels(columns ? p.dot_tail() : 0) {
  lay_out(p, columns, out_rows);
  tiles = columns ? plan_tiles(p, 1, p.pixels - tail_pixels, 0) : plan_tiles(p, out_rows, p.out_w, plane.pitch);
}

void PlanesPlan::lay_out(const Problem& p, bool columns, int64_t out_rows) {
  const ConvShape& shape = p.shape;
  const Axis ay = y_axis(shape, p.out_h), ax = x_axis(shape, p.out_w);
  const std::vector<int64_t> row_phases = ay.phases(), col_phases = ax.phases();
  const int64_t rows = ay.length(), cols = columns ? p.out_w : ax.length();
  const int64_t copies = columns ? shape.kernel_w : static_cast<int64_t>(col_phases.size());
  int64_t left_border = 0;
  for (int64_t phase : row_phases)
    for (int64_t i = 0; i < copies; ++i) {
      const int64_t first_row = ay.first_shift() * shape.stride_y + phase;
      const int64_t first_col = columns ? ax.offset(i) : ax.first_shift() * shape.stride_x + col_phases[i];
      int64_t r0, r1, c0, c1;
      ay.inside(first_row, rows, &r0, &r1);
      ax.inside(first_col, cols, &c0, &c1);
      if (c0 == c1) r1 = r0;  // nothing of the input in it: an all-zero plane
      left_border = c0 > left_border ? c0 : left_border;
      parts.push_back({static_cast<int32_t>(r0), static_cast<int32_t>(r1), static_cast<int32_t>(c0),
                       static_cast<int32_t>(c1),
                       (first_row + r0 * shape.stride_y) * shape.width + first_col + c0 * shape.stride_x});
    }
  plane.parts = parts.data();
  plane.n_parts = static_cast<int32_t>(parts.size());
  plane.pitch = static_cast<int32_t>(cols);
  plane.part_floats = (rows - p.out_h + out_rows) * cols;
  plane.source_step = shape.width * shape.stride_y;
  plane.stride_x = static_cast<int32_t>(shape.stride_x);
  // Slack: the last row is closed like the others, up to the next row's data, with whole vectors. Channels a multiple
  // of 4 kB apart would share cache sets: at 32x32 that halves the speed.
  plane.channel_floats = ceil_div(plane.part_floats * plane.n_parts + left_border + p.isa->lanes, 16) * 16;
  if (plane.channel_floats % 1024 == 0) plane.channel_floats += 16;

  for (int64_t y = 0; y < shape.kernel_h; ++y)
    for (int64_t x = 0; x < shape.kernel_w; ++x) {
      const int64_t copy = columns ? x : Axis::index_of(col_phases, ax.phase(x));
      const int64_t part = Axis::index_of(row_phases, ay.phase(y)) * copies + copy;
      const int64_t shift = columns ? 0 : ax.shift(x) - ax.first_shift();
      const int64_t offset = part * plane.part_floats + (ay.shift(y) - ay.first_shift()) * cols + shift;
      taps.push_back(offset * static_cast<int64_t>(sizeof(float)));
    }
}

GatherPlan::GatherPlan(const Problem& p) : tiles(plan_tiles(p, 1, p.pixels, 0)), panels{0} {
  for (const Tile& tile : tiles.tiles) panels.push_back(panels.back() + p.n_taps * tile.nr * p.isa->lanes);
  for (int nr = 1; nr <= p.isa->max_nr; ++nr)
    for (int64_t t = 0; t < p.n_taps; ++t)
      taps[nr].push_back(t * nr * p.isa->lanes * static_cast<int64_t>(sizeof(float)));
}

}  // namespace sanp
