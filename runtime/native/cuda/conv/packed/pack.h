// First launch of the algorithms with packed weights: the channel lists of a sample, and the weights between its open
// channels in the order in which the lanes of a warp multiply them. So the weights are gathered once for a sample, and
// not once for every tile of pixels.
#pragma once

#include "cuda/conv/tile_lists.h"

namespace sanp {
namespace cuda {

constexpr int kPackWarps = 8, kPackThreads = 32 * kPackWarps;
constexpr int kPackFragments = 4;  // of a warp, where everything is open

// Block (part, row block, list).
__device__ __forceinline__ void write_lists(const PackedConvArgs& a, const TileLists& lists, int row_block, int list) {
  const PackedArgs& p = a.packed;
  int* const opens = p.opens + static_cast<int64_t>(list) * (p.row_blocks + 1);
  if (threadIdx.x < 16)
    p.rows[(static_cast<int64_t>(list) * p.row_blocks + row_block) * 16 + threadIdx.x] = lists.rows[threadIdx.x];
  if (threadIdx.x == 0) opens[row_block] = lists.open;
  if (row_block != 0) return;
  // Without open rows nobody asks for inputs.
  if (threadIdx.x == 0) opens[p.row_blocks] = lists.n_inputs;
  int* const inputs = p.inputs + static_cast<int64_t>(list) * p.k_blocks * 16;
  for (int i = threadIdx.x; i < lists.n_inputs; i += kPackThreads) inputs[i] = lists.inputs[i] * a.height * a.width;
}

// The 8 halves of this lane in a fragment; see warp_matrix.h. Rows and inputs past the open ones are zero.
__device__ __forceinline__ void gather_fragment(const PackedConvArgs& a, const TileLists& lists, int k_block, int tap,
                                                Half (&to)[8]) {
  const Half* const w = static_cast<const Half*>(a.w) + tap * a.w_tap;
  const int group = threadIdx.x % 32 / 4, pair = threadIdx.x % 4;
#pragma unroll
  for (int i = 0; i < 8; ++i) {
    const int row = group + i / 2 % 2 * 8, k = 16 * k_block + 2 * pair + i % 2 + i / 4 * 8;
    const bool wanted = row < lists.open && k < lists.n_inputs;
    const int at = wanted ? lists.rows[row] * a.w_out + lists.inputs[k] * a.w_in : 0;
    to[i] = load_if(wanted, w + at);
  }
}

__global__ void __launch_bounds__(kPackThreads) pack_weights(const PackedConvArgs a) {
  const PackedArgs& p = a.packed;
  const int row_block = blockIdx.y, list = blockIdx.z;
  const BlockTile b{list, 0, 0, 0, row_block * 16, 0, 0};
  const TileLists lists = tile_lists<16, kPackWarps>(a, b);
  if (blockIdx.x == 0) write_lists(a, lists, row_block, list);
  if (a.split_k > 1) {
    const int tiles = p.tiles_x * a.m_tiles * a.batch;
    const int block = (list * gridDim.y + row_block) * gridDim.x + blockIdx.x;
    const int blocks = gridDim.x * gridDim.y * gridDim.z;
    for (int i = block * kPackThreads + threadIdx.x; i < tiles; i += blocks * kPackThreads) p.arrivals[i] = 0;
  }
  const int fragments = ceil_div(lists.n_inputs, 16) * a.taps;
  unsigned char* const to =
      p.weights + (static_cast<int64_t>(list) * p.row_blocks + row_block) * p.k_blocks * a.taps * kFragmentBytes;
  const int step = gridDim.x * kPackWarps;
  for (int first = blockIdx.x * kPackWarps + threadIdx.x / 32; first < fragments; first += 2 * step) {
    Half halves[2][8];
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const int fragment = first + i * step < fragments ? first + i * step : first;
      const int k_block = a.by_taps.quotient(fragment);
      gather_fragment(a, lists, k_block, a.by_taps.remainder(fragment, k_block), halves[i]);
    }
#pragma unroll
    for (int i = 0; i < 2; ++i)
      if (first + i * step < fragments)
        store_octet(to + static_cast<int64_t>(first + i * step) * kFragmentBytes + threadIdx.x % 32 * 16, halves[i]);
  }
}

}  // namespace cuda
}  // namespace sanp
