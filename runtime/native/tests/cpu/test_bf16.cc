// Weights kept in 16 bits: the same bits as the float kernels give, for every kernel, algorithm, mask and instruction
// set.
#include <math.h>

#include <map>

#include "cpu/isa/isa.h"
#include "tests/cpu/conv_case.h"

namespace sanp {
namespace test {
namespace {

// Against the float kernels bit for bit, and against double precision. False where the plan refuses.
bool check_bf16(const ConvCase& c, const ConvShape& shape, const IsaKernels& isa, Algorithm algorithm) {
  const Plan full(shape, isa, algorithm);
  Plan bf16(shape, isa, algorithm);
  if (!bf16.store_bf16(true)) return false;
  std::vector<float> expected(c.output_floats(), NAN), got(expected);
  if (!c.run(full, expected.data(), Pool{nullptr, nullptr}) || !c.run(bf16, got.data(), Pool{nullptr, nullptr}))
    fail("memory");
  const std::string where = std::string(isa.name) + " " + algorithm_name(bf16.algorithm) + " bf16";
  if (memcmp(expected.data(), got.data(), got.size() * sizeof(float)) != 0)
    fail(where + ": not the bits of the float kernel; " + describe(shape));
  c.check(bf16, where);
  return true;
}

// Any shape with up to 16 output pixels.
ConvShape small_shape(std::mt19937& rng) {
  for (;;) {
    ConvShape s{};
    s.group = rng() % 4 ? 1 : 2;
    s.channels_in = s.group * (1 + rng() % 40);
    s.channels_out = s.group * (1 + rng() % 19);
    s.height = 1 + rng() % 8;
    s.width = 1 + rng() % (rng() % 4 ? 5 : 16);
    s.kernel_h = rng() % 3 ? 3 : 1 + rng() % 5;
    s.kernel_w = rng() % 3 ? s.kernel_h : 1 + rng() % 5;
    s.stride_y = s.stride_x = 1 + rng() % 2;
    s.pad_top = rng() % 3, s.pad_left = rng() % 3, s.pad_bottom = rng() % 3, s.pad_right = rng() % 3;
    s.dilation_y = s.dilation_x = rng() % 5 ? 1 : 2;
    int64_t h, w;
    if (s.output_size(&h, &w) && h * w <= kBf16MaxPixels) return s;
  }
}

TEST_CASE(bf16_random_shapes) {
  std::mt19937 rng(seed + 11);
  std::map<std::string, int> made_bf16;
  for (int round = 0; round < rounds(1500); ++round) {
    ConvShape s = small_shape(rng);
    if (round % 3 == 0) {  // the maps that matter most
      const int64_t size = round % 2 ? 2 : 4, kernel = round % 4 ? 3 : 1, pad = kernel / 2;
      s = {s.channels_in, size, size, s.channels_out, kernel, kernel, 1, 1, pad, pad, pad, pad, 1, 1, s.group};
    }
    ConvOptions o = some_options(rng, 3);
    o.bf16_weights = true;
    const ConvCase c(s, o, rng());
    for (const IsaKernels* isa : isas())
      for (Algorithm f : kAlgorithms) {
        const bool made = Plan(s, *isa, f).algorithm == f && check_bf16(c, s, *isa, f);
        made_bf16[isa->name + std::string(" ") + algorithm_name(f)] += made;
      }
  }
  for (const IsaKernels* isa : isas())
    for (Algorithm f : kAlgorithms) {
      const std::string name = isa->name + std::string(" ") + algorithm_name(f);
      const bool winograd = f == Algorithm::kWinograd2 || f == Algorithm::kWinograd4;
      const bool none = winograd || f == Algorithm::kDepthwise || f == Algorithm::kDepthwiseInPlace ||
                        f == Algorithm::kChannels || (f == Algorithm::kPixelPairs && isa->pairs_max_rows == 0);
      if (none != (made_bf16[name] == 0))
        fail(name + " had 16-bit weights " + std::to_string(made_bf16[name]) + " times");
    }
}

void check_tile(const char* isa_name, int mr, int nr, uint32_t seed) {
  const IsaKernels* const isa = find_isa(isa_name);
  if (isa == nullptr || nr * isa->lanes > kBf16MaxPixels) return;
  const IsaKernels kernels = restricted(*isa, mr, nr);
  for (int kernel : {1, 3, 2})
    for (int64_t missing : {0, 1}) {
      const int64_t width = nr * isa->lanes - missing, before = (kernel - 1) / 2, after = kernel / 2;
      if (width < 1) continue;
      const ConvShape s{5, 1, width, 2 * mr, kernel, kernel, 1, 1, before, before, after, after, 1, 1, 1};
      ConvOptions o;
      o.outputs = Mask::kAll;
      o.residual_map = missing;
      o.bf16_weights = true;
      const ConvCase c(s, o, seed);
      for (Algorithm f : {Algorithm::kRows, Algorithm::kColumns, Algorithm::kGather, Algorithm::kInPlace})
        if (!check_bf16(c, s, kernels, f)) fail("a small map was refused: " + describe(s));
    }
}

TEST_CASE(every_bf16_tile) { for_each_tile(check_tile, seed); }

void check_pairs(const char* isa_name, int mr, uint32_t seed) {
  const IsaKernels* const isa = find_isa(isa_name);
  if (isa == nullptr) return;
  const ConvShape shapes[] = {
      {7, 2, 2, mr, 3, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1},
      {7, 1, 1, mr, 3, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1},
      {7, 1, 4, mr, 1, 3, 1, 1, 0, 1, 0, 1, 1, 1, 1},
  };
  for (const ConvShape& s : shapes) {
    if (Plan(s, *isa, Algorithm::kPixelPairs).algorithm != Algorithm::kPixelPairs)
      fail("no pixel pairs: " + describe(s));
    ConvOptions o;
    o.outputs = Mask::kAll;
    o.bf16_weights = true;
    if (!check_bf16(ConvCase(s, o, seed), s, *isa, Algorithm::kPixelPairs))
      fail("pixel pairs were refused: " + describe(s));
  }
}

TEST_CASE(every_bf16_pair_kernel) { for_each_pair_kernel(check_pairs, seed); }

TEST_CASE(bf16_only_small_maps_that_gain) {
  const ConvShape small{512, 4, 4, 512, 3, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1};
  const ConvShape large{512, 5, 4, 512, 3, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1};
  const ConvShape light{64, 4, 4, 64, 3, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1};
  const ConvShape pairs{64, 2, 2, 64, 3, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1};
  for (const IsaKernels* isa : isas()) {
    Plan plan(small, *isa), too_large(large, *isa), winograd(small, *isa, Algorithm::kWinograd2), few(pairs, *isa);
    if (plan.prepared_floats() != 0) fail("a plan has 16-bit weights before it was asked");
    if (!plan.store_bf16() || plan.prepared_floats() * 2 < 512 * 512 * 9) fail("a 4x4 map was refused");
    if (plan.weights.bf16_steps >= 512 || plan.weights.bf16_steps < 256)
      fail("tiles gain where about half of the inputs are open");
    if (too_large.store_bf16(true) || too_large.prepared_floats() != 0) fail("20 pixels got 16-bit weights");
    if (winograd.store_bf16(true) || winograd.prepared_kind() != kPreparedWinograd2)
      fail("Winograd weights became 16 bits");
    if (Plan(light, *isa).store_bf16()) fail("weights that stay in a cache were copied");
    const bool short_vectors = few.algorithm != Algorithm::kPixelPairs && few.algorithm != Algorithm::kDot;
    if (few.store_bf16() == short_vectors) fail("2x2 maps always gain");
    if (!short_vectors && few.weights.bf16_steps != 64) fail("whatever is open");
    ConvShape depthwise = pairs;
    depthwise.group = 64;
    if (Plan(depthwise, *isa).store_bf16()) fail("rows of nine weights would grow");
  }
}

// Equal results cannot tell which weights were read, so the 16-bit ones are NaN here.
TEST_CASE(bf16_only_samples_with_few_open_inputs) {
  const ConvShape s{160, 4, 4, 520, 3, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1};
  const std::vector<float> x(160 * 16, 1.0f), w(520 * 160 * 9, 0.5f), ones(520, 1.0f);
  for (const IsaKernels* isa : isas()) {
    Plan plan(s, *isa);
    if (!plan.store_bf16()) fail("a 4x4 map was refused");
    std::vector<float> prepared(static_cast<size_t>(plan.prepared_floats()), NAN), y(520 * 16);
    memset(prepared.data(), 0xff, prepared.size() * sizeof(float));
    for (int64_t open : {plan.weights.bf16_steps, plan.weights.bf16_steps + 1}) {
      std::vector<float> active(160, 0.0f);
      for (int64_t i = 0; i < open; ++i) active[i] = 1.0f;
      const float zero = 0;
      const ConvCall c{1,     x.data(), w.data(),  ones.data(), ones.data(), active.data(),  0, 0, 0,
                       &zero, false,    -INFINITY, INFINITY,    y.data(),    prepared.data()};
      if (!run_conv(plan, c, Pool{nullptr, nullptr})) fail("memory");
      const bool bf16 = y[0] != y[0];
      if (bf16 != (open <= plan.weights.bf16_steps)) fail(std::string(isa->name) + ": the other weights were read");
      if (!bf16 && y[5] != 1.0f + 4.5f * static_cast<float>(open)) fail("float32 weights gave a wrong sum");
    }
  }
}

TEST_CASE(bf16_numbers_are_told_by_their_bits) {
  const float fit[] = {0.0f, -0.0f, 1.0f, -1.5f, INFINITY, -INFINITY, NAN, 0x1p-126f, 0x1.fep127f, 0x1p-133f};
  if (!bf16_exact(fit, sizeof fit / sizeof *fit)) fail("a bfloat16 number was refused");
  for (float other : {0.1f, 1.0f + 0x1p-8f, 0x1p-134f, 0x1.ffp127f}) {
    std::vector<float> w(37, 1.0f);
    w.back() = other;
    if (bf16_exact(w.data(), 37)) fail("a number of more than 16 bits was accepted");
    if (!bf16_exact(w.data(), 36)) fail("a number behind the end was read");
  }
  Bf16 rows[2 * bf16_row(3)];
  const float w[6] = {1.0f, -2.0f, 0.5f, -0.0f, INFINITY, 3.0f};
  bf16_rows(w, 2, 3, rows);
  for (int64_t i = 0; i < 2 * bf16_row(3); ++i) {
    const int64_t column = i % bf16_row(3);
    const uint32_t bits = static_cast<uint32_t>(rows[i].upper) << 16;
    float v;
    memcpy(&v, &bits, sizeof v);
    const float expected = column < 3 ? w[i / bf16_row(3) * 3 + column] : 0.0f;
    if (memcmp(&v, &expected, sizeof v) != 0) fail("a row was copied wrong");
  }
}

}  // namespace
}  // namespace test
}  // namespace sanp
