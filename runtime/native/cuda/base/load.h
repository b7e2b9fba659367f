// Loads that may be left out, without a branch. Of `wanted ? *from : 0` the compiler makes a branch, and behind each of
// them it waits for what was loaded: sixteen loads then take sixteen latencies. These stay in flight together.
#pragma once

#include "cuda/base/element.h"

namespace sanp {
namespace cuda {

// load_if(wanted, from): *from, or zero without touching memory. pack(low, high): two halves in a register;
// low_halves(a, b), high_halves(a, b): the low or high halves of two registers in one. The compiler leaves these three
// where they stand, so that loads are not waited for before what is multiplied meanwhile.
#ifndef SANP_CUDA_EMULATED

__device__ __forceinline__ float load_if(bool wanted, const float* from) {
  float value;
  asm volatile("{\n.reg .pred p;\nsetp.ne.s32 p, %2, 0;\nmov.f32 %0, 0f00000000;\n@p ld.global.f32 %0, [%1];\n}"
               : "=f"(value)
               : "l"(__cvta_generic_to_global(from)), "r"(static_cast<int>(wanted)));
  return value;
}

__device__ __forceinline__ Half load_if(bool wanted, const Half* from) {
  Half value;
  asm volatile("{\n.reg .pred p;\nsetp.ne.s32 p, %2, 0;\nmov.b16 %0, 0;\n@p ld.global.b16 %0, [%1];\n}"
               : "=h"(value.bits)
               : "l"(__cvta_generic_to_global(from)), "r"(static_cast<int>(wanted)));
  return value;
}

__device__ __forceinline__ uint2 load_if(bool wanted, const uint2* from) {
  uint2 value;
  asm volatile(
      "{\n.reg .pred p;\nsetp.ne.s32 p, %3, 0;\nmov.b32 %0, 0;\nmov.b32 %1, 0;\n@p ld.global.v2.b32 {%0, %1}, [%2];\n}"
      : "=r"(value.x), "=r"(value.y)
      : "l"(__cvta_generic_to_global(from)), "r"(static_cast<int>(wanted)));
  return value;
}

__device__ __forceinline__ uint4 load_if(bool wanted, const uint4* from) {
  uint4 value;
  asm volatile(
      "{\n.reg .pred p;\nsetp.ne.s32 p, %5, 0;\nmov.b32 %0, 0;\nmov.b32 %1, 0;\nmov.b32 %2, 0;\nmov.b32 %3, 0;\n"
      "@p ld.global.v4.b32 {%0, %1, %2, %3}, [%4];\n}"
      : "=r"(value.x), "=r"(value.y), "=r"(value.z), "=r"(value.w)
      : "l"(__cvta_generic_to_global(from)), "r"(static_cast<int>(wanted)));
  return value;
}

__device__ __forceinline__ unsigned load_if(bool wanted, const unsigned* from) {
  unsigned value;
  asm volatile("{\n.reg .pred p;\nsetp.ne.s32 p, %2, 0;\nmov.b32 %0, 0;\n@p ld.global.b32 %0, [%1];\n}"
               : "=r"(value)
               : "l"(__cvta_generic_to_global(from)), "r"(static_cast<int>(wanted)));
  return value;
}

// Past the first level of cache, which does not see what other multiprocessors write.
__device__ __forceinline__ float4 load_from_others(const float4* from) {
  float4 v;
  asm volatile("ld.global.cg.v4.f32 {%0, %1, %2, %3}, [%4];"
               : "=f"(v.x), "=f"(v.y), "=f"(v.z), "=f"(v.w)
               : "l"(__cvta_generic_to_global(from))
               : "memory");
  return v;
}

__device__ __forceinline__ unsigned low_halves(unsigned a, unsigned b) {
  unsigned joined;
  asm volatile("prmt.b32 %0, %1, %2, 0x5410;" : "=r"(joined) : "r"(a), "r"(b));
  return joined;
}

__device__ __forceinline__ unsigned high_halves(unsigned a, unsigned b) {
  unsigned joined;
  asm volatile("prmt.b32 %0, %1, %2, 0x7632;" : "=r"(joined) : "r"(a), "r"(b));
  return joined;
}

__device__ __forceinline__ unsigned pack(Half low, Half high) {
  unsigned packed;
  asm volatile("mov.b32 %0, {%1, %2};" : "=r"(packed) : "h"(low.bits), "h"(high.bits));
  return packed;
}

#else

template <class T>
T load_if(bool wanted, const T* from) {
  return wanted ? *from : T{};
}

inline unsigned pack(Half low, Half high) { return low.bits | static_cast<unsigned>(high.bits) << 16; }
inline unsigned low_halves(unsigned a, unsigned b) { return (a & 0xffffu) | b << 16; }
inline unsigned high_halves(unsigned a, unsigned b) { return a >> 16 | (b & 0xffff0000u); }
inline float4 load_from_others(const float4* from) { return *from; }

#endif

// Eight halves in one store; `to` is 16-byte aligned.
__device__ __forceinline__ void store_octet(unsigned char* to, const Half (&v)[8]) {
  uint4 packed;
  packed.x = pack(v[0], v[1]);
  packed.y = pack(v[2], v[3]);
  packed.z = pack(v[4], v[5]);
  packed.w = pack(v[6], v[7]);
  *reinterpret_cast<uint4*>(to) = packed;
}

}  // namespace cuda
}  // namespace sanp
