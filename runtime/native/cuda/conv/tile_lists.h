// What a block of a matrix kernel knows before it multiplies: its place, its rows, its input channels.
#pragma once

#include "cuda/conv/channel_lists.h"
#include "cuda/conv/tile_sizes.h"

namespace sanp {
namespace cuda {

struct TileLists {
  int* rows;
  uint16_t* inputs;
  unsigned char* tiles;
  int open;      // rows[0, open) are computed, the others filled
  int n_inputs;  // 0 where nothing is computed
};

template <int kTileM, int kWarps>
__device__ __forceinline__ TileLists tile_lists(const ConvArgs& a, const BlockTile& b) {
  unsigned char* const shared = shared_memory();
  const ListLayout layout = list_layout(kTileM, 32 * kWarps, a.group_in);
  int* const totals = reinterpret_cast<int*>(shared + layout.totals);
  TileLists lists;
  lists.rows = reinterpret_cast<int*>(shared);
  lists.inputs = reinterpret_cast<uint16_t*>(shared + layout.inputs);
  lists.tiles = shared + layout.tiles;
  const Gates scale{a.scale + static_cast<int64_t>(b.sample) * a.scale_step + b.first_out, a.group_out};
  const Gates active{a.in_active + static_cast<int64_t>(b.sample) * a.active_step + b.first_in, a.group_in};
  count_open<kWarps>(scale, active, totals);
  lists.open = select_rows<kWarps>(a, b, scale, kTileM, lists.rows, totals);
  lists.n_inputs = lists.open > 0 ? select_inputs<kWarps>(active, lists.inputs, totals + kWarps) : 0;
  __syncthreads();
  return lists;
}

}  // namespace cuda
}  // namespace sanp
