// Cuts an output map into Winograd tiles, and transforms weights.
#include "cpu/conv/plan/winograd_plan.h"

namespace sanp {
namespace {

// G of F(m, 3): the kernel as a polynomial at every point, over the product of the distances to the other points.
void kernel_matrix(int m, double g[6][3]) {
  if (m == 2) {
    const double rows[4][3] = {{1, 0, 0}, {0.5, 0.5, 0.5}, {0.5, -0.5, 0.5}, {0, 0, 1}};
    for (int t = 0; t < 4; ++t)
      for (int k = 0; k < 3; ++k) g[t][k] = rows[t][k];
    return;
  }
  const double a = kWinogradA, b = kWinogradB;
  const double point[] = {a, -a, b, -b}, other[] = {b, b, a, a};
  for (int k = 0; k < 3; ++k) {
    g[0][k] = k == 0 ? 1 / (a * a * b * b) : 0;
    g[5][k] = k == 2 ? 1 : 0;
  }
  for (int i = 0; i < 4; ++i) {
    const double p = point[i], scale = 1 / (2 * p * p * (p * p - other[i] * other[i]));
    for (int k = 0; k < 3; ++k) g[i + 1][k] = scale * (k == 0 ? 1 : k == 1 ? p : p * p);
  }
}

}  // namespace

int64_t WinogradPlan::input_floats(const ConvShape& s, int lanes) const {
  return most_rows * (m + 2) * pitch + s.width + lanes;
}

int64_t WinogradPlan::output_floats(int lanes) const { return most_rows * m * plane_pitch + lanes; }

WinogradPlan::WinogradPlan(const Problem& p, int edge)
    : m(edge),
      tiles_x(ceil_div(p.out_w, m)),
      tiles(tiles_x * ceil_div(p.out_h, m)),
      register_tiles(split_tiles(ceil_div(tiles, p.isa->lanes), p.isa->winograd_nr)) {
  lay_out(p);
}

void WinogradPlan::lay_out(const Problem& p) {
  const ConvShape& s = p.shape;
  const int64_t out_h = p.out_h, out_w = p.out_w, lanes = p.isa->lanes;
  // A tile reads twice four floats where m is 4; zeros end on a whole vector behind the data.
  const int64_t data = s.pad_left + ceil_div(s.width, lanes) * lanes, need = tiles_x * m + 4;
  pitch = static_cast<int32_t>(data + ceil_div(need > data ? need - data : 0, lanes) * lanes);
  plane_pitch = static_cast<int32_t>(tiles_x * m);
  read.resize(static_cast<size_t>(ceil_div(tiles, lanes) * lanes));
  write.resize(read.size());
  std::vector<size_t> first_run;
  for (const Tile& block : register_tiles) {
    const int64_t begin = block.first_vec * lanes, lanes_end = begin + block.nr * lanes;
    const int64_t end = lanes_end < tiles ? lanes_end : tiles;
    const int64_t row0 = begin / tiles_x, row1 = (end - 1) / tiles_x;
    for (int64_t lane = begin; lane < lanes_end; ++lane) {
      const int64_t tile = lane < tiles ? lane : tiles - 1, ty = tile / tiles_x - row0, tx = tile % tiles_x;
      read[lane] = ty * (m + 2) * pitch + tx * m;
      write[lane] = ty * m * plane_pitch + tx * m;
    }
    first_run.push_back(runs.size());
    for (int64_t row = row0; row <= row1; ++row) {
      const int64_t x0 = row == row0 ? begin % tiles_x * m : 0;
      const int64_t x1 = row == row1 ? ((end - 1) % tiles_x + 1) * m : out_w;
      for (int64_t y = row * m; y < (row + 1) * m && y < out_h; ++y) {
        const PixelRun run{static_cast<int32_t>((y - row0 * m) * plane_pitch + x0),
                           static_cast<int32_t>(y * out_w + x0), static_cast<int32_t>((x1 < out_w ? x1 : out_w) - x0)};
        PixelRun* const last = runs.size() > first_run.back() ? &runs.back() : nullptr;
        if (last && last->from + last->count == run.from && last->to + last->count == run.to)
          last->count += run.count;
        else
          runs.push_back(run);
      }
    }
    most_rows = row1 - row0 + 1 > most_rows ? row1 - row0 + 1 : most_rows;
    blocks.push_back(
        {static_cast<int32_t>(row0), static_cast<int32_t>(row1 - row0 + 1), &read[begin], &write[begin], nullptr, 0});
  }
  first_run.push_back(runs.size());
  for (size_t b = 0; b < blocks.size(); ++b) {
    blocks[b].runs = runs.data() + first_run[b];
    blocks[b].n_runs = static_cast<int32_t>(first_run[b + 1] - first_run[b]);
  }
}

void winograd_weights(const ConvShape& s, int m, const float* w, float* out) {
  double g[6][3];
  kernel_matrix(m, g);
  const int t = m + 2;
  for (int64_t o = 0; o < s.channels_out; ++o, out += t * t * s.channels_in)
    for (int64_t i = 0; i < s.channels_in; ++i, w += 9) {
      double rows[6][3];
      for (int r = 0; r < t; ++r)
        for (int k = 0; k < 3; ++k) rows[r][k] = g[r][0] * w[k] + g[r][1] * w[3 + k] + g[r][2] * w[6 + k];
      for (int r = 0; r < t; ++r)
        for (int c = 0; c < t; ++c)
          out[(r * t + c) * s.channels_in + i] =
              static_cast<float>(g[c][0] * rows[r][0] + g[c][1] * rows[r][1] + g[c][2] * rows[r][2]);
    }
}

}  // namespace sanp
