// Run-time choice among the int8 kernels: one row per set, strongest first, portable last.
#include <string.h>

#include "cpu/int8/kernels/table.h"
#if defined(__aarch64__)
#include <sys/auxv.h>
#endif
#if defined(SANP_AVX_VNNI)
#include <cpuid.h>
#endif

namespace sanp {
namespace {

#if defined(__x86_64__)
// __builtin_cpu_supports also asks the operating system (XGETBV), so "has AVX-512" means "may use it".
bool has_avx512_vnni() {
  __builtin_cpu_init();
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512vbmi2");
}
bool has_avx2() {
  __builtin_cpu_init();
  return __builtin_cpu_supports("avx2");
}
#if defined(SANP_AVX_VNNI)
// Not every compiler that knows the instruction knows this name in __builtin_cpu_supports.
bool has_avx_vnni() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  return has_avx2() && __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a >> 4 & 1);
}
#endif
#endif
#if defined(__aarch64__)
bool has_dot_product() { return (getauxval(AT_HWCAP) & (1ul << 20)) != 0; }  // HWCAP_ASIMDDP
#endif
bool always() { return true; }

// isa: the float kernels of that set and of stronger ones are asked for on such processors.
struct Row {
  const Int8Kernels& (*kernels)();
  bool (*usable)();
  const char* isa;
};

const Row kRows[] = {
#if defined(__x86_64__)
    {int8_avx512_kernels, has_avx512_vnni, "avx512"},
#if defined(SANP_AVX_VNNI)
    {int8_avxvnni_kernels, has_avx_vnni, "avx2"},
#endif
    {int8_avx2_kernels, has_avx2, "avx2"},
#endif
#if defined(__aarch64__)
    {int8_neon_kernels, has_dot_product, "neon"},
#endif
    {int8_portable_kernels, always, "portable"},
};

}  // namespace

size_t usable_int8_sets(const Int8Kernels** out, size_t capacity) {
  size_t n = 0;
  for (const Row& row : kRows)
    if (n < capacity && row.usable()) out[n++] = &row.kernels();
  return n;
}

const Int8Kernels& int8_kernels_for(const char* isa) {
  bool reached = false;
  for (const Row& row : kRows) {
    reached = reached || strcmp(row.isa, isa) == 0;
    if (reached && row.usable()) return row.kernels();
  }
  return int8_portable_kernels();
}

}  // namespace sanp
