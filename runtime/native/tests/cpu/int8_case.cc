// Makes, computes and compares a random problem for the gated int8 convolution.
#include "tests/cpu/int8_case.h"

#include <math.h>

#include <algorithm>

namespace sanp {
namespace test {
namespace {

int64_t out_pixels(const ConvShape& s) {
  int64_t h = 0, w = 0;
  if (!s.output_size(&h, &w)) fail("int8: a shape without output");
  return h * w;
}

}  // namespace

ConvShape random_int8_shape(std::mt19937& rng) {
  const auto pick = [&](std::initializer_list<int64_t> of) { return of.begin()[rng() % of.size()]; };
  for (;;) {
    ConvShape s{};
    s.group = pick({1, 1, 1, 1, 2, 3});
    s.channels_in = s.group * static_cast<int64_t>(1 + rng() % 24);
    s.channels_out = s.group * static_cast<int64_t>(1 + rng() % 24);
    if (rng() % 8 == 0) s.channels_in = s.group * static_cast<int64_t>(60 + rng() % 90);
    if (rng() % 8 == 0) s.group = s.channels_in, s.channels_out = s.channels_in * static_cast<int64_t>(1 + rng() % 2);
    s.kernel_h = pick({1, 2, 3, 3, 3, 5, 7});
    s.kernel_w = rng() % 3 ? s.kernel_h : pick({1, 2, 3, 5});
    s.stride_y = pick({1, 1, 1, 2, 3});
    s.stride_x = rng() % 3 ? s.stride_y : pick({1, 2, 3, 4});
    s.dilation_y = pick({1, 1, 1, 2, 3});
    s.dilation_x = pick({1, 1, 1, 2, 3});
    for (int64_t* pad : {&s.pad_top, &s.pad_left, &s.pad_bottom, &s.pad_right}) *pad = pick({0, 1, 1, 1, 2, 3, 9});
    s.height = pick({1, 2, 3, 4, 4, 5, 7, 8, 13, 16, 17, 33});
    s.width = rng() % 3 ? s.height : pick({1, 2, 4, 6, 15, 31, 40});
    int64_t h, w;
    if (s.output_size(&h, &w) && h * w < 4000) return s;
  }
}

Int8Case::Int8Case(const ConvShape& s, int64_t n, double openness, Int8Values values, std::mt19937& rng)
    : shape(s),
      batch(n),
      call{},
      x(static_cast<size_t>(n * s.channels_in * s.height * s.width)),
      w(static_cast<size_t>(s.channels_out * s.channels_in / s.group * s.kernel_h * s.kernel_w)),
      residual(static_cast<size_t>(rng() % 2 ? n * s.channels_out * out_pixels(s) : 1)),
      w_scale(s.channels_out),
      scale(rng() % 3 ? n * s.channels_out : s.channels_out),
      shift(scale.size()),
      in_active(rng() % 3 ? n * s.channels_in : s.channels_in) {
  s.output_size(&out_h, &out_w);
  const bool corners = values == Int8Values::kCorners;
  std::uniform_real_distribution<float> unit;
  std::normal_distribution<float> normal;
  call.batch = n;
  call.x_zero = corners ? (rng() % 2 ? 0 : 255) : static_cast<int32_t>(rng() % 3 ? (rng() % 2 ? 0 : 128) : rng() % 256);
  call.y_zero = rng() % 2 ? 0 : static_cast<int32_t>(rng() % 256);
  call.residual_zero = rng() % 2 ? 0 : static_cast<int32_t>(rng() % 256);
  const float fan = static_cast<float>(w.size() / static_cast<size_t>(s.channels_out));
  call.x_scale = 0.02f + 0.01f * unit(rng);
  call.y_scale = 0.03f;
  call.residual_scale = 0.025f;
  call.act_min = rng() % 2 ? 0.0f : -INFINITY;
  call.act_max = rng() % 3 ? INFINITY : 3.0f;
  for (size_t i = 0; i < x.size(); ++i) x[i] = static_cast<uint8_t>(corners ? (rng() % 8 ? 255 : 0) : rng());
  for (size_t i = 0; i < w.size(); ++i)
    w[i] = static_cast<uint8_t>(
        static_cast<int8_t>(corners ? (rng() % 8 ? -127 : 127) : static_cast<int>(rng() % 255) - 127));
  for (size_t i = 0; i < residual.size(); ++i) residual[i] = static_cast<uint8_t>(rng());
  if (residual.size() == 1 && rng() % 2) residual[0] = static_cast<uint8_t>(call.residual_zero);
  for (size_t i = 0; i < w_scale.size(); ++i) w_scale[i] = (0.5f + unit(rng)) / (64 * sqrtf(fan));
  for (size_t i = 0; i < scale.size(); ++i) {
    scale[i] = unit(rng) < openness ? 0.1f + fabsf(normal(rng)) : 0.0f;
    shift[i] = scale[i] != 0.0f ? normal(rng) : 0.0f;
  }
  for (size_t i = 0; i < in_active.size(); ++i) in_active[i] = unit(rng) < openness ? 1.0f : 0.0f;
  call.x = x.data();
  call.w_scale = w_scale.data();
  call.scale = scale.data();
  call.shift = shift.data();
  call.in_active = in_active.data();
  call.scale_step = call.shift_step = static_cast<int64_t>(scale.size()) == s.channels_out ? 0 : s.channels_out;
  call.in_active_step = static_cast<int64_t>(in_active.size()) == s.channels_in ? 0 : s.channels_in;
  call.residual = residual.data();
  call.residual_is_map = residual.size() > 1;
}

std::vector<uint8_t> Int8Case::run(const Int8Kernels& isa, const Pool& pool) const {
  const Int8Plan plan(shape, isa);
  std::vector<int8_t> prepared(plan.weight_bytes());
  std::vector<int32_t> sums(static_cast<size_t>(shape.channels_out));
  plan.prepare(reinterpret_cast<const int8_t*>(w.data()), prepared.data(), sums.data());
  const int64_t samples = call.scale_step == 0 ? 1 : batch;
  for (int64_t o = 0; o < shape.channels_out; ++o) {
    bool open = false;
    for (int64_t n = 0; n < samples; ++n) open = open || call.scale[n * call.scale_step + o] != 0.0f;
    if (!open) std::fill_n(prepared.begin() + o * plan.row_step, plan.row_step, int8_t{101});
  }
  GuardedBytes y(static_cast<size_t>(batch * shape.channels_out * plan.pixels), 0xa5);
  Int8Call c = call;
  c.w = prepared.data();
  c.w_sums = sums.data();
  c.y = y.data();
  if (!run_int8_conv(plan, c, pool)) fail("int8: out of memory");
  return {y.data(), y.data() + y.size()};
}

std::vector<uint8_t> Int8Case::expected() const {
  const ConvShape& s = shape;
  const int64_t in = s.channels_in / s.group, out = s.channels_out / s.group, plane = s.height * s.width;
  std::vector<uint8_t> y;
  const float inverse = 1.0f / call.y_scale;
  const float low = std::min(std::max(call.act_min * inverse, static_cast<float>(-call.y_zero)), 255.0f - call.y_zero);
  const float high = std::max(std::min(call.act_max * inverse, 255.0f - call.y_zero), static_cast<float>(-call.y_zero));
  for (int64_t n = 0; n < batch; ++n)
    for (int64_t o = 0; o < s.channels_out; ++o)
      for (int64_t p = 0; p < out_h * out_w; ++p) {
        const float factor = call.scale[n * call.scale_step + o];
        int64_t sum = 0;
        for (int64_t i = 0; i < in && factor != 0.0f; ++i) {
          const int64_t channel = o / out * in + i;
          if (call.in_active[n * call.in_active_step + channel] == 0.0f) continue;
          for (int64_t ky = 0; ky < s.kernel_h; ++ky)
            for (int64_t kx = 0; kx < s.kernel_w; ++kx) {
              const int64_t row = p / out_w * s.stride_y - s.pad_top + ky * s.dilation_y;
              const int64_t col = p % out_w * s.stride_x - s.pad_left + kx * s.dilation_x;
              if (row < 0 || row >= s.height || col < 0 || col >= s.width) continue;
              const int64_t pixel = x[static_cast<size_t>((n * s.channels_in + channel) * plane + row * s.width + col)];
              const auto weight =
                  static_cast<int8_t>(w[static_cast<size_t>(((o * in + i) * s.kernel_h + ky) * s.kernel_w + kx)]);
              sum += (pixel - call.x_zero) * weight;
            }
        }
        if (sum != static_cast<int32_t>(sum)) fail("int8: the sum does not fit 32 bits");
        const size_t at = static_cast<size_t>((n * s.channels_out + o) * out_h * out_w + p);
        const float residual_factor = call.residual_scale * inverse;
        const float r =
            static_cast<float>(residual[call.residual_is_map ? at : 0] - call.residual_zero) * residual_factor;
        float v = call.shift[n * call.shift_step + o] * inverse;
        if (factor == 0.0f) {
          v += r;
        } else {
          const float all = call.x_scale * call.w_scale[o] * factor * inverse;
          v = call.residual_is_map ? static_cast<float>(sum) * all + v + r : static_cast<float>(sum) * all + (v + r);
        }
        v = std::min(high, std::max(low, v));
        y.push_back(static_cast<uint8_t>(static_cast<int>(nearbyintf(v)) + call.y_zero));
      }
  return y;
}

std::string Int8Case::text() const {
  char text[400];
  const ConvShape& s = shape;
  snprintf(
      text, sizeof text,
      "%lld x [%lld, %lld, %lld] -> %lld, kernel %lld x %lld, strides %lld %lld, pads %lld %lld %lld %lld, dilations "
      "%lld %lld, group %lld, zero points %d %d",
      static_cast<long long>(batch), static_cast<long long>(s.channels_in), static_cast<long long>(s.height),
      static_cast<long long>(s.width), static_cast<long long>(s.channels_out), static_cast<long long>(s.kernel_h),
      static_cast<long long>(s.kernel_w), static_cast<long long>(s.stride_y), static_cast<long long>(s.stride_x),
      static_cast<long long>(s.pad_top), static_cast<long long>(s.pad_left), static_cast<long long>(s.pad_bottom),
      static_cast<long long>(s.pad_right), static_cast<long long>(s.dilation_y), static_cast<long long>(s.dilation_x),
      static_cast<long long>(s.group), call.x_zero, call.y_zero);
  return text;
}

void require_same_bytes(const Int8Case& c, const std::vector<uint8_t>& got, const std::vector<uint8_t>& expected,
                        const std::string& what) {
  if (got.size() != expected.size()) fail(what + ": wrong size");
  for (size_t i = 0; i < got.size(); ++i)
    if (got[i] != expected[i])
      fail(what + ": byte " + std::to_string(i) + " is " + std::to_string(got[i]) + ", expected " +
           std::to_string(expected[i]) + "; " + c.text());
}

}  // namespace test
}  // namespace sanp
