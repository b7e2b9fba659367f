// Chooses the family of a shape and lays its pixels out into vectors and tiles.
#include "plan.h"

#include <limits>

namespace sanp {
namespace {

constexpr int64_t kMaxExtent = int64_t{1} << 30;   // one dimension after padding
constexpr int64_t kMaxTaps = int64_t{1} << 24;
constexpr int64_t kMaxOffset = (int64_t{1} << 31) - 4096;  // floats one 32-bit offset can span

int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
int64_t floor_div(int64_t a, int64_t b) { return a >= 0 ? a / b : -ceil_div(-a, b); }

bool extent(int64_t size, int64_t begin, int64_t end, int64_t kernel, int64_t stride, int64_t dilation, int64_t* out) {
  if (size < 1 || kernel < 1 || stride < 1 || dilation < 1 || begin < 0 || end < 0) return false;
  if (size > kMaxExtent || begin > kMaxExtent || end > kMaxExtent || kernel > kMaxExtent || dilation > kMaxExtent)
    return false;
  const int64_t reach = (kernel - 1) * dilation + 1;
  const int64_t padded = size + begin + end;
  if (reach > padded || padded > kMaxExtent) return false;
  *out = (padded - reach) / stride + 1;
  return true;
}

// One axis of the phase split: which phases the taps touch and which shifts they need.
struct Axis {
  int64_t stride, pad, dilation, kernel, size, out;
  int64_t shift(int64_t k) const { return floor_div(k * dilation - pad, stride); }
  int64_t phase(int64_t k) const { return k * dilation - pad - shift(k) * stride; }
  int64_t first_shift() const { return shift(0); }
  int64_t length() const { return out + shift(kernel - 1) - shift(0); }
  // Elements of the plane of phase r that exist in the input: [begin, end).
  void valid(int64_t r, int64_t* begin, int64_t* end) const {
    const int64_t low = ceil_div(-r, stride) - first_shift();
    const int64_t high = floor_div(size - 1 - r, stride) - first_shift() + 1;
    const int64_t n = length();
    *begin = low < 0 ? 0 : (low > n ? n : low);
    *end = high < *begin ? *begin : (high > n ? n : high);
  }
};

Axis y_axis(const ConvShape& s, int64_t out) {
  return {s.stride_y, s.pad_top, s.dilation_y, s.kernel_h, s.height, out};
}
Axis x_axis(const ConvShape& s, int64_t out) {
  return {s.stride_x, s.pad_left, s.dilation_x, s.kernel_w, s.width, out};
}

}  // namespace

const char* family_name(Family family) {
  switch (family) {
    case Family::kInPlace: return "in-place";
    case Family::kShift: return "shift";
    case Family::kPanel: return "panel";
    case Family::kGather: return "gather";
    case Family::kDot: return "dot";
  }
  return "?";
}

bool ConvShape::operator==(const ConvShape& o) const {
  return channels_in == o.channels_in && height == o.height && width == o.width && channels_out == o.channels_out &&
         kernel_h == o.kernel_h && kernel_w == o.kernel_w && stride_y == o.stride_y && stride_x == o.stride_x &&
         pad_top == o.pad_top && pad_left == o.pad_left && pad_bottom == o.pad_bottom && pad_right == o.pad_right &&
         dilation_y == o.dilation_y && dilation_x == o.dilation_x && group == o.group;
}

bool ConvShape::output_size(int64_t* out_h, int64_t* out_w) const {
  if (!extent(height, pad_top, pad_bottom, kernel_h, stride_y, dilation_y, out_h)) return false;
  if (!extent(width, pad_left, pad_right, kernel_w, stride_x, dilation_x, out_w)) return false;
  if (channels_in < 1 || channels_out < 1 || group < 1) return false;
  if (channels_in > kMaxOffset || channels_out > kMaxOffset || kernel_h * kernel_w > kMaxTaps) return false;
  // Every index inside one channel and one weight row is 32 bits wide.
  return *out_h * *out_w <= kMaxOffset && height * width <= kMaxOffset &&
         channels_in / group <= kMaxOffset / (kernel_h * kernel_w);
}

Plan::Plan(const ConvShape& s, const IsaKernels& kernels) {
  init(s, kernels);
  const bool plane_fits = build_plane();
  if (plane_fits)
    choose_family();
  else
    family = Family::kGather;
  lay_out();
}

Plan::Plan(const ConvShape& s, const IsaKernels& kernels, Family wanted) {
  init(s, kernels);
  family = build_plane() || wanted == Family::kDot ? wanted : Family::kGather;
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
  panel_floats = 0;
}

// False when bordered planes would be far larger than the map itself (huge pads or dilations).
bool Plan::build_plane() {
  const Axis ay = y_axis(shape, out_h), ax = x_axis(shape, out_w);
  std::vector<int64_t> ry, rx;  // distinct phases in order of first use
  auto phase_index = [](std::vector<int64_t>& list, int64_t r) {
    for (size_t i = 0; i < list.size(); ++i)
      if (list[i] == r) return i;
    list.push_back(r);
    return list.size() - 1;
  };
  for (int64_t k = 0; k < shape.kernel_h; ++k) phase_index(ry, ay.phase(k));
  for (int64_t k = 0; k < shape.kernel_w; ++k) phase_index(rx, ax.phase(k));
  const int64_t rows = ay.length(), cols = ax.length();
  const int64_t planes = static_cast<int64_t>(ry.size() * rx.size());
  const int64_t room = 8 * (shape.height * shape.width + pixels) + 65536;
  if (rows > kMaxExtent || cols > kMaxExtent || rows * cols > room / planes || rows * cols * planes > kMaxOffset)
    return false;

  plane = Plane{};
  plane.rows = static_cast<int32_t>(rows);
  plane.cols = static_cast<int32_t>(cols);
  plane.stride_y = static_cast<int32_t>(shape.stride_y);
  plane.stride_x = static_cast<int32_t>(shape.stride_x);
  plane.height = shape.height;
  plane.width = shape.width;
  // Zeros at the right end of a row can serve as the left border of the next row: fewer lanes wasted on borders.
  int64_t left = cols, right = cols;
  for (int64_t y : ry)
    for (int64_t x : rx) {
      int64_t r0, r1, c0, c1;
      ay.valid(y, &r0, &r1);
      ax.valid(x, &c0, &c1);
      phases.push_back({static_cast<int32_t>(r0), static_cast<int32_t>(r1), static_cast<int32_t>(c0),
                        static_cast<int32_t>(c1),
                        ((r0 + ay.first_shift()) * shape.stride_y + y) * shape.width +
                            (c0 + ax.first_shift()) * shape.stride_x + x});
      left = c0 < left ? c0 : left;
      right = cols - c1 < right ? cols - c1 : right;
    }
  flat_pitch_ = static_cast<int32_t>(cols - (left < right ? left : right));
  if (flat_pitch_ < out_w) flat_pitch_ = static_cast<int32_t>(out_w);
  plane.pitch = plane.cols;
  plane.phases = phases.data();
  plane.n_phases = static_cast<int32_t>(phases.size());
  return true;
}

int64_t Plan::row_vecs() const { return out_h * ceil_div(out_w, isa->lanes); }
int64_t Plan::flat_vecs() const { return ceil_div((out_h - 1) * flat_pitch_ + out_w, isa->lanes); }
int64_t Plan::panel_vec_count() const { return ceil_div(pixels, isa->lanes); }

void Plan::choose_family() {
  const bool pointwise = n_taps == 1 && shape.stride_y == 1 && shape.stride_x == 1 && shape.pad_top == 0 &&
                         shape.pad_left == 0 && shape.pad_bottom == 0 && shape.pad_right == 0;
  if (pointwise && pixels % isa->lanes == 0) {
    family = Family::kInPlace;
  } else if (pixels <= kDotMaxPixels && group_in * n_taps >= isa->lanes) {
    family = Family::kDot;
  } else {
    // A panel vector costs about two vector copies per tap, spread over the output channels that share it.
    const double shift = static_cast<double>(row_vecs() < flat_vecs() ? row_vecs() : flat_vecs());
    const double panel = static_cast<double>(panel_vec_count()) * (1.0 + 4.0 / static_cast<double>(group_out));
    family = shift <= panel ? Family::kShift : Family::kPanel;
  }
}

void Plan::lay_out() {
  if (family == Family::kDot) return;
  if (family == Family::kShift) {
    if (row_vecs() <= flat_vecs())
      lay_out_rows();
    else
      lay_out_flat();
  } else {
    lay_out_panel();
  }
  split_tiles();
  if (family == Family::kGather) return;

  plane.phase_floats = static_cast<int64_t>(plane.rows - 1) * plane.pitch + plane.cols;
  plane.channel_floats = plane.phase_floats * plane.n_phases;
  // Channels a multiple of 4 kB apart would share cache sets: at 32x32 that halves the speed.
  plane.channel_floats = ceil_div(plane.channel_floats, 16) * 16;
  if (plane.channel_floats % 1024 == 0) plane.channel_floats += 16;

  const Axis ay = y_axis(shape, out_h), ax = x_axis(shape, out_w);
  std::vector<int64_t> ry, rx;
  auto phase_index = [](std::vector<int64_t>& list, int64_t r) {
    for (size_t i = 0; i < list.size(); ++i)
      if (list[i] == r) return static_cast<int64_t>(i);
    list.push_back(r);
    return static_cast<int64_t>(list.size()) - 1;
  };
  for (int64_t k = 0; k < shape.kernel_w; ++k) phase_index(rx, ax.phase(k));
  for (int64_t y = 0; y < shape.kernel_h; ++y)
    for (int64_t x = 0; x < shape.kernel_w; ++x) {
      const int64_t p = phase_index(ry, ay.phase(y)) * static_cast<int64_t>(rx.size()) + phase_index(rx, ax.phase(x));
      plane_taps.push_back(static_cast<int32_t>(p * plane.phase_floats +
                                                (ay.shift(y) - ay.first_shift()) * plane.pitch +
                                                (ax.shift(x) - ax.first_shift())));
    }
}

// Vectors never cross an output row; the last one of a row may be partial.
void Plan::lay_out_rows() {
  for (int64_t y = 0; y < out_h; ++y)
    for (int64_t x = 0; x < out_w; x += isa->lanes) {
      const int64_t n = out_w - x < isa->lanes ? out_w - x : isa->lanes;
      vecs.push_back({static_cast<int32_t>(y * plane.pitch + x), static_cast<int32_t>(pieces.size()), 1});
      pieces.push_back({static_cast<int32_t>(y * out_w + x), 0, static_cast<int16_t>(n)});
    }
}

// Appends the runs of [begin, begin + lanes) that fall on `cols` columns of rows `pitch` apart.
static void add_runs(int64_t begin, int lanes, int64_t pitch, int64_t cols, int64_t rows, int64_t other_pitch,
                     std::vector<Piece>* pieces) {
  int64_t lane = 0;
  while (lane < lanes) {
    const int64_t row = (begin + lane) / pitch, col = (begin + lane) % pitch;
    if (row >= rows) break;
    const int64_t n = cols - col < lanes - lane ? cols - col : lanes - lane;
    if (n > 0)
      pieces->push_back({static_cast<int32_t>(row * other_pitch + col - lane), static_cast<int16_t>(lane),
                         static_cast<int16_t>(n)});
    lane += pitch - col;
  }
}

// Vectors run through the bordered plane; lanes on a border are computed and dropped.
void Plan::lay_out_flat() {
  plane.pitch = flat_pitch_;
  const int64_t n = flat_vecs();
  for (int64_t v = 0; v < n; ++v) {
    const int32_t first = static_cast<int32_t>(pieces.size());
    add_runs(v * isa->lanes, isa->lanes, flat_pitch_, out_w, out_h, out_w, &pieces);
    vecs.push_back({static_cast<int32_t>(v * isa->lanes), first, static_cast<int32_t>(pieces.size()) - first});
  }
}

void Plan::lay_out_panel() {
  const int64_t n = panel_vec_count();
  for (int64_t v = 0; v < n; ++v) {
    const int64_t begin = v * isa->lanes;
    const int64_t count = pixels - begin < isa->lanes ? pixels - begin : isa->lanes;
    vecs.push_back({static_cast<int32_t>(begin), static_cast<int32_t>(pieces.size()), 1});
    pieces.push_back({static_cast<int32_t>(begin), 0, static_cast<int16_t>(count)});
    if (family != Family::kPanel) continue;
    const int32_t first = static_cast<int32_t>(panel_pieces.size());
    add_runs(begin, isa->lanes, out_w, out_w, out_h, plane.pitch, &panel_pieces);
    panel_vecs.push_back({0, first, static_cast<int32_t>(panel_pieces.size()) - first});
  }
}

// Even split: 15 vectors become 4 + 4 + 4 + 3, and every NR has a kernel, so nothing is padded.
void Plan::split_tiles() {
  const int64_t n = static_cast<int64_t>(vecs.size());
  const int64_t count = ceil_div(n, isa->max_nr);
  int widest = 1;
  for (int64_t t = 0; t < count; ++t) {
    const int64_t begin = n * t / count, end = n * (t + 1) / count;
    const int nr = static_cast<int>(end - begin);
    widest = nr > widest ? nr : widest;
    tiles.push_back({static_cast<int32_t>(begin), nr, panel_floats});
    panel_floats += n_taps * nr * isa->lanes;
  }
  max_mr = isa->max_mr[widest];
  if (family != Family::kPanel && family != Family::kGather) return;
  for (int nr = 1; nr <= isa->max_nr; ++nr)
    for (int64_t t = 0; t < n_taps; ++t) panel_taps[nr].push_back(static_cast<int32_t>(t * nr * isa->lanes));
}

}  // namespace sanp
