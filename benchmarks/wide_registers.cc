// Whether this thread has used registers that only AVX-512 has, by what the
// processor itself tracks for context switches.
#include <cpuid.h>
#include <stdint.h>

namespace {

constexpr uint32_t kAvx512 =
    0xE0; // state components 5 to 7: masks, upper halves of zmm0-15, zmm16-31
constexpr uint32_t kAreaBytes = 16384;

bool tracked() {
  uint32_t a, b, c, d;
  if (!__get_cpuid_count(1, 0, &a, &b, &c, &d) || !(c >> 27 & 1))
    return false; // OSXSAVE
  if (!__get_cpuid_count(0xD, 0, &a, &b, &c, &d) || b > kAreaBytes)
    return false;
  return __get_cpuid_count(0xD, 1, &a, &b, &c, &d) &&
         (a >> 2 & 1); // XGETBV of register 1
}

} // namespace

// Puts these registers into their initial state, so that what is in use later
// was used later. False: not tracked here.
extern "C" bool sanp_forget_avx512() {
  if (!tracked())
    return false;
  alignas(64) static const uint8_t nothing_saved[kAreaBytes] = {};
  asm volatile("xrstor %0"
               :
               : "m"(nothing_saved), "a"(kAvx512), "d"(0)
               : "memory");
  return true;
}

// State components of AVX-512 in use in this thread, one bit each.
extern "C" uint32_t sanp_avx512_in_use() {
  uint32_t low, high;
  asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(1));
  return low & kAvx512;
}
