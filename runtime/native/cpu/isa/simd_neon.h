// SIMD wrapper: NEON on 64-bit Arm, four float lanes.
#pragma once

#include <arm_neon.h>
#include <stddef.h>

#include "cpu/base/weights.h"

namespace sanp {

struct Neon {
  using F = float32x4_t;
  static constexpr int kLanes = 4;
  static constexpr int kRegisters = 32;

  static F zero() { return vdupq_n_f32(0); }
  static F set1(float v) { return vdupq_n_f32(v); }
  static F load(const float* p) { return vld1q_f32(p); }
  static void store(float* p, F v) { vst1q_f32(p, v); }
  static F add(F a, F b) { return vaddq_f32(a, b); }
  static F sub(F a, F b) { return vsubq_f32(a, b); }
  static F mul(F a, F b) { return vmulq_f32(a, b); }
  static F fma(F a, F b, F c) { return vfmaq_f32(c, a, b); }
  static void accumulate(F& acc, F a, F b) { acc = vfmaq_f32(acc, a, b); }
  static F broadcast(const float* w) { return vld1q_dup_f32(w); }
  static F broadcast(const Bf16* w) { return widen(vld1_dup_u16(&w->upper)); }
  template <class T>
  static void accumulate_weight(F& acc, F x, const T* w) {
    acc = vfmaq_f32(acc, x, broadcast(w));
  }
  static F widen(uint16x4_t upper) { return vreinterpretq_f32_u32(vshll_n_u16(upper, 16)); }
  // FMAX and FMIN return NaN when either operand is NaN, so a NaN in the data survives the clamp.
  static F max(F a, F b) { return vmaxq_f32(a, b); }
  static F min(F a, F b) { return vminq_f32(a, b); }

  // Without masked memory access a partial vector is moved lane by lane; it is the last of a row or a channel.
  struct Mask {
    int first, end;
  };
  static Mask mask(int first, int count) { return {first, first + count}; }
  // Lanes outside the mask are not touched in memory; p is the address of lane 0. Loads make them zero.
  static F load_part(const float* p, Mask m) {
    float lanes[kLanes] = {0, 0, 0, 0};
    for (int j = m.first; j < m.end; ++j) lanes[j] = p[j];
    return load(lanes);
  }
  // Whole vectors: behind a row there are zeros.
  static F load(const Bf16* p) { return widen(vld1_u16(&p->upper)); }
  static F load_part(const Bf16* p, Mask) { return load(p); }
  static void store_part(float* p, Mask m, F v) {
    float lanes[kLanes];
    store(lanes, v);
    for (int j = m.first; j < m.end; ++j) p[j] = lanes[j];
  }
  // p[0], p[2], p[4], p[6]; reads 7 floats.
  static F load_even(const float* p) { return vcombine_f32(even(p), even_end(p + 4)); }
  // Lanes from `count` on are zero; reads 2 * count - 1 floats.
  static F load_even_part(const float* p, int count) {
    float lanes[kLanes] = {0, 0, 0, 0};
    for (int j = 0; j < count; ++j) lanes[j] = p[2 * j];
    return load(lanes);
  }
  static float32x2_t even(const float* p) { return vld2_f32(p).val[0]; }
  static float32x2_t even_end(const float* p) { return vset_lane_f32(p[2], vdup_n_f32(p[0]), 1); }
  // Lane j of out[k] is p[at[j] + k].
  static void load_4_each(const float* p, const ptrdiff_t* at, F* out) {
    for (int j = 0; j < 4; ++j) out[j] = load(p + at[j]);
    transpose_4x4(out);
  }
  // p[at[j] + k] is lane j of v[k]. Changes v.
  static void store_4_each(float* p, const ptrdiff_t* at, F* v) {
    transpose_4x4(v);
    for (int j = 0; j < 4; ++j) store(p + at[j], v[j]);
  }
  // The same for two rows of two: p[at[j]], p[at[j] + 1], p[at[j] + pitch], p[at[j] + pitch + 1].
  static void store_2x2_each(float* p, const ptrdiff_t* at, ptrdiff_t pitch, F* v) {
    transpose_4x4(v);
    for (int j = 0; j < 4; ++j) {
      vst1_f32(p + at[j], vget_low_f32(v[j]));
      vst1_f32(p + at[j] + pitch, vget_high_f32(v[j]));
    }
  }
  static void transpose_4x4(F* v) {
    const F a = vtrn1q_f32(v[0], v[1]), b = vtrn2q_f32(v[0], v[1]);
    const F c = vtrn1q_f32(v[2], v[3]), d = vtrn2q_f32(v[2], v[3]);
    v[0] = vcombine_f32(vget_low_f32(a), vget_low_f32(c));
    v[1] = vcombine_f32(vget_low_f32(b), vget_low_f32(d));
    v[2] = vcombine_f32(vget_high_f32(a), vget_high_f32(c));
    v[3] = vcombine_f32(vget_high_f32(b), vget_high_f32(d));
  }
  // Lanes folded half on half: 2 + 2, 1 + 1. The order is part of the contract of the gate; vaddvq_f32 has another.
  static float fold(F v) {
    const float32x2_t s = vadd_f32(vget_low_f32(v), vget_high_f32(v));
    return vget_lane_f32(s, 0) + vget_lane_f32(s, 1);
  }
  static float sum(F v) { return vaddvq_f32(v); }
};

}  // namespace sanp
