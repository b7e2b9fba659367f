// Checks and copies weights that fit 16 bits.
#include "cpu/base/weights.h"

#include <string.h>

namespace sanp {
namespace {

uint32_t bits_of(float v) {
  uint32_t bits;
  memcpy(&bits, &v, sizeof bits);
  return bits;
}

}  // namespace

bool bf16_exact(const float* w, int64_t n) {
  for (int64_t i = 0; i < n; ++i)
    if (bits_of(w[i]) & 0xffffu) return false;
  return true;
}

void bf16_rows(const float* w, int64_t rows, int64_t n, Bf16* out) {
  const int64_t step = bf16_row(n);
  for (int64_t r = 0; r < rows; ++r, w += n, out += step)
    for (int64_t i = 0; i < step; ++i) out[i].upper = i < n ? static_cast<uint16_t>(bits_of(w[i]) >> 16) : uint16_t{0};
}

}  // namespace sanp
