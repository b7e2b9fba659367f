// The gated int8 convolution against exact integers: random shapes, masks, corners and threads, on every instruction
// set.
#include <thread>

#include "tests/cpu/int8_case.h"
#include "tests/cpu/int8_sets.h"

namespace sanp {
namespace test {
namespace {

const Pool kAlone{nullptr, nullptr};

// Every task on a thread of its own.
const Pool kThreads{[](void*, Pool::Task task, size_t count, void* arg) {
                      std::vector<std::thread> all;
                      for (size_t i = 0; i < count; ++i) all.emplace_back([=] { task(arg, i); });
                      for (std::thread& t : all) t.join();
                    },
                    nullptr};

void check_all_sets(const Int8Case& c, const Pool& pool) {
  const std::vector<uint8_t> expected = c.expected();
  for (const Int8Kernels* set : int8_sets()) require_same_bytes(c, c.run(*set, pool), expected, set->name);
}

TEST_CASE(int8_random_shapes_and_masks_are_exact) {
  std::mt19937 rng(seed + 101);
  for (int round = 0; round < rounds(700); ++round) {
    const double openness[] = {0.0, 0.2, 0.5, 0.9, 1.0};
    check_all_sets(Int8Case(random_int8_shape(rng), 1 + rng() % 3, openness[rng() % 5], Int8Values::kRandom, rng),
                   kAlone);
  }
}

TEST_CASE(int8_corners_do_not_saturate) {
  std::mt19937 rng(seed + 102);
  for (int round = 0; round < rounds(60); ++round)
    check_all_sets(Int8Case(random_int8_shape(rng), 1, 1.0, Int8Values::kCorners, rng), kAlone);
  // 255 x -127 everywhere, in sums as long as those of real layers.
  for (const int64_t size : {1, 2, 4, 9}) {
    ConvShape s{130, size, size, 13, 3, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1};
    Int8Case c(s, 1, 1.0, Int8Values::kCorners, rng);
    for (size_t i = 0; i < c.x.size(); ++i) c.x[i] = 255;
    for (size_t i = 0; i < c.w.size(); ++i) c.w[i] = 0x81;
    c.call.x_zero = 0;
    for (size_t o = 0; o < c.w_scale.size(); ++o) c.w_scale[o] = 1e-6f;
    check_all_sets(c, kAlone);
  }
}

// Widths around every vector and tile, rows around every block, channels around quads and around 64.
TEST_CASE(int8_edges_of_tiles_blocks_and_channels) {
  std::mt19937 rng(seed + 103);
  for (int64_t width = 1; width <= 70; ++width)
    check_all_sets(Int8Case({5, 1, width, 7, 1, 3, 1, 1, 0, 1, 0, 1, 1, 1, 1}, 1, 0.8, Int8Values::kRandom, rng),
                   kAlone);
  for (int64_t rows = 1; rows <= 26; ++rows)
    for (const int64_t size : {2, 3, 4, 6, 8})
      check_all_sets(Int8Case({9, size, size, rows, 3, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1}, 1, 1.0, Int8Values::kRandom, rng),
                     kAlone);
  for (const int64_t channels : {1, 2, 3, 4, 5, 59, 60, 61, 62, 63, 64, 65, 66, 67, 68, 127, 128, 129, 195})
    for (const double open : {0.3, 0.6, 0.95, 1.0})
      for (const int64_t size : {2, 4, 5})
        check_all_sets(
            Int8Case({channels, size, size, 7, 3, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1}, 1, open, Int8Values::kRandom, rng),
            kAlone);
}

TEST_CASE(int8_layers_of_networks) {
  std::mt19937 rng(seed + 104);
  const ConvShape layers[] = {
      {3, 32, 32, 64, 3, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1},  {64, 30, 30, 40, 3, 3, 2, 2, 1, 1, 1, 1, 1, 1, 1},
      {64, 16, 16, 64, 1, 1, 2, 2, 0, 0, 0, 0, 1, 1, 1}, {96, 8, 8, 96, 3, 3, 1, 1, 1, 1, 1, 1, 1, 1, 96},
      {256, 8, 8, 64, 3, 3, 2, 2, 1, 1, 1, 1, 1, 1, 1},  {3, 40, 40, 16, 7, 7, 2, 2, 3, 3, 3, 3, 1, 1, 1},
      {300, 4, 4, 48, 3, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1},  {256, 2, 2, 64, 3, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1}};
  for (const ConvShape& layer : layers)
    for (const double open : {0.35, 1.0})
      if (fewer == 1 || rng() % static_cast<uint32_t>(fewer) == 0)
        check_all_sets(Int8Case(layer, 1, open, Int8Values::kRandom, rng), kAlone);
}

TEST_CASE(int8_threads_change_no_byte) {
  std::mt19937 rng(seed + 105);
  for (int round = 0; round < rounds(20); ++round) {
    const ConvShape shapes[] = {{64, 20, 20, 50, 3, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1},
                                {128, 4, 4, 128, 3, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1},
                                {48, 16, 16, 48, 3, 3, 1, 1, 1, 1, 1, 1, 1, 1, 12}};
    check_all_sets(Int8Case(shapes[round % 3], round % 2 ? 5 : 1, 0.7, Int8Values::kRandom, rng), kThreads);
  }
}

TEST_CASE(int8_sums_of_channels_are_exact) {
  std::mt19937 rng(seed + 106);
  const std::vector<const Int8Kernels*> sets = int8_sets();
  for (int64_t pixels = 1; pixels < 200; pixels += 1 + pixels / 70) {
    GuardedBytes x(static_cast<size_t>(3 * pixels), 255);
    for (size_t i = 0; i < x.size() / 2; ++i) x[i] = static_cast<uint8_t>(rng());
    for (const Int8Kernels* set : sets) {
      int32_t sums[3];
      set->channel_sums(x.data(), 3, pixels, sums);
      for (int64_t c = 0; c < 3; ++c) {
        int32_t expected = 0;
        for (int64_t p = 0; p < pixels; ++p) expected += x[static_cast<size_t>(c * pixels + p)];
        if (sums[c] != expected) fail(std::string(set->name) + ": sum of " + std::to_string(pixels) + " pixels");
      }
    }
  }
}

}  // namespace
}  // namespace test
}  // namespace sanp
