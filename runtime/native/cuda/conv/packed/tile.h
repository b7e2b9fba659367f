// What a block of an algorithm with packed weights reads before it multiplies: its place, its rows with scale and
// shift, and its input channels, as the first launch listed them.
#pragma once

#include "cuda/base/async_copy.h"
#include "cuda/conv/tile_lists.h"

namespace sanp {
namespace cuda {

struct PackedTile {
  BlockTile place;
  int open;        // rows of the tile that are computed
  int n_inputs;    // open input channels of the sample
  Range k_blocks;  // of the slice; empty where nothing is computed
  const int* rows;
  const float *scales, *shifts;
  int* last;          // one number for the block
  const int* inputs;  // where the planes of the open channels begin in the sample
  unsigned char* buffers;
};

// Ends with a barrier.
template <int kTileM, int kTileN, int kThreads>
__device__ __forceinline__ PackedTile packed_tile(const PackedConvArgs& a) {
  const PackedArgs& p = a.packed;
  unsigned char* const shared = shared_memory();
  const PackedListLayout layout = packed_list_layout(kTileM, p.k_blocks * 16);
  PackedTile t;
  t.place = block_tile(a, kTileM, kTileN, blockIdx.x, blockIdx.y, blockIdx.z);
  int* const rows = reinterpret_cast<int*>(shared);
  float* const scales = reinterpret_cast<float*>(shared + layout.scales);
  float* const shifts = reinterpret_cast<float*>(shared + layout.shifts);
  int* const inputs = reinterpret_cast<int*>(shared + layout.inputs);
  const int64_t sample = t.place.sample, list = sample * p.list_step;
  const int first_block = t.place.first_rank / 16;
  const int* const opens = p.opens + list * (p.row_blocks + 1);
  t.open = 0;
#pragma unroll
  for (int i = 0; i < kTileM / 16; ++i)
    if (first_block + i < p.row_blocks) t.open += opens[first_block + i];
  t.n_inputs = opens[p.row_blocks];
  for (int r = threadIdx.x; r < kTileM; r += kThreads) {
    const int rank = t.place.first_rank + r;
    const int channel = rank < p.row_blocks * 16 ? p.rows[list * p.row_blocks * 16 + rank] : -1;
    rows[r] = channel;
    scales[r] = load_if(channel >= 0, a.scale + sample * a.scale_step + channel);
    shifts[r] = load_if(channel >= 0, a.shift + sample * a.shift_step + channel);
  }
  t.k_blocks = t.open > 0 ? part_of(ceil_div(t.n_inputs, 16), 1, a.split_k, t.place.slice) : Range{0, 0};
  if (t.open > 0)
    for (int i = threadIdx.x; i < t.n_inputs; i += kThreads) inputs[i] = p.inputs[list * p.k_blocks * 16 + i];
  t.rows = rows;
  t.scales = scales;
  t.shifts = shifts;
  t.last = reinterpret_cast<int*>(shared + layout.last);
  t.inputs = inputs;
  t.buffers = shared + layout.buffers;
  __syncthreads();
  return t;
}

// Starts the copy of the fragments of `blocks` k blocks from `k_block` on, for the open rows, to [k block and tap][row
// block of the tile].
template <int kTileM, int kThreads>
__device__ __forceinline__ void copy_weights(const PackedConvArgs& a, const PackedTile& t, int k_block, int blocks,
                                             unsigned char* to) {
  const PackedArgs& p = a.packed;
  constexpr int kRowBlocks = kTileM / 16;
  const int octets = blocks * a.taps * 32;
  const int64_t list = static_cast<int64_t>(t.place.sample) * p.list_step * p.row_blocks + t.place.first_rank / 16;
  const unsigned char* from = p.weights + (list * p.k_blocks + k_block) * a.taps * kFragmentBytes;
#pragma unroll
  for (int r = 0; r < kRowBlocks; ++r) {
    if (r * 16 >= t.open) break;
    for (int i = threadIdx.x; i < octets; i += kThreads)
      copy_later<16>(to + (i / 32 * kRowBlocks + r) * kFragmentBytes + i % 32 * 16, from + i * 16, true);
    from += static_cast<int64_t>(p.k_blocks) * a.taps * kFragmentBytes;
  }
}

}  // namespace cuda
}  // namespace sanp
