// Runs the short path of all pixels, lists the open pixels of every channel, and computes those whole.
//
// The lists hold single pixels and not vectors of neighbours: with one pixel in ten open, nearly every vector has one.
// Open pixels are computed whole and not as the short path plus the rest, so that one order of channels serves all.
#include "cpu/pixels/pixel_conv.h"

#include <math.h>
#include <string.h>

#include "cpu/base/arena.h"
#include "cpu/conv/conv.h"

namespace sanp {
namespace {

constexpr size_t kTasks = 16;  // of a sample; open pixels are not spread evenly over channels

Arena& map_arena() {
  static thread_local Arena arena;
  return arena;
}

// Rows of the input into the padded map with channels last; the border is zero.
void write_rows(const PixelPlan& p, const float* x, int64_t first, int64_t last, float* map) {
  const ConvShape& s = p.shape;
  const int64_t plane = s.height * s.width;
  for (int64_t row = first; row < last; ++row) {
    float* const out = map + row * p.pitch;
    const int64_t from = row - s.pad_top;
    if (from < 0 || from >= s.height) {
      memset(out, 0, static_cast<size_t>(p.pitch) * sizeof(float));
      continue;
    }
    const int64_t left = s.pad_left * s.channels_in, width = s.width * s.channels_in;
    memset(out, 0, static_cast<size_t>(left) * sizeof(float));
    memset(out + left + width, 0, static_cast<size_t>(p.pitch - left - width) * sizeof(float));
    for (int64_t c = 0; c < s.channels_in; ++c) {
      const float* const source = x + c * plane + from * s.width;
      float* const target = out + left + c;
      for (int64_t col = 0; col < s.width; ++col) target[col * s.channels_in] = source[col];
    }
  }
}

// One channel of one sample: y holds its short path and becomes its result.
void finish_channel(const PixelPlan& p, const PixelCall& c, int64_t o, const float* map, int32_t* list, float* y) {
  const int64_t pixels = p.base.pixels, out_w = p.base.out_w;
  const float bound = c.bound[o], scale = c.scale[o], shift = c.shift[o];
  int64_t open = 0;
  for (int64_t i = 0; i < pixels; ++i) {
    list[open] = static_cast<int32_t>(i);
    open += y[i] > bound;
  }
  for (int64_t i = 0; i < pixels; ++i) y[i] = y[i] * scale + shift;
  const ConvShape& s = p.shape;
  ListedDot dot{};
  dot.offsets = p.offsets.data();
  dot.runs = static_cast<int64_t>(p.offsets.size());
  dot.length = p.length;
  dot.w = c.w + o * p.weight_floats();
  float sums[kListedMax];
  dot.sums = sums;
  for (int64_t i = 0; i < open; i += kListedMax) {
    const int n = open - i < kListedMax ? static_cast<int>(open - i) : kListedMax;
    for (int k = 0; k < n; ++k) {
      const int64_t pixel = list[i + k];
      dot.x[k] = map + pixel / out_w * s.stride_y * p.pitch + pixel % out_w * s.stride_x * s.channels_in;
    }
    p.base.isa->listed_dot[n](dot);
    for (int k = 0; k < n; ++k) y[list[i + k]] = sums[k] * scale + shift;
  }
}

bool run_sample(const PixelPlan& p, const PixelCall& c, int64_t n, const Pool& pool) {
  const ConvShape& s = p.shape;
  const float* const x = c.x + n * s.channels_in * s.height * s.width;
  float* const y = c.y + n * s.channels_out * p.base.pixels;
  float* const map = static_cast<float*>(map_arena().get(static_cast<size_t>(p.map_floats()) * sizeof(float)));
  if (map == nullptr) return false;
  auto write = [&](size_t index) {
    write_rows(p, x, share(p.rows, index, kTasks), share(p.rows, index + 1, kTasks), map);
  };
  parallel_for(pool, kTasks, write);
  return parallel_all(pool, kTasks, [&](size_t index) {
    int32_t* const list =
        static_cast<int32_t*>(block_arena().get(static_cast<size_t>(p.base.pixels + 1) * sizeof(int32_t)));
    if (list == nullptr) return false;
    const int64_t end = share(s.channels_out, index + 1, kTasks);
    for (int64_t o = share(s.channels_out, index, kTasks); o < end; ++o)
      finish_channel(p, c, o, map, list, y + o * p.base.pixels);
    return true;
  });
}

}  // namespace

PixelPlan::PixelPlan(const ConvShape& whole, const ConvShape& short_path, const IsaKernels& isa)
    : base(short_path, isa), shape(whole) {
  cols = shape.pad_left + shape.width + shape.pad_right;
  rows = shape.pad_top + shape.height + shape.pad_bottom;
  pitch = cols * shape.channels_in;
  const bool joined = shape.dilation_x == 1;  // neighbouring columns are one run
  length = shape.channels_in * (joined ? shape.kernel_w : 1);
  for (int64_t ky = 0; ky < shape.kernel_h; ++ky)
    for (int64_t kx = 0; kx < (joined ? 1 : shape.kernel_w); ++kx)
      offsets.push_back(ky * shape.dilation_y * pitch + kx * shape.dilation_x * shape.channels_in);
}

int64_t PixelPlan::weight_floats() const { return shape.channels_in * shape.kernel_h * shape.kernel_w; }

void PixelPlan::reorder(const float* w, float* out) const {
  const int64_t taps = shape.kernel_h * shape.kernel_w;
  for (int64_t o = 0; o < shape.channels_out; ++o, w += weight_floats(), out += weight_floats())
    for (int64_t i = 0; i < shape.channels_in; ++i)
      for (int64_t t = 0; t < taps; ++t) out[t * shape.channels_in + i] = w[i * taps + t];
}

bool run_pixel_conv(const PixelPlan& plan, const PixelCall& c, const Pool& pool) {
  const std::vector<float> ones(static_cast<size_t>(plan.shape.channels_in + plan.shape.channels_out), 1.0f);
  const std::vector<float> zeros(static_cast<size_t>(plan.shape.channels_out), 0.0f);
  const float none = 0.0f;
  ConvCall base{};
  base.batch = c.batch;
  base.x = c.x;
  base.w = c.w_base;
  base.scale = base.in_active = ones.data();
  base.shift = zeros.data();
  base.residual = &none;
  base.act_min = -INFINITY;
  base.act_max = INFINITY;
  base.y = c.y;
  if (!run_conv(plan.base, base, pool)) return false;
  for (int64_t n = 0; n < c.batch; ++n)
    if (!run_sample(plan, c, n, pool)) return false;
  return true;
}

}  // namespace sanp
