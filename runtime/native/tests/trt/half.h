// IEEE half precision on the host, by bits: GCC 9, which Jetsons have, knows no half type on x86.
#pragma once

#include <math.h>
#include <stdint.h>

namespace sanp {
namespace test {

inline float float_of_half(uint16_t h) {
  const int exponent = h >> 10 & 31, mantissa = h & 1023;
  const float sign = h & 0x8000 ? -1.0f : 1.0f;
  if (exponent == 31) return mantissa ? NAN : sign * INFINITY;
  if (exponent == 0) return sign * ldexpf(static_cast<float>(mantissa), -24);
  return sign * ldexpf(static_cast<float>(mantissa + 1024), exponent - 25);
}

// Rounds to nearest, ties to even.
inline uint16_t half_of_float(float f) {
  const uint16_t sign = signbit(f) ? 0x8000 : 0;
  const float a = fabsf(f);
  if (isnan(f)) return static_cast<uint16_t>(sign | 0x7e00);
  if (a >= 65520.0f) return static_cast<uint16_t>(sign | 0x7c00);
  if (a < 6.103515625e-5f) return static_cast<uint16_t>(sign | static_cast<uint16_t>(nearbyintf(ldexpf(a, 24))));
  int exponent;
  const float mantissa = frexpf(a, &exponent);                             // [0.5, 1)
  const int rounded = static_cast<int>(nearbyintf(ldexpf(mantissa, 11)));  // [1024, 2048]
  return static_cast<uint16_t>(sign + ((exponent + 14) << 10) + (rounded - 1024));
}

}  // namespace test
}  // namespace sanp
