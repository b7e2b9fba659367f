// The int8 kernels that this machine can run: those of the library, and AVX-VNNI in its other encoding.
#pragma once

#include <vector>

#include "cpu/int8/kernels/table.h"

namespace sanp {
namespace test {

// Needs AVX-512 VNNI and VL.
const Int8Kernels& vnni_256_kernels();

inline std::vector<const Int8Kernels*> int8_sets() {
  const Int8Kernels* sets[kMaxInt8Sets];
  const size_t n = usable_int8_sets(sets, kMaxInt8Sets);
  std::vector<const Int8Kernels*> all(sets, sets + n);
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512vl")) all.push_back(&vnni_256_kernels());
#endif
  return all;
}

}  // namespace test
}  // namespace sanp
