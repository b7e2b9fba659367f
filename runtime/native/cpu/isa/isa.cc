// Run-time choice of instruction set: one row per set, strongest first, portable last.
#include "cpu/isa/isa.h"

#include <string.h>

#include "cpu/isa/table.h"

namespace sanp {
namespace {

#if defined(__x86_64__)
// __builtin_cpu_supports also asks the operating system (XGETBV), so "has AVX-512" means "may use it".
bool has_avx512() {
  __builtin_cpu_init();
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw");
}

bool has_avx2() {
  __builtin_cpu_init();
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}
#endif

bool always() { return true; }

struct Row {
  const IsaKernels& (*kernels)();
  bool (*usable)();
};

const Row kRows[] = {
#if defined(__x86_64__)
    {avx512_kernels, has_avx512},
    {avx2_kernels, has_avx2},
#endif
#if defined(__aarch64__)
    {neon_kernels, always},
#endif
    {portable_kernels, always},
};

}  // namespace

size_t usable_isas(const IsaKernels** out, size_t capacity) {
  size_t n = 0;
  for (const Row& row : kRows)
    if (n < capacity && row.usable()) out[n++] = &row.kernels();
  return n;
}

const IsaKernels* find_isa(const char* name) {
  if (name == nullptr) return nullptr;
  for (const Row& row : kRows)
    if (strcmp(row.kernels().name, name) == 0) return row.usable() ? &row.kernels() : nullptr;
  return nullptr;
}

const IsaKernels& best_isa() {
  static const IsaKernels* const best = [] {
    const IsaKernels* first = nullptr;
    usable_isas(&first, 1);
    return first;
  }();
  return *best;
}

}  // namespace sanp
