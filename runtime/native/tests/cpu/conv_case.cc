// Random problems, reference and comparison of the gated convolution tests.
#include "tests/cpu/conv_case.h"

#include <float.h>
#include <math.h>

#include <algorithm>

#include "cpu/isa/isa.h"

namespace sanp {
namespace test {
namespace {

bool chosen(Mask mask, int64_t i, int64_t n, int64_t one, std::mt19937& rng) {
  switch (mask) {
    case Mask::kAll:
      return true;
    case Mask::kNone:
      return false;
    case Mask::kOne:
      return i == one;
    case Mask::kFirst:
      return i == 0;
    case Mask::kLast:
      return i == n - 1;
    case Mask::kHalf:
      return rng() & 1;
  }
  return true;
}

float without_lower_half(float v) {
  uint32_t bits;
  memcpy(&bits, &v, sizeof bits);
  bits &= 0xffff0000u;
  memcpy(&v, &bits, sizeof v);
  return v;
}

int64_t output_floats(const ConvShape& s, int64_t batch) {
  int64_t h = 0, w = 0;
  if (!s.output_size(&h, &w)) fail("the test made a shape without output: " + describe(s));
  return batch * s.channels_out * h * w;
}

}  // namespace

ConvOptions some_options(std::mt19937& rng, int most_samples) {
  ConvOptions o;
  o.batch = 1 + rng() % most_samples;
  o.outputs = kMasks[rng() % 6];
  o.inputs = kMasks[rng() % 6];
  o.residual_map = rng() & 1;
  o.act_min = rng() & 1 ? 0.0f : -INFINITY;
  return o;
}

IsaKernels restricted(const IsaKernels& isa, int mr, int nr) {
  IsaKernels k = isa;
  k.max_nr = k.max_nr9 = k.winograd_nr = nr;
  for (int n = 1; n <= kMaxNr; ++n)
    if (k.max_mr[n] > mr) k.max_mr[n] = mr;
  return k;
}

void for_each_tile(void (*check)(const char* isa, int mr, int nr, uint32_t seed), uint32_t seed) {
#define SANP_TILE_AVX512(mr, nr) check("avx512", mr, nr, seed);
#define SANP_TILE_AVX2(mr, nr) check("avx2", mr, nr, seed);
#define SANP_TILE_NEON(mr, nr) check("neon", mr, nr, seed);
#define SANP_TILE_PORTABLE(mr, nr) check("portable", mr, nr, seed);
#include "cpu/microkernels/kernels.inc"
}

void for_each_pair_kernel(void (*check)(const char* isa, int mr, uint32_t seed), uint32_t seed) {
#define SANP_PAIRS_AVX2(mr) check("avx2", mr, seed);
#define SANP_PAIRS_AVX512(mr) check("avx512", mr, seed);
#include "cpu/microkernels/pixel_pairs.inc"
}

std::vector<const IsaKernels*> isas() {
  std::vector<const IsaKernels*> list(8);
  list.resize(usable_isas(list.data(), list.size()));
  return list;
}

std::string describe(const ConvShape& s) {
  char text[256];
  snprintf(
      text, sizeof text,
      "[%lld, %lld, %lld] -> %lld, kernel %lldx%lld, stride %lld,%lld, pad %lld,%lld,%lld,%lld, dilation %lld,%lld, "
      "group %lld",
      (long long)s.channels_in, (long long)s.height, (long long)s.width, (long long)s.channels_out,
      (long long)s.kernel_h, (long long)s.kernel_w, (long long)s.stride_y, (long long)s.stride_x, (long long)s.pad_top,
      (long long)s.pad_left, (long long)s.pad_bottom, (long long)s.pad_right, (long long)s.dilation_y,
      (long long)s.dilation_x, (long long)s.group);
  return text;
}

ConvCase::ConvCase(const ConvShape& s, const ConvOptions& o, uint32_t seed)
    : shape_(s),
      options_(o),
      x_(o.batch * s.channels_in * s.height * s.width),
      w_(s.channels_out * (s.channels_in / s.group) * s.kernel_h * s.kernel_w),
      scale_((o.broadcast_scale ? 1 : o.batch) * s.channels_out),
      shift_(scale_.size()),
      active_((o.broadcast_active ? 1 : o.batch) * s.channels_in),
      residual_(o.residual_map ? test::output_floats(s, o.batch) : 1, o.residual_value) {
  shape_.output_size(&out_h_, &out_w_);
  std::mt19937 rng(seed);
  // Mixed magnitudes: a kernel that adds in a bad order or drops small terms shows.
  auto value = [&] {
    return static_cast<float>(std::normal_distribution<double>()(rng)) * (rng() % 16 ? 1.0f : 64.0f);
  };
  for (size_t i = 0; i < w_.size(); ++i) w_[i] = o.bf16_weights ? without_lower_half(value()) : value();
  for (size_t i = 0; i < scale_.size(); ++i) {
    const int64_t n = s.channels_out, c = static_cast<int64_t>(i) % n;
    scale_[i] = chosen(o.outputs, c, n, n / 2, rng) ? 0.25f + 0.01f * static_cast<float>(rng() % 100) : 0.0f;
    shift_[i] = scale_[i] != 0.0f ? value() : 0.0f;
  }
  for (size_t i = 0; i < active_.size(); ++i)
    active_[i] = chosen(o.inputs, static_cast<int64_t>(i) % s.channels_in, s.channels_in, s.channels_in / 2, rng);
  if (o.residual_map)
    for (size_t i = 0; i < residual_.size(); ++i) residual_[i] = value();

  const int64_t plane = s.height * s.width;
  for (int64_t n = 0; n < o.batch; ++n)
    for (int64_t c = 0; c < s.channels_in; ++c)
      for (int64_t p = 0; p < plane; ++p) x_[(n * s.channels_in + c) * plane + p] = active(n, c) ? value() : NAN;
  const int64_t row = (s.channels_in / s.group) * s.kernel_h * s.kernel_w;
  for (int64_t c = 0; c < s.channels_out; ++c) {
    bool never = true;
    for (int64_t n = 0; n < o.batch; ++n) never = never && masked(n, c);
    if (never) std::fill(w_.data() + c * row, w_.data() + (c + 1) * row, NAN);
  }
}

bool ConvCase::masked(int64_t n, int64_t o) const {
  return scale_[(options_.broadcast_scale ? 0 : n) * shape_.channels_out + o] == 0.0f;
}

bool ConvCase::active(int64_t n, int64_t i) const {
  return active_[(options_.broadcast_active ? 0 : n) * shape_.channels_in + i] != 0.0f;
}

void ConvCase::products(int64_t n, int64_t o, int64_t oy, int64_t ox, double* sum, double* magnitude) const {
  const ConvShape& s = shape_;
  const int64_t group_in = s.channels_in / s.group, first = o / (s.channels_out / s.group) * group_in;
  for (int64_t i = 0; i < group_in; ++i) {
    if (!active(n, first + i)) continue;
    const float* const x = x_.data() + (n * s.channels_in + first + i) * s.height * s.width;
    const float* const w = w_.data() + (o * group_in + i) * s.kernel_h * s.kernel_w;
    for (int64_t ky = 0; ky < s.kernel_h; ++ky)
      for (int64_t kx = 0; kx < s.kernel_w; ++kx) {
        const int64_t y = oy * s.stride_y - s.pad_top + ky * s.dilation_y;
        const int64_t c = ox * s.stride_x - s.pad_left + kx * s.dilation_x;
        if (y < 0 || y >= s.height || c < 0 || c >= s.width) continue;
        const double product = static_cast<double>(x[y * s.width + c]) * w[ky * s.kernel_w + kx];
        *sum += product;
        *magnitude += fabs(product);
      }
  }
}

std::vector<double> ConvCase::winograd_magnitudes(const WinogradBound& bound,
                                                  const std::vector<std::vector<double>>& inputs, int64_t o) const {
  const int64_t group_in = shape_.channels_in / shape_.group,
                first = o / (shape_.channels_out / shape_.group) * group_in;
  std::vector<double> sums;
  for (int64_t i = 0; i < group_in; ++i) {
    const std::vector<double>& input = inputs[static_cast<size_t>(first + i)];
    if (input.empty()) continue;
    const std::vector<double> kernel = bound.kernel(w_.data() + (o * group_in + i) * 9);
    sums.resize(input.size(), 0.0);
    for (size_t at = 0; at < input.size(); ++at) sums[at] += input[at] * kernel[at % kernel.size()];
  }
  std::vector<double> magnitudes(static_cast<size_t>(out_h_ * out_w_), 0.0);
  for (int64_t p = 0; p < out_h_ * out_w_ && !sums.empty(); ++p)
    magnitudes[static_cast<size_t>(p)] = bound.output(sums, out_w_, p / out_w_, p % out_w_);
  return magnitudes;
}

const ConvCase::Reference& ConvCase::reference(int winograd) const {
  const auto [found, is_new] = references_.try_emplace(winograd);
  Reference& all = found->second;
  if (!is_new) return all;
  if (winograd) all.value = reference(0).value;
  const int64_t pixels = out_h_ * out_w_;
  const WinogradBound bound(winograd ? winograd : 2);
  for (int64_t n = 0; n < options_.batch; ++n) {
    std::vector<std::vector<double>> inputs(static_cast<size_t>(shape_.channels_in));
    for (int64_t i = 0; i < shape_.channels_in && winograd; ++i)
      if (active(n, i))
        inputs[static_cast<size_t>(i)] = bound.input(
            shape_, x_.data() + (n * shape_.channels_in + i) * shape_.height * shape_.width, out_h_, out_w_);
    for (int64_t o = 0; o < shape_.channels_out; ++o) {
      const int64_t row = (options_.broadcast_scale ? 0 : n) * shape_.channels_out + o;
      std::vector<double> sizes(static_cast<size_t>(pixels), 0.0);
      if (winograd && !masked(n, o)) sizes = winograd_magnitudes(bound, inputs, o);
      for (int64_t p = 0; p < pixels; ++p) {
        double sum = 0, size = sizes[static_cast<size_t>(p)];
        if (!winograd && !masked(n, o)) products(n, o, p / out_w_, p % out_w_, &sum, &size);
        const float r = options_.residual_map ? residual_[(n * shape_.channels_out + o) * pixels + p] : residual_[0];
        all.magnitude.push_back(size * fabs(scale_[row]) + fabs(shift_[row]) + fabs(r));
        if (winograd) continue;
        const double exact = sum * scale_[row] + shift_[row] + r;
        all.value.push_back(std::min<double>(std::max<double>(exact, options_.act_min), options_.act_max));
      }
    }
  }
  return all;
}

bool ConvCase::run(const Plan& plan, float* y, const Pool& pool) const {
  ConvCall call{};
  call.batch = options_.batch;
  call.x = x_.data();
  GuardedFloats prepared(static_cast<size_t>(plan.prepared_floats()));
  if (prepared.size() > 0) plan.prepare(w_.data(), prepared.data());
  call.w = w_.data();
  call.prepared = prepared.data();
  call.scale = scale_.data();
  call.shift = shift_.data();
  call.in_active = active_.data();
  call.scale_step = call.shift_step = options_.broadcast_scale ? 0 : shape_.channels_out;
  call.in_active_step = options_.broadcast_active ? 0 : shape_.channels_in;
  call.residual = residual_.data();
  call.residual_is_map = options_.residual_map;
  call.act_min = options_.act_min;
  call.act_max = options_.act_max;
  call.y = y;
  return run_conv(plan, call, pool);
}

void ConvCase::check(const Plan& plan, const std::string& where, const Pool& pool) const {
  GuardedFloats y(output_floats(), NAN);
  if (!run(plan, y.data(), pool)) fail(where + ": out of memory");
  // Each of the K products and sums rounds once, the epilogue three times: error <= (K + 3) * eps / 2 * magnitude.
  // Winograd: K is the number of channels, and a value passes at most 15 roundings in the three transforms.
  const int64_t sums = winograd_tile(plan.algorithm) ? plan.group_in + 15 : plan.group_in * plan.n_taps;
  const double k = static_cast<double>(sums + 4);
  const Reference& expected = reference(winograd_tile(plan.algorithm));
  size_t at = 0;
  for (int64_t n = 0; n < options_.batch; ++n)
    for (int64_t o = 0; o < shape_.channels_out; ++o)
      for (int64_t oy = 0; oy < out_h_; ++oy)
        for (int64_t ox = 0; ox < out_w_; ++ox, ++at) {
          const double value = expected.value[at], magnitude = expected.magnitude[at];
          const double error = fabs(y[at] - value);
          if (error <= k * FLT_EPSILON * magnitude + 1e-30) continue;
          char text[512];
          snprintf(text, sizeof text, "%s (%s): y[%lld, %lld, %lld, %lld] = %g, expected %g within %g; %s",
                   where.c_str(), algorithm_name(plan.algorithm), (long long)n, (long long)o, (long long)oy,
                   (long long)ox, y[at], value, k * FLT_EPSILON * magnitude, describe(shape_).c_str());
          fail(text);
        }
}

}  // namespace test
}  // namespace sanp
