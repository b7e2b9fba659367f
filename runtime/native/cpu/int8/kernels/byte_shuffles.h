// Byte shuffles that push the chosen ones of eight bytes together, for sets without an instruction that does.
#pragma once

#include <stdint.h>

namespace sanp {

// Row m: the positions of the bits of m in rising order; then 0x80, which shuffles to zero on x86 and Arm.
struct ByteShuffles {
  uint8_t from[256][8];
};

constexpr ByteShuffles make_byte_shuffles() {
  ByteShuffles s{};
  for (int m = 0; m < 256; ++m) {
    int n = 0;
    for (int bit = 0; bit < 8; ++bit)
      if (m >> bit & 1) s.from[m][n++] = static_cast<uint8_t>(bit);
    for (; n < 8; ++n) s.from[m][n] = 0x80;
  }
  return s;
}

constexpr ByteShuffles kByteShuffles = make_byte_shuffles();

}  // namespace sanp
