// Every int8 kernel of the list, forced one by one: tiles with whole and partial vectors, dot products of every length.
#include <string.h>

#include <random>

#include "cpu/int8/kernels/table.h"
#include "tests/cpu/int8_case.h"
#include "tests/cpu/int8_sets.h"

namespace sanp {
namespace test {
namespace {

const Int8Kernels* set_named(const char* name) {
  for (const Int8Kernels* set : int8_sets())
    if (strcmp(set->name, name) == 0) return set;
  return nullptr;
}

int32_t product(uint8_t pixel, uint8_t flip, int8_t weight) {
  return flip ? static_cast<int8_t>(pixel) * weight : pixel * weight;
}

void check_tile(const char* set, int mr, int nr, uint32_t seed) {
  const Int8Kernels* const k = set_named(set);
  if (k == nullptr) return;
  if (k->tile[nr][mr] == nullptr) fail(std::string(set) + ": a tile of the list is not in the table");
  std::mt19937 rng(seed);
  const int quads = 5, taps = 3, lanes = k->lanes, pixels = nr * lanes;
  const ptrdiff_t plane = (pixels + lanes) * kQuad, quad_step = taps * plane;
  const ptrdiff_t at[taps] = {0, plane + 4, 2 * plane + 8};
  for (int last = 1; last <= lanes; ++last) {
    GuardedBytes x(static_cast<size_t>(quads * quad_step));
    for (size_t i = 0; i < x.size(); ++i) x[i] = static_cast<uint8_t>(rng());
    GuardedBytes w(static_cast<size_t>(mr * taps * quads * kQuad));
    for (size_t i = 0; i < w.size(); ++i)
      w[i] = static_cast<uint8_t>(static_cast<int8_t>(static_cast<int>(rng() % 255) - 127));
    const int out = (nr - 1) * lanes + last;
    GuardedBytes y(static_cast<size_t>(mr * out), 7), residual(static_cast<size_t>(mr * out), 9);
    const int8_t* rows[kInt8MaxMr];
    uint8_t* ys[kInt8MaxMr];
    const uint8_t* residuals[kInt8MaxMr];
    float factor[kInt8MaxMr], shift[kInt8MaxMr];
    int32_t correction[kInt8MaxMr];
    for (int m = 0; m < mr; ++m) {
      rows[m] = reinterpret_cast<const int8_t*>(w.data()) + m * taps * quads * kQuad;
      ys[m] = y.data() + m * out;
      residuals[m] = residual.data() + m * out;
      factor[m] = 1.0f / 1024, shift[m] = static_cast<float>(m), correction[m] = 100 * m;
    }
    Int8TileCall c{};
    c.x = x.data(), c.quad_step = quad_step, c.quads = quads, c.n_taps = taps, c.taps = at, c.w = rows, c.last = last;
    c.end = {factor, shift, correction, ys, residuals, 0.5f, 3.0f, -100.0f, 120.0f, 100};
    k->tile[nr][mr](c);
    for (int m = 0; m < mr; ++m)
      for (int p = 0; p < out; ++p) {
        int32_t sum = correction[m];
        for (int t = 0; t < taps; ++t)
          for (int q = 0; q < quads; ++q)
            for (int j = 0; j < kQuad; ++j)
              sum += product(x[static_cast<size_t>(q * quad_step + at[t] + p * kQuad + j)], k->flip,
                             rows[m][(t * quads + q) * kQuad + j]);
        float v = static_cast<float>(sum) / 1024 + static_cast<float>(m) + 3.0f;
        v = v < -100.0f ? -100.0f : v > 120.0f ? 120.0f : v;
        if (ys[m][p] != static_cast<uint8_t>(static_cast<int>(__builtin_nearbyintf(v)) + 100))
          fail(std::string(set) + " tile " + std::to_string(mr) + " x " + std::to_string(nr) + ", last " +
               std::to_string(last));
      }
  }
}

void check_dot(const char* set, int mr, int pr, uint32_t seed) {
  const Int8Kernels* const k = set_named(set);
  if (k == nullptr) return;
  if (k->dot[pr][mr] == nullptr) fail(std::string(set) + ": a dot product of the list is not in the table");
  std::mt19937 rng(seed);
  for (const ptrdiff_t length : {0, 64, 128, 576}) {
    GuardedBytes x(static_cast<size_t>(pr * length)), w(static_cast<size_t>(mr * length));
    for (size_t i = 0; i < x.size(); ++i) x[i] = static_cast<uint8_t>(rng());
    for (size_t i = 0; i < w.size(); ++i)
      w[i] = static_cast<uint8_t>(static_cast<int8_t>(static_cast<int>(rng() % 255) - 127));
    const int8_t* rows[kInt8MaxDotRows];
    for (int m = 0; m < mr; ++m) rows[m] = reinterpret_cast<const int8_t*>(w.data()) + m * length;
    int32_t sums[kInt8MaxDotRows * kInt8DotMap] = {};
    k->dot[pr][mr]({x.data(), length, length, rows, sums, {rows, mr, length}});
    for (int m = 0; m < mr; ++m)
      for (int p = 0; p < pr; ++p) {
        int32_t sum = 0;
        for (ptrdiff_t i = 0; i < length; ++i)
          sum += product(x[static_cast<size_t>(p * length + i)], k->flip, rows[m][i]);
        if (sums[m * kInt8DotMap + p] != sum)
          fail(std::string(set) + " dot " + std::to_string(mr) + " x " + std::to_string(pr));
      }
  }
}

TEST_CASE(int8_every_kernel_of_the_list) {
#define SANP_INT8_TILE_AVX512(mr, nr) check_tile("avx512-vnni", mr, nr, seed);
#define SANP_INT8_TILE_AVX2(mr, nr) check_tile("avx2", mr, nr, seed);
#define SANP_INT8_TILE_AVXVNNI(mr, nr) \
  check_tile("avx-vnni", mr, nr, seed); \
  check_tile("avx-vnni as avx512vl", mr, nr, seed);
#define SANP_INT8_DOT_AVXVNNI(mr, pr) \
  check_dot("avx-vnni", mr, pr, seed); \
  check_dot("avx-vnni as avx512vl", mr, pr, seed);
#define SANP_INT8_TILE_NEON(mr, nr) check_tile("neon-dot", mr, nr, seed);
#define SANP_INT8_TILE_PORTABLE(mr, nr) check_tile("portable", mr, nr, seed);
#define SANP_INT8_DOT_AVX512(mr, pr) check_dot("avx512-vnni", mr, pr, seed);
#define SANP_INT8_DOT_AVX2(mr, pr) check_dot("avx2", mr, pr, seed);
#define SANP_INT8_DOT_NEON(mr, pr) check_dot("neon-dot", mr, pr, seed);
#define SANP_INT8_DOT_PORTABLE(mr, pr) check_dot("portable", mr, pr, seed);
#include "cpu/int8/kernels/kernels.inc"
}

TEST_CASE(int8_a_session_gets_the_set_of_its_instruction_set) {
  if (strcmp(int8_kernels_for("portable").name, "portable") != 0) fail("portable");
  if (strcmp(int8_kernels_for("unknown").name, "portable") != 0) fail("unknown");
  const Int8Kernels* best;
  usable_int8_sets(&best, 1);
  const char* const most[] = {"avx512", "neon"};
  const bool found = &int8_kernels_for(most[0]) == best || &int8_kernels_for(most[1]) == best;
  if (!found) fail("the strongest instruction set has not the strongest int8 kernels");
  const char* const asked = set_named("avx-vnni") != nullptr ? "avx-vnni" : "avx2";
  if (set_named("avx2") != nullptr && strcmp(int8_kernels_for("avx2").name, asked) != 0) fail("avx2");
}

}  // namespace
}  // namespace test
}  // namespace sanp
