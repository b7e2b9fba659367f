// Lays the pixels of a shape out into vectors and tiles, for the algorithm chosen in choose_algorithm.cc.
#include "cpu/conv/plan/plan.h"

#include <string.h>

namespace sanp {

const char* algorithm_name(Algorithm algorithm) {
  switch (algorithm) {
    case Algorithm::kInPlace:
      return "in-place";
    case Algorithm::kRows:
      return "rows";
    case Algorithm::kColumns:
      return "columns";
    case Algorithm::kGather:
      return "gather";
    case Algorithm::kDot:
      return "dot";
    case Algorithm::kQuad:
      return "quad";
    case Algorithm::kWinograd2:
      return "winograd-2";
    case Algorithm::kWinograd4:
      return "winograd-4";
  }
  return "?";
}

std::optional<Algorithm> algorithm_of(const char* name) {
  for (Algorithm algorithm : kAlgorithms)
    if (strcmp(algorithm_name(algorithm), name) == 0) return algorithm;
  return {};
}

Plan::Plan(const ConvShape& s, const IsaKernels& kernels, int winograd, std::optional<Algorithm> wish) {
  init(s, kernels);
  algorithm = wish && allows(*wish, winograd) ? *wish : choose_algorithm(winograd);
  lay_out();
}

Plan::Plan(const ConvShape& s, const IsaKernels& kernels, Algorithm wanted) {
  init(s, kernels);
  algorithm = possible(wanted) ? wanted : Algorithm::kGather;
  lay_out();
}

void Plan::init(const ConvShape& s, const IsaKernels& kernels) {
  shape = s;
  isa = &kernels;
  s.output_size(&out_h, &out_w);
  pixels = out_h * out_w;
  group_in = s.channels_in / s.group;
  group_out = s.channels_out / s.group;
  n_taps = s.kernel_h * s.kernel_w;
  taps_kind = n_taps == 1 ? kTaps1 : n_taps == 9 ? kTaps9 : kTapsAny;
  cell_floats = n_taps;
  row_floats = group_in * n_taps;
  weights = kFloatWeights;
  narrow_steps = 0;
  plane = Plane{};
  panel_floats = 0;
  tail_pixels = 0;
  max_mr = 1;
}

int Plan::widest() const { return taps_kind == kTaps9 ? isa->max_nr9 : isa->max_nr; }

int64_t Plan::row_vecs() const { return out_h * ceil_div(out_w, isa->lanes); }
int64_t Plan::packed_vecs() const { return ceil_div(pixels, isa->lanes); }

// 7x7 is three vectors of 16 and one pixel, 15x15 fourteen and one: a fourth vector for one pixel would cost a third
// more. Dot products over that pixel read all input channels, active or not, hence the limit of a quarter vector.
int64_t Plan::dot_tail() const {
  const int64_t tail = pixels % isa->lanes;
  return pixels > isa->lanes && tail <= kDotMaxPixels && tail * 4 <= isa->lanes ? tail : 0;
}

void Plan::lay_out() {
  if (algorithm == Algorithm::kDot) return;
  if (algorithm == Algorithm::kWinograd2 || algorithm == Algorithm::kWinograd4) return lay_out_winograd();
  if (algorithm == Algorithm::kQuad) {
    quad_taps = pair_taps();
    return;
  }
  if (algorithm == Algorithm::kRows || algorithm == Algorithm::kColumns) lay_out_planes();
  if (algorithm == Algorithm::kInPlace) taps.push_back(0);
  if (algorithm == Algorithm::kColumns) tail_pixels = dot_tail();
  lay_out_vecs();
  split_tiles(static_cast<int64_t>(vecs.size()), widest());
}

void Plan::lay_out_planes() {
  const Axis ay = y_axis(shape, out_h), ax = x_axis(shape, out_w);
  const bool columns = algorithm == Algorithm::kColumns;
  const std::vector<int64_t> row_phases = ay.phases(), col_phases = ax.phases();
  const int64_t rows = ay.length(), cols = columns ? out_w : ax.length();
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
  plane.part_floats = rows * cols;
  plane.source_step = shape.width * shape.stride_y;
  plane.stride_x = static_cast<int32_t>(shape.stride_x);
  // Slack: the last row is closed like the others, up to the next row's data, with whole vectors. Channels a multiple
  // of 4 kB apart would share cache sets: at 32x32 that halves the speed.
  plane.channel_floats = ceil_div(plane.part_floats * plane.n_parts + left_border + isa->lanes, 16) * 16;
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

std::vector<int32_t> Plan::pair_taps() const {
  std::vector<int32_t> taps_of_pairs(kQuadLanes, -1);
  const int64_t inputs = shape.height * shape.width;
  for (int64_t p = 0; p < pixels; ++p)
    for (int64_t t = 0; t < n_taps; ++t) {
      const int64_t y = p / out_w * shape.stride_y - shape.pad_top + t / shape.kernel_w * shape.dilation_y;
      const int64_t x = p % out_w * shape.stride_x - shape.pad_left + t % shape.kernel_w * shape.dilation_x;
      if (y < 0 || y >= shape.height || x < 0 || x >= shape.width) continue;
      taps_of_pairs[p * inputs + y * shape.width + x] = static_cast<int32_t>(t);
    }
  return taps_of_pairs;
}

void Plan::lay_out_vecs() {
  const int64_t lanes = isa->lanes;
  const bool by_row = algorithm == Algorithm::kRows;
  const int64_t rows = by_row ? out_h : 1, cols = by_row ? out_w : pixels - tail_pixels,
                pitch = by_row ? plane.pitch : 0;
  for (int64_t y = 0; y < rows; ++y)
    for (int64_t x = 0; x < cols; x += lanes) {
      const int64_t count = cols - x < lanes ? cols - x : lanes;
      vecs.push_back(
          {static_cast<int32_t>(y * pitch + x), static_cast<int32_t>(y * cols + x), static_cast<int32_t>(count)});
    }
}

void Plan::lay_out_winograd() {
  const int m = winograd_tile(algorithm);
  winograd.m = m;
  cell_floats = 1;
  row_floats = winograd.points() * group_in;
  split_tiles(ceil_div(ceil_div(out_w, m) * ceil_div(out_h, m), isa->lanes), isa->winograd_nr);
  std::vector<int32_t> first;
  for (const Tile& tile : tiles) first.push_back(tile.first_vec);
  first.push_back(tiles.back().first_vec + tiles.back().nr);
  winograd.lay_out(shape, out_h, out_w, isa->lanes, first);
}

// Even split: 15 vectors become 3 + 4 + 4 + 4, and every NR has a kernel, so nothing is padded. The last is the widest.
void Plan::split_tiles(int64_t n, int max_nr) {
  const int64_t count = ceil_div(n, max_nr);
  int widest = 1;
  for (int64_t t = 0; t < count; ++t) {
    const int64_t begin = n * t / count, end = n * (t + 1) / count;
    const int nr = static_cast<int>(end - begin);
    widest = nr > widest ? nr : widest;
    tiles.push_back({static_cast<int32_t>(begin), nr, panel_floats});
    panel_floats += n_taps * nr * isa->lanes;
  }
  max_mr = isa->max_mr[widest];
  if (algorithm != Algorithm::kGather) return;
  for (int nr = 1; nr <= isa->max_nr; ++nr)
    for (int64_t t = 0; t < n_taps; ++t)
      panel_taps[nr].push_back(t * nr * isa->lanes * static_cast<int64_t>(sizeof(float)));
}

bool Plan::has_kernels(WeightKind kind) const {
  if (algorithm == Algorithm::kQuad) return isa->quad[kind][1] != nullptr;
  for (const Tile& tile : tiles)
    if (isa->tile[kind][taps_kind][tile.nr][1] == nullptr) return false;
  return true;
}

bool Plan::narrow(bool always) {
  if (winograd.m != 0 || pixels > kNarrowPixels || !has_kernels(kBf16Weights)) return false;
  const int64_t most = always ? shape.channels_in : steps_that_gain();
  if (most == 0) return false;
  weights = kBf16Weights;
  narrow_steps = most;
  row_floats = bf16_row(group_in * n_taps) * static_cast<int64_t>(sizeof(Bf16)) / static_cast<int64_t>(sizeof(float));
  return true;
}

Prepared Plan::prepared_kind() const {
  if (winograd.m != 0) return winograd.m == 2 ? kPreparedWinograd2 : kPreparedWinograd4;
  return weights == kBf16Weights ? kPreparedBf16 : kNotPrepared;
}

void Plan::prepare(const float* w, void* out) const {
  if (weights == kBf16Weights) return bf16_rows(w, shape.channels_out, group_in * n_taps, static_cast<Bf16*>(out));
  winograd_weights(shape, winograd.m, w, static_cast<float*>(out));
}

}  // namespace sanp
