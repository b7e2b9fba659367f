// Times the kernels alone, without ONNX Runtime: one line per layer shape and kept fraction, on one thread.
//
//   sanp_bench [isa [name [tile]]]    layers whose name contains `name`, Winograd tiles up to `tile`: 0, 2 or 4
//   sanp_bench [isa] tiles            every tile of kernels.inc on one long K loop
//
// "16": weights kept in 16 bits, where maps are small.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <algorithm>
#include <random>
#include <vector>

#include "cpu/conv/conv.h"
#include "cpu/isa/isa.h"
#include "tests/cpu/ceiling.h"

namespace {

using namespace sanp;

// Processor time of this thread: another process on the core does not count. One thread, so nothing is missed.
double now() {
  timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

struct Layer {
  const char* name;
  int64_t ci, co, size, kernel, stride, pad;
};

const Layer kLayers[] = {
    {"64@32", 64, 64, 32, 3, 1, 1},          {"128@16", 128, 128, 16, 3, 1, 1},
    {"256@8", 256, 256, 8, 3, 1, 1},         {"512@4", 512, 512, 4, 3, 1, 1},
    {"512@2", 512, 512, 2, 3, 1, 1},         {"64-128@32/2", 64, 128, 32, 3, 2, 1},
    {"256-512@8/2", 256, 512, 8, 3, 2, 1},   {"64-128@32/2 1x1", 64, 128, 32, 1, 2, 0},
    {"64@30", 64, 64, 30, 3, 1, 1},          {"128@15", 128, 128, 15, 3, 1, 1},
    {"192@8", 192, 192, 8, 3, 1, 1},         {"3-64@32", 3, 64, 32, 3, 1, 1},
    {"128@28", 128, 128, 28, 3, 1, 1},       {"256@14", 256, 256, 14, 3, 1, 1},
    {"512@7", 512, 512, 7, 3, 1, 1},         {"64@56", 64, 64, 56, 3, 1, 1},
    {"256-64@56 1x1", 256, 64, 56, 1, 1, 0}, {"2048-512@7 1x1", 2048, 512, 7, 1, 1, 0},
};

std::vector<float> mask(int64_t n, double keep, std::mt19937& rng) {
  std::vector<float> m(n, 0.0f);
  const int64_t k = std::max<int64_t>(1, llround(keep * static_cast<double>(n)));
  std::fill(m.begin(), m.begin() + k, 1.0f);
  std::shuffle(m.begin(), m.end(), rng);
  return m;
}

// Seconds per call: the median of 15 batches of about 2 ms.
template <class F>
double median_seconds(F f) {
  f();
  double begin = now();
  f();
  const double once = (now() - begin);
  const int repeat = std::max(1, static_cast<int>(2e-3 / once));
  std::vector<double> times;
  for (int i = 0; i < 15; ++i) {
    begin = now();
    for (int j = 0; j < repeat; ++j) f();
    times.push_back((now() - begin) / repeat);
  }
  std::sort(times.begin(), times.end());
  return times[times.size() / 2];
}

void bench_layer(const IsaKernels& isa, const Layer& l, int winograd, WeightKind kind, double ceiling) {
  std::mt19937 rng(1);
  std::normal_distribution<float> normal;
  ConvShape s{l.ci, l.size, l.size, l.co, l.kernel, l.kernel, l.stride, l.stride, l.pad, l.pad, l.pad, l.pad, 1, 1, 1};
  Plan plan(s, isa, winograd);
  if (kind == kBf16Weights && !plan.store_bf16(true)) return;
  std::vector<float> x(l.ci * l.size * l.size), w(l.co * l.ci * l.kernel * l.kernel), y(l.co * plan.pixels),
      shift(l.co);
  for (float& v : x) v = normal(rng);
  for (float& v : w) v = normal(rng);
  std::vector<float> prepared(static_cast<size_t>(plan.prepared_floats()));
  if (!prepared.empty()) plan.prepare(w.data(), prepared.data());
  printf("%-18s %-10s %s", l.name, algorithm_name(plan.algorithm), kind == kBf16Weights ? "16" : "  ");
  for (double keep : {1.0, 0.7, 0.5, 0.3}) {
    const std::vector<float> scale = mask(l.co, l.co == 10 ? 1.0 : keep, rng);
    const std::vector<float> active = mask(l.ci, l.ci == 3 ? 1.0 : keep, rng);
    const float zero = 0;
    ConvCall c{1,     x.data(), w.data(), scale.data(), shift.data(), active.data(),  0, 0, 0,
               &zero, false,    0.0f,     INFINITY,     y.data(),     prepared.data()};
    const double seconds = median_seconds([&] { run_conv(plan, c, Pool{nullptr, nullptr}); });
    const double ko = std::count(scale.begin(), scale.end(), 1.0f), ki = std::count(active.begin(), active.end(), 1.0f);
    const double rate = 2e-9 * ko * ki * l.kernel * l.kernel * plan.pixels / seconds;
    printf("  %4.1f: %8.1f us %5.1f %3.0f%%", keep, seconds * 1e6, rate, 100 * rate / ceiling);
  }
  printf("\n");
  fflush(stdout);
}

void bench_tile(const IsaKernels& isa, WeightKind kind, int mr, int nr, double ceiling) {
  const TileFn tile = isa.tile[kind][kTaps9][nr][mr];
  if (tile == nullptr) return;
  constexpr int kSteps = 128;
  const int lanes = isa.lanes;
  std::vector<float> x(kSteps * 9 * nr * lanes, 1.0f), w(mr * kSteps * 9, 1.0f), y(mr * nr * lanes), ones(mr, 1.0f);
  std::vector<Bf16> upper(mr * bf16_row(kSteps * 9));
  bf16_rows(w.data(), mr, kSteps * 9, upper.data());
  std::vector<Step> steps;
  for (int i = 0; i < kSteps; ++i) steps.push_back({i, i * 9});
  std::vector<ptrdiff_t> taps;
  for (int t = 0; t < 9; ++t) taps.push_back(t * nr * lanes * 4);
  std::vector<Vec> vecs;
  for (int v = 0; v < nr; ++v) vecs.push_back({v * lanes, v * lanes, lanes});
  std::vector<const void*> rows;
  std::vector<float*> out;
  for (int m = 0; m < mr; ++m) {
    if (kind == kBf16Weights)
      rows.push_back(&upper[m * bf16_row(kSteps * 9)]);
    else
      rows.push_back(&w[m * kSteps * 9]);
    out.push_back(&y[m * nr * lanes]);
  }
  const Epilogue end{ones.data(), ones.data(), out.data(), nullptr, 0.0f, INFINITY};
  const TileCall c{x.data(),    9 * nr * lanes, steps.data(), kSteps, taps.data(), 9,
                   vecs.data(), rows.data(),    nullptr,      0,      end};
  const double seconds = median_seconds([&] { tile(c); });
  const double rate = 2e-9 * kSteps * 9 * mr * nr * lanes / seconds;
  printf("%s tile %d x %d %s  %6.1f GFLOP/s  %3.0f%%\n", isa.name, mr, nr, kind == kBf16Weights ? "16" : "  ", rate,
         100 * rate / ceiling);
}

}  // namespace

int main(int argc, char** argv) {
  const IsaKernels* isa = argc > 1 ? find_isa(argv[1]) : &best_isa();
  if (isa == nullptr) {
    fprintf(stderr, "instruction set '%s' is not available here\n", argv[1]);
    return 2;
  }
  const double ceiling = std::max(fma_ceiling(isa->name), 1e-9);
  printf("%s, FMA ceiling %.1f GFLOP/s\n", isa->name, ceiling);
  if (argc > 2 && strcmp(argv[2], "tiles") == 0) {
#define BENCH_TILE(set, mr, nr) \
  if (strcmp(isa->name, set) == 0) \
    for (WeightKind kind : {kFloatWeights, kBf16Weights}) bench_tile(*isa, kind, mr, nr, ceiling);
#define SANP_TILE_AVX512(mr, nr) BENCH_TILE("avx512", mr, nr)
#define SANP_TILE_AVX2(mr, nr) BENCH_TILE("avx2", mr, nr)
#define SANP_TILE_NEON(mr, nr) BENCH_TILE("neon", mr, nr)
#define SANP_TILE_PORTABLE(mr, nr) BENCH_TILE("portable", mr, nr)
#include "cpu/microkernels/kernels.inc"
    return 0;
  }
  for (const Layer& layer : kLayers)
    if (argc < 3 || strstr(layer.name, argv[2]))
      for (WeightKind kind : {kFloatWeights, kBf16Weights})
        bench_layer(*isa, layer, argc > 3 ? atoi(argv[3]) : 4, kind, ceiling);
  return 0;
}
