// Byte SIMD wrapper: NEON with the dot-product instructions of Armv8.2, 4 sums of four products.
//
// SDOT multiplies signed bytes, so pixels are moved to -128 to 127.
#pragma once

#include <arm_neon.h>

#include "cpu/int8/kernels/byte_shuffles.h"
#include "cpu/int8/kernels/calls.h"

namespace sanp {

struct Int8Neon {
  static constexpr int kLanes = 4;
  static constexpr uint8_t kFlip = 0x80;
  using I = int32x4_t;
  using F = float32x4_t;
  using X = int8x16_t;
  using W = int8x16_t;

  static I zero() { return vdupq_n_s32(0); }
  static I set1(int32_t a) { return vdupq_n_s32(a); }
  static I add(I a, I b) { return vaddq_s32(a, b); }
  static X load_pixels(const uint8_t* p) { return vreinterpretq_s8_u8(vld1q_u8(p)); }
  static W load_weights(const int8_t* p) { return vld1q_s8(p); }
  static W broadcast(const int8_t* p) {
    int32_t quad;
    __builtin_memcpy(&quad, p, sizeof quad);
    return vreinterpretq_s8_s32(vdupq_n_s32(quad));
  }
  static void accumulate(I& acc, X x, W w) { acc = vdotq_s32(acc, x, w); }
  static void accumulate_weight(I& acc, X x, const int8_t* w) { accumulate(acc, x, broadcast(w)); }
  template <int P>
  static void store_sums(const I* acc, int32_t* out) {
    for (int p = 0; p < P; ++p) out[p] = vaddvq_s32(acc[p]);
  }
  static I load_sums(const int32_t* p) { return vld1q_s32(p); }

  static F set1(float a) { return vdupq_n_f32(a); }
  static F to_float(I a) { return vcvtq_f32_s32(a); }
  static F add(F a, F b) { return vaddq_f32(a, b); }
  static F sub(F a, F b) { return vsubq_f32(a, b); }
  static F mul(F a, F b) { return vmulq_f32(a, b); }
  static F max(F a, F b) { return vmaxq_f32(a, b); }
  static F min(F a, F b) { return vminq_f32(a, b); }
  static F load_bytes(const uint8_t* p, int count) {
    uint32_t bytes = 0;
    if (count == kLanes)
      __builtin_memcpy(&bytes, p, sizeof bytes);
    else
      for (int i = 0; i < count; ++i) bytes |= static_cast<uint32_t>(p[i]) << 8 * i;
    return vcvtq_f32_u32(vmovl_u16(vget_low_u16(vmovl_u8(vreinterpret_u8_u32(vdup_n_u32(bytes))))));
  }
  static void store_bytes(uint8_t* p, F v, int32_t zero, int count) {
    const I whole = add(vcvtnq_s32_f32(v), set1(zero));
    const uint16x4_t words = vqmovun_s32(whole);
    uint32_t bytes = vget_lane_u32(vreinterpret_u32_u8(vqmovn_u16(vcombine_u16(words, words))), 0);
    if (count == kLanes)
      __builtin_memcpy(p, &bytes, sizeof bytes);
    else
      for (int i = 0; i < count; ++i, bytes >>= 8) p[i] = static_cast<uint8_t>(bytes);
  }

  static void copy_vector(const uint32_t* from, uint32_t* to) { vst1q_u32(to, vld1q_u32(from)); }
  static void interleave(const uint8_t* const* c, ptrdiff_t n, uint32_t* out) {
    const uint8x16_t flip = vdupq_n_u8(0x80);
    ptrdiff_t i = 0;
    for (; i + 16 <= n; i += 16) {
      uint8x16x4_t four;
      for (int j = 0; j < kQuad; ++j) four.val[j] = veorq_u8(flip, vld1q_u8(c[j] + i));
      vst4q_u8(reinterpret_cast<uint8_t*>(out + i), four);
    }
    for (; i < n; ++i) out[i] = quad_of(c, i) ^ 0x80808080u;
  }
  static void compress(const int8_t* row, ptrdiff_t channels, const Int8Channels& active, int8_t* out) {
    const uint8_t* const masks = reinterpret_cast<const uint8_t*>(active.masks);
    for (ptrdiff_t i = 0; i < channels; i += 8) {
      const int m = masks[i / 8];
      vst1_s8(out, vtbl1_s8(vld1_s8(row + i), vreinterpret_s8_u8(vld1_u8(kByteShuffles.from[m]))));
      out += __builtin_popcount(static_cast<unsigned>(m));
    }
  }
  static void max_of_pairs(const uint8_t* a, const uint8_t* b, ptrdiff_t n, uint8_t* out) {
    ptrdiff_t i = 0;
    for (; i + 16 <= n; i += 16) {
      const uint8x16_t low = vmaxq_u8(vld1q_u8(a + 2 * i), vld1q_u8(b + 2 * i));
      const uint8x16_t high = vmaxq_u8(vld1q_u8(a + 2 * i + 16), vld1q_u8(b + 2 * i + 16));
      vst1q_u8(out + i, vpmaxq_u8(low, high));
    }
    for (; i + 8 <= n; i += 8) {
      const uint8x16_t both = vmaxq_u8(vld1q_u8(a + 2 * i), vld1q_u8(b + 2 * i));
      vst1_u8(out + i, vget_low_u8(vpmaxq_u8(both, both)));
    }
    for (; i < n; ++i) out[i] = max_of_four(a + 2 * i, b + 2 * i);
  }
  static int32_t sum_weights(const int8_t* row, ptrdiff_t n) {
    I total = zero();
    ptrdiff_t i = 0;
    for (; i + 16 <= n; i += 16) total = vdotq_s32(total, vdupq_n_s8(1), vld1q_s8(row + i));
    int32_t rest = vaddvq_s32(total);
    for (; i < n; ++i) rest += row[i];
    return rest;
  }
  static void channel_sums(const uint8_t* x, ptrdiff_t channels, ptrdiff_t pixels, int32_t* sums) {
    for (ptrdiff_t c = 0; c < channels; ++c, x += pixels) {
      uint32x4_t total = vdupq_n_u32(0);
      ptrdiff_t i = 0;
      for (; i + 16 <= pixels; i += 16) total = vdotq_u32(total, vdupq_n_u8(1), vld1q_u8(x + i));
      int32_t rest = static_cast<int32_t>(vaddvq_u32(total));
      for (; i < pixels; ++i) rest += x[i];
      sums[c] = rest;
    }
  }
};

}  // namespace sanp
