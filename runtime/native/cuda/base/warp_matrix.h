// Matrix instructions of a warp: fragments from shared memory, and a product of 16 x 16 and 16 x 8 halves.
//
// Fragments follow the PTX ISA (m16n8k16, row.col). With g = lane / 4 and t = lane % 4 a lane holds of the 16 x 8
// result the elements (g, 2t), (g, 2t + 1), (g + 8, 2t), (g + 8, 2t + 1).
#pragma once

#include "cuda/base/platform.h"

namespace sanp {
namespace cuda {

// Four 8 x 8 matrices of halves, one register each.
struct Matrices {
  unsigned part[4];
};

#ifndef SANP_CUDA_EMULATED

// Kernels of the tensor cores are planned for sm_80 and up only. For older architectures they are compiled empty.
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800
#define SANP_CUDA_HAS_M16N8K16 1
constexpr bool kHasMatrixProduct = true;
#else
constexpr bool kHasMatrixProduct = false;
#endif

// Lane l passes the address of row l % 8 of matrix l / 8: 8 halves at a 16-byte boundary. Lane l receives elements
// 2 (l % 4) and 2 (l % 4) + 1 of row l / 4.
__device__ __forceinline__ Matrices load_matrices(const void* row) {
  Matrices m{};
#ifdef SANP_CUDA_HAS_M16N8K16
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(m.part[0]), "=r"(m.part[1]), "=r"(m.part[2]), "=r"(m.part[3])
               : "r"(static_cast<unsigned>(__cvta_generic_to_shared(row)))
               : "memory");
#endif
  return m;
}

// The same of the transposed matrices: elements (2 (l % 4), l / 4) and (2 (l % 4) + 1, l / 4).
__device__ __forceinline__ Matrices load_transposed(const void* row) {
  Matrices m{};
#ifdef SANP_CUDA_HAS_M16N8K16
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(m.part[0]), "=r"(m.part[1]), "=r"(m.part[2]), "=r"(m.part[3])
               : "r"(static_cast<unsigned>(__cvta_generic_to_shared(row)))
               : "memory");
#endif
  return m;
}

// sums += a b, accumulated in float32.
__device__ __forceinline__ void multiply_add(float (&sums)[4], const Matrices& a, unsigned b0, unsigned b1) {
#ifdef SANP_CUDA_HAS_M16N8K16
  asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
      "{%0, %1, %2, %3};"
      : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
      : "r"(a.part[0]), "r"(a.part[1]), "r"(a.part[2]), "r"(a.part[3]), "r"(b0), "r"(b1));
#endif
}

#else

constexpr bool kHasMatrixProduct = true;

Matrices load_matrices(const void* row);
Matrices load_transposed(const void* row);
void multiply_add(float (&sums)[4], const Matrices& a, unsigned b0, unsigned b1);

#endif

}  // namespace cuda
}  // namespace sanp
