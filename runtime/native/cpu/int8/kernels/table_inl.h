// Fills Int8Kernels from a SIMD wrapper. Included by one file per instruction set, compiled with its flags.
//
// Those files must not use inline functions or templates of the standard library: the linker keeps one copy of each,
// and it could keep the one compiled for AVX-512. Everything here carries the wrapper as a template parameter instead.
#pragma once

#include "cpu/int8/kernels/pack_inl.h"
#include "cpu/int8/kernels/pool_inl.h"
#include "cpu/int8/kernels/product_inl.h"
#include "cpu/int8/kernels/table.h"

namespace sanp {

template <class V, int MR, int NR>
constexpr void add_int8_tile(Int8Kernels& k) {
  k.tile[NR][MR] = int8_tile<V, MR, NR>;
  if (k.max_nr < NR) k.max_nr = NR;
  if (k.max_mr[NR] < MR) k.max_mr[NR] = MR;
}

template <class V, int MR, int PR>
constexpr void add_int8_dot(Int8Kernels& k) {
  k.dot[PR][MR] = int8_dot<V, MR, PR>;
  if (k.dot_pixels < PR) k.dot_pixels = PR;
  if (k.dot_rows < MR) k.dot_rows = MR;
}

template <class V>
constexpr Int8Kernels common_int8_kernels(const char* name) {
  Int8Kernels k{};
  k.name = name;
  k.lanes = V::kLanes;
  k.flip = V::kFlip;
  k.compress_cost = 6;
  k.finish_sums = int8_finish_sums<V>;
  k.finish_closed = int8_finish_closed<V>;
  k.pack_quad = int8_pack_quad<V>;
  k.pack_inputs = int8_pack_inputs<V>;
  k.compress = int8_compress<V>;
  k.max_pool = int8_max_pool<V>;
  k.sum_weights = V::sum_weights;
  k.channel_sums = V::channel_sums;
  return k;
}

}  // namespace sanp
