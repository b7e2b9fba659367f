// Winograd: every tile size on shapes around tile, block and vector edges, the choice of the plan, and its error.
#include <math.h>

#include "tests/cpu/conv_case.h"

namespace sanp {
namespace test {
namespace {

constexpr Algorithm kWinogradAlgorithms[] = {Algorithm::kWinograd2, Algorithm::kWinograd4};

ConvShape map_of(int64_t ci, int64_t h, int64_t w, int64_t co, int64_t pad) {
  return {ci, h, w, co, 3, 3, 1, 1, pad, pad, pad, pad, 1, 1, 1};
}

TEST_CASE(winograd_random_shapes) {
  std::mt19937 rng(seed + 7);
  for (int round = 0; round < rounds(400); ++round) {
    ConvShape s = map_of(1 + rng() % 12, 1 + rng() % 19, 1 + rng() % 35, 1 + rng() % 20, rng() % 3);
    if (round % 3 == 0) s.pad_right = rng() % 4, s.pad_bottom = rng() % 4;
    int64_t h, w;
    if (!s.output_size(&h, &w)) continue;
    const ConvOptions o = some_options(rng, 5);
    const ConvCase c(s, o, rng());
    for (const IsaKernels* isa : isas())
      for (Algorithm f : kWinogradAlgorithms) {
        const Plan plan(s, *isa, f);
        if (plan.algorithm != f) fail("Winograd was refused: " + describe(s));
        c.check(plan, isa->name);
      }
  }
}

// Several register tiles, a last one that is not full, and tiles cut by the border of the map.
TEST_CASE(winograd_large_maps) {
  constexpr int64_t kSizes[] = {30, 57, 14, 15, 28, 32, 56};
  for (int i = 0; i < rounds(7); ++i)
    for (const IsaKernels* isa : isas())
      for (Algorithm f : kWinogradAlgorithms) {
        const int64_t size = kSizes[i];
        const ConvShape s = map_of(5, size, size, 9, 1);
        ConvOptions o;
        o.residual_map = size & 1;
        ConvCase(s, o, seed).check(Plan(s, *isa, f), isa->name);
      }
}

TEST_CASE(winograd_is_chosen_where_it_is_allowed_and_pays) {
  for (const IsaKernels* isa : isas()) {
    const ConvShape s = map_of(64, 32, 32, 64, 1);
    if (winograd_tile(Plan(s, *isa).algorithm) != 0) fail("prepared weights were not promised");
    if (winograd_tile(Plan(s, *isa, 2).algorithm) != 2 || winograd_tile(Plan(s, *isa, 4).algorithm) != 4)
      fail("the limit was not followed");
    if (winograd_tile(Plan(map_of(512, 4, 4, 512, 1), *isa, 4).algorithm) != 0)
      fail("4x4 maps are bound by their weights");
    ConvShape other = s;
    other.stride_x = 2;
    if (winograd_tile(Plan(other, *isa, 4).algorithm) != 0) fail("strides have no Winograd form here");
    const ConvShape quick = map_of(64, 16, 16, 8, 1);
    const Plan plan(quick, *isa, 4);
    if (winograd_tile(plan.algorithm) == 0) fail("16x16 maps gain");
    ConvCase(quick, ConvOptions{}, seed).check(plan, std::string("chosen ") + isa->name);
  }
}

// The documented claim: on normal data the error is at most three times that of the direct sum for F(4, 3), and not
// larger for F(2, 3).
TEST_CASE(winograd_error_beside_the_direct_sum) {
  const ConvShape s = map_of(64, 16, 16, 8, 1);
  std::mt19937 rng(seed);
  std::normal_distribution<float> normal;
  std::vector<float> x(64 * 256), w(8 * 64 * 9), ones(64, 1.0f), shift(8, 0.0f);
  for (float& v : x) v = fmaxf(normal(rng), 0.0f);
  for (float& v : w) v = normal(rng);
  std::vector<double> exact(8 * 256, 0.0);
  for (int64_t o = 0; o < 8; ++o)
    for (int64_t p = 0; p < 256; ++p)
      for (int64_t i = 0; i < 64; ++i)
        for (int64_t t = 0; t < 9; ++t) {
          const int64_t row = p / 16 + t / 3 - 1, col = p % 16 + t % 3 - 1;
          if (row < 0 || row > 15 || col < 0 || col > 15) continue;
          exact[o * 256 + p] += static_cast<double>(x[i * 256 + row * 16 + col]) * w[(o * 64 + i) * 9 + t];
        }
  auto rms = [&](const Plan& plan) {
    std::vector<float> y(exact.size()), prepared(static_cast<size_t>(plan.prepared_floats()));
    if (!prepared.empty()) plan.prepare(w.data(), prepared.data());
    const float zero = 0;
    const ConvCall c{1,     x.data(), w.data(),  ones.data(), shift.data(), ones.data(),    0, 0, 0,
                     &zero, false,    -INFINITY, INFINITY,    y.data(),     prepared.data()};
    if (!run_conv(plan, c, Pool{nullptr, nullptr})) fail("memory");
    double sum = 0;
    for (size_t i = 0; i < y.size(); ++i) sum += (y[i] - exact[i]) * (y[i] - exact[i]);
    return sqrt(sum / static_cast<double>(y.size()));
  };
  for (const IsaKernels* isa : isas()) {
    const double direct = rms(Plan(s, *isa)), two = rms(Plan(s, *isa, 2)), four = rms(Plan(s, *isa, 4));
    printf("%s: RMS error F(2, 3) %.2f, F(4, 3) %.2f of the direct sum\n", isa->name, two / direct, four / direct);
    if (two > direct) fail("F(2, 3) lost accuracy");
    if (four > 3 * direct) fail("F(4, 3) lost accuracy");
  }
}

}  // namespace
}  // namespace test
}  // namespace sanp
