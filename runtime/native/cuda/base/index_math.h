// Index arithmetic shared by the planner, the kernels and their tests.
#pragma once

#include <stdint.h>

#ifdef __CUDACC__
#define SANP_HOST_DEVICE __host__ __device__
#else
#define SANP_HOST_DEVICE
#endif

namespace sanp {
namespace cuda {

SANP_HOST_DEVICE constexpr int ceil_div(int n, int d) { return (n + d - 1) / d; }
SANP_HOST_DEVICE constexpr int min_of(int a, int b) { return a < b ? a : b; }
SANP_HOST_DEVICE constexpr int round_up(int n, int unit) { return ceil_div(n, unit) * unit; }

// Division of 0 <= n < 2^31 by a constant of the launch: a multiplication instead of some twenty instructions.
struct FastDivide {
  int32_t divisor;
  uint32_t magic;
  int32_t shift;

  static FastDivide by(int32_t divisor) {
    FastDivide f{divisor, 0, 0};
    while ((int64_t{1} << f.shift) < divisor) ++f.shift;
    const uint64_t gap = (uint64_t{1} << f.shift) - static_cast<uint64_t>(divisor);
    f.magic = static_cast<uint32_t>((gap << 32) / static_cast<uint64_t>(divisor) + 1);
    return f;
  }
  SANP_HOST_DEVICE int32_t quotient(int32_t n) const {
    const uint32_t u = static_cast<uint32_t>(n);
    const uint32_t high = static_cast<uint32_t>((static_cast<uint64_t>(u) * magic) >> 32);
    return static_cast<int32_t>((high + u) >> shift);
  }
  SANP_HOST_DEVICE int32_t remainder(int32_t n, int32_t quotient) const { return n - quotient * divisor; }
};

struct Range {
  int32_t begin, end;
};

// Part `index` of `parts` of [0, n), cut at multiples of `unit` and as even as that allows. Later parts can be empty.
SANP_HOST_DEVICE inline Range part_of(int32_t n, int32_t unit, int32_t parts, int32_t index) {
  const int32_t units = ceil_div(n, unit);
  const int32_t begin = static_cast<int32_t>(static_cast<int64_t>(units) * index / parts) * unit;
  const int32_t end = static_cast<int32_t>(static_cast<int64_t>(units) * (index + 1) / parts) * unit;
  return Range{begin < n ? begin : n, end < n ? end : n};
}

}  // namespace cuda
}  // namespace sanp
