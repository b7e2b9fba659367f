// Max pooling of bytes against the largest byte of every window, on every instruction set.
#include <algorithm>
#include <random>
#include <thread>

#include "cpu/int8/pool/max_pool.h"
#include "tests/cpu/int8_case.h"
#include "tests/cpu/int8_sets.h"

namespace sanp {
namespace test {
namespace {

std::string text_of(const PoolShape& s) {
  char text[200];
  snprintf(text, sizeof text, "[%lld, %lld], kernel %lld x %lld, strides %lld %lld, pads %lld %lld",
           static_cast<long long>(s.height), static_cast<long long>(s.width), static_cast<long long>(s.kernel_h),
           static_cast<long long>(s.kernel_w), static_cast<long long>(s.stride_y), static_cast<long long>(s.stride_x),
           static_cast<long long>(s.pad_top), static_cast<long long>(s.pad_left));
  return text;
}

void check_pool(const PoolShape& s, int64_t planes, const Pool& pool, std::mt19937& rng) {
  GuardedBytes x(static_cast<size_t>(planes * s.height * s.width));
  for (size_t i = 0; i < x.size(); ++i) x[i] = static_cast<uint8_t>(rng());
  std::vector<uint8_t> expected;
  for (int64_t p = 0; p < planes; ++p)
    for (int64_t oy = 0; oy < s.out_h; ++oy)
      for (int64_t ox = 0; ox < s.out_w; ++ox) {
        int largest = -1;
        for (int64_t ky = 0; ky < s.kernel_h; ++ky)
          for (int64_t kx = 0; kx < s.kernel_w; ++kx) {
            const int64_t row = oy * s.stride_y - s.pad_top + ky, col = ox * s.stride_x - s.pad_left + kx;
            if (row < 0 || row >= s.height || col < 0 || col >= s.width) continue;
            largest = std::max<int>(largest, x[static_cast<size_t>((p * s.height + row) * s.width + col)]);
          }
        expected.push_back(static_cast<uint8_t>(largest));
      }
  for (const Int8Kernels* set : int8_sets()) {
    GuardedBytes y(expected.size(), 0xa5);
    if (!run_int8_max_pool(s, *set, planes, x.data(), y.data(), pool)) fail("max pool: out of memory");
    for (size_t k = 0; k < expected.size(); ++k)
      if (y[k] != expected[k]) fail(std::string(set->name) + ": byte " + std::to_string(k) + "; " + text_of(s));
  }
}

TEST_CASE(max_pool_of_any_window) {
  const Pool alone{nullptr, nullptr};
  std::mt19937 rng(seed + 201);
  const auto pick = [&](int64_t n) { return static_cast<int64_t>(rng() % static_cast<uint32_t>(n)); };
  for (int round = 0; round < rounds(600); ++round) {
    MaxPoolAttributes a{};
    for (int i = 0; i < 2; ++i) {
      a.kernel[i] = rng() % 2 ? 2 : 1 + pick(4);
      a.strides[i] = rng() % 2 ? 2 : 1 + pick(3);
      for (int64_t* pad : {&a.pads[i], &a.pads[i + 2]}) *pad = rng() % 2 ? 0 : pick(a.kernel[i]);
    }
    Shape<int64_t> x;
    x.rank = 4;
    const int64_t dims[4] = {1, 1 + pick(5), a.kernel[0] + pick(9), a.kernel[1] + pick(round % 3 ? 12 : 80)};
    std::copy(dims, dims + 4, x.dims);
    MaxPoolProblem p;
    if (check(a) || check(a, {&x}, &p)) fail("max pool: a good problem was refused");
    check_pool(p.shape, p.channels, alone, rng);
  }
}

// Widths around every vector.
TEST_CASE(max_pool_of_pairs) {
  const Pool alone{nullptr, nullptr};
  std::mt19937 rng(seed + 202);
  for (int64_t width = 2; width < 140; ++width)
    check_pool({4 + width % 2, width, 2, 2, 2, 2, 0, 0, 2, width / 2}, 3, alone, rng);
}

TEST_CASE(max_pool_by_threads) {
  const Pool threads{[](void*, Pool::Task task, size_t count, void* arg) {
                       std::vector<std::thread> all;
                       for (size_t i = 0; i < count; ++i) all.emplace_back([=] { task(arg, i); });
                       for (std::thread& t : all) t.join();
                     },
                     nullptr};
  std::mt19937 rng(seed + 203);
  check_pool({32, 32, 2, 2, 2, 2, 0, 0, 16, 16}, 301, threads, rng);
  check_pool({33, 31, 3, 3, 2, 2, 1, 1, 17, 16}, 200, threads, rng);
}

TEST_CASE(max_pool_refuses_windows_without_a_pixel) {
  const MaxPoolAttributes wide{{2, 2}, {2, 2}, {0, 2, 0, 0}}, none{{0, 2}, {2, 2}, {0, 0, 0, 0}};
  if (!check(wide) || !check(none)) fail("max pool: pads as wide as the kernel, or no kernel, are accepted");
}

}  // namespace
}  // namespace test
}  // namespace sanp
