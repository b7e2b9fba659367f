// How every matrix kernel begins: the place of the block, its lists, and an early end where nothing is open.
#pragma once

#include "cuda/conv/output_row.h"
#include "cuda/conv/tile_lists.h"

namespace sanp {
namespace cuda {

// False if no row of the tile is open; the masked rows are then filled and the block is done.
template <class T, int kTileM, int kTileN, int kWarps>
__device__ __forceinline__ bool start_block(const ConvArgs& a, BlockTile* b, TileLists* lists) {
  *b = block_tile(a, kTileM, kTileN, blockIdx.x, blockIdx.y, blockIdx.z);
  *lists = tile_lists<kTileM, kWarps>(a, *b);
  if (lists->open == 0) {
    store_rows<T, kTileN, kWarps>(a, *b, lists->rows, kTileM, 0, nullptr, 0);
    return false;
  }
  return true;
}

}  // namespace cuda
}  // namespace sanp
