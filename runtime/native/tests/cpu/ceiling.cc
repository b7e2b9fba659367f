// Register-only FMA loops per instruction set, timed for about 20 ms; the best of several short runs counts.
#include "tests/cpu/ceiling.h"

#include <string.h>

#include <chrono>

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

namespace sanp {
namespace {

constexpr int kChains = 12;  // latency 4, two ports: 8 would do
constexpr int kSteps = 20000;

#if defined(__x86_64__)
__attribute__((target("avx512f"))) float loop_avx512() {
  __m512 a[kChains];
  for (int i = 0; i < kChains; ++i) a[i] = _mm512_set1_ps(static_cast<float>(i));
  __m512 b = _mm512_set1_ps(0.999f), c = _mm512_set1_ps(1e-3f);
  for (int s = 0; s < kSteps; ++s) {
    asm volatile("" : "+v"(b), "+v"(c));
#pragma GCC unroll 12
    for (int i = 0; i < kChains; ++i) a[i] = _mm512_fmadd_ps(a[i], b, c);
  }
  float out[16], sum = 0;
  for (int i = 0; i < kChains; ++i) {
    _mm512_storeu_ps(out, a[i]);
    sum += out[0];
  }
  return sum;
}

__attribute__((target("avx2,fma"))) float loop_avx2() {
  __m256 a[kChains];
  for (int i = 0; i < kChains; ++i) a[i] = _mm256_set1_ps(static_cast<float>(i));
  __m256 b = _mm256_set1_ps(0.999f), c = _mm256_set1_ps(1e-3f);
  for (int s = 0; s < kSteps; ++s) {
    asm volatile("" : "+x"(b), "+x"(c));
#pragma GCC unroll 12
    for (int i = 0; i < kChains; ++i) a[i] = _mm256_fmadd_ps(a[i], b, c);
  }
  float out[8], sum = 0;
  for (int i = 0; i < kChains; ++i) {
    _mm256_storeu_ps(out, a[i]);
    sum += out[0];
  }
  return sum;
}
#elif defined(__aarch64__)
float loop_neon() {
  float32x4_t a[kChains];
  for (int i = 0; i < kChains; ++i) a[i] = vdupq_n_f32(static_cast<float>(i));
  float32x4_t b = vdupq_n_f32(0.999f), c = vdupq_n_f32(1e-3f);
  for (int s = 0; s < kSteps; ++s) {
    asm volatile("" : "+w"(b), "+w"(c));
#pragma GCC unroll 12
    for (int i = 0; i < kChains; ++i) a[i] = vfmaq_f32(c, a[i], b);
  }
  float sum = 0;
  for (int i = 0; i < kChains; ++i) sum += vgetq_lane_f32(a[i], 0);
  return sum;
}
#endif

[[maybe_unused]] double best_rate(float (*loop)(), int lanes) {
  using Clock = std::chrono::steady_clock;
  volatile float sink = 0;
  double best = 0;
  for (int run = 0; run < 60; ++run) {
    const auto begin = Clock::now();
    sink = sink + loop();
    const double seconds = std::chrono::duration<double>(Clock::now() - begin).count();
    const double rate = 2.0 * lanes * kChains * kSteps / seconds * 1e-9;
    best = rate > best ? rate : best;
  }
  return best;
}

}  // namespace

double fma_ceiling(const char* isa) {
#if defined(__x86_64__)
  if (strcmp(isa, "avx512") == 0 && __builtin_cpu_supports("avx512f")) return best_rate(loop_avx512, 16);
  if (strcmp(isa, "avx2") == 0 && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
    return best_rate(loop_avx2, 8);
#elif defined(__aarch64__)
  if (strcmp(isa, "neon") == 0) return best_rate(loop_neon, 4);
#endif
  (void)isa;
  return 0;
}

}  // namespace sanp

extern "C" __attribute__((visibility("default"))) double sanp_fma_ceiling(const char* isa) {
  return sanp::fma_ceiling(isa);
}
