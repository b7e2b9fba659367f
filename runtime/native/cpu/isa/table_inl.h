// Fills an IsaKernels from a SIMD wrapper. Included by one file per instruction set, compiled with its flags.
//
// Those files must not use inline functions or templates of the standard library: the linker keeps one copy of each,
// and it could keep the one compiled for AVX-512. Everything here carries the wrapper as a template parameter instead.
#pragma once

#include "cpu/isa/table.h"
#include "cpu/microkernels/block_inl.h"
#include "cpu/microkernels/channels_inl.h"
#include "cpu/microkernels/depthwise_in_place_inl.h"
#include "cpu/microkernels/depthwise_inl.h"
#include "cpu/microkernels/depthwise_strided_inl.h"
#include "cpu/microkernels/dot_inl.h"
#include "cpu/microkernels/gate_inl.h"
#include "cpu/microkernels/listed_dot_inl.h"
#include "cpu/microkernels/pack_inl.h"
#include "cpu/microkernels/pixel_pairs_inl.h"
#include "cpu/microkernels/tile_inl.h"
#include "cpu/microkernels/winograd_inl.h"

namespace sanp {

template <class V, class T, int MR, int NR>
constexpr void add_tile_of(IsaKernels& k, WeightKind kind) {
  k.tile[kind][kTaps1][NR][MR] = tile<V, T, MR, NR, 1>;
  k.tile[kind][kTaps9][NR][MR] = tile<V, T, MR, NR, 9>;
  k.tile[kind][kTapsAny][NR][MR] = tile<V, T, MR, NR, 0>;
}

template <class V, int MR, int NR>
constexpr void add_tile(IsaKernels& k) {
  add_tile_of<V, float, MR, NR>(k, kFloatWeights);
  if constexpr (NR * V::kLanes <= kBf16MaxPixels) add_tile_of<V, Bf16, MR, NR>(k, kBf16Weights);
  k.points[NR][MR] = multiply_points<V, MR, NR>;
  if (k.max_mr[NR] < MR) k.max_mr[NR] = MR;
}

template <class V, int P>
constexpr void add_dot(IsaKernels& k) {
  // rows * P accumulators + P pixels + 1 weight
  constexpr int rows = V::kRegisters == 32 || P <= 2 ? kDotMaxRows : 2;
  k.dot_rows[P] = rows;
  k.dot[kFloatWeights][1][P] = dot_rows<V, float, 1, P>;
  k.dot[kFloatWeights][rows][P] = dot_rows<V, float, rows, P>;
  k.dot[kBf16Weights][1][P] = dot_rows<V, Bf16, 1, P>;
  k.dot[kBf16Weights][rows][P] = dot_rows<V, Bf16, rows, P>;
}

template <class V, int MR>
constexpr void add_pairs(IsaKernels& k) {
  k.pairs[kFloatWeights][MR] = multiply_pairs<V, float, MR>;
  k.pairs[kBf16Weights][MR] = multiply_pairs<V, Bf16, MR>;
  k.pairs_fit = pairs_fit<V>;
  if (k.pairs_max_rows < MR) k.pairs_max_rows = MR;
}

// Kernels of P and of fewer pixels. A pixel is a broadcast, and two vectors share it where that is an instruction of
// its own; with a broadcast inside the multiply-add one vector has more pixels, and stores more of a row at once.
template <class V, int P = kMostChannelPixels>
constexpr void add_channels(IsaKernels& k) {
  constexpr int vecs = V::kLanes == 16 ? 1 : 2;
  if constexpr (vecs * P + vecs + 1 <= V::kRegisters) {
    k.channels[1][P] = channels_tile<V, P, 1>;
    if constexpr (vecs == 2) k.channels[2][P] = channels_tile<V, P, 2>;
    if (k.channel_pixels < P) k.channel_pixels = P;
  }
  k.channel_vecs = vecs;
  if constexpr (P > kLeastChannelPixels) add_channels<V, P - 1>(k);
}

// Kernels of a fused block for P and for fewer pixels, as many as fit the registers.
template <class V, int P = kMostChannelPixels>
constexpr void add_block(IsaKernels& k) {
  constexpr int expand_vecs = kPackLanes / V::kLanes;
  if constexpr (expand_vecs * P + expand_vecs + 1 <= V::kRegisters) {
    k.block.expand[P] = expand_tile<V, P>;
    if (k.block.expand_pixels < P) k.block.expand_pixels = P;
  }
  if constexpr (P + 2 <= V::kRegisters) {
    k.block.project[1][P] = channels_tile<V, P, 1, kPackLanes>;
    if (k.block.project_pixels[1] < P) k.block.project_pixels[1] = P;
  }
  if constexpr (2 * P + 3 <= V::kRegisters) {
    k.block.project[2][P] = channels_tile<V, P, 2, kPackLanes>;
    if (k.block.project_pixels[2] < P) k.block.project_pixels[2] = P;
  }
  if constexpr (P > 1) add_block<V, P - 1>(k);
}

template <class V>
constexpr void add_depthwise_in_place(IsaKernels& k) {
  k.depthwise_in_place[1] = depthwise_in_place<V, 1>;
  k.depthwise_in_place[2] = depthwise_in_place<V, 2>;
}

template <class V>
constexpr IsaKernels common_kernels(const char* name, int max_nr) {
  IsaKernels k{};
  k.name = name;
  k.lanes = V::kLanes;
  k.max_nr = k.max_nr9 = max_nr;
  k.strided_rows = 1.0;
  add_dot<V, 1>(k);
  add_dot<V, 2>(k);
  add_dot<V, 3>(k);
  add_dot<V, 4>(k);
  k.listed_dot[1] = listed_dot<V, 1>;
  k.listed_dot[2] = listed_dot<V, 2>;
  k.listed_dot[3] = listed_dot<V, 3>;
  k.listed_dot[4] = listed_dot<V, 4>;
  k.winograd_nr = max_nr;
  k.winograd_input[0] = winograd_input<V, 2>;
  k.winograd_input[1] = winograd_input<V, 4>;
  k.winograd_output[0] = winograd_output<V, 2>;
  k.winograd_output[1] = winograd_output<V, 4>;
  add_channels<V>(k);
  add_block<V>(k);
  k.block.depthwise = depthwise_block<V>;
  k.block.turn_rows = turn_rows<V>;
  k.depthwise = depthwise<V>;
  k.pack_plane = pack_plane<V>;
  k.pack_strip = pack_strip<V>;
  k.channel_means = channel_means<V>;
  k.dense_relu = dense_relu<V>;
  return k;
}

}  // namespace sanp
