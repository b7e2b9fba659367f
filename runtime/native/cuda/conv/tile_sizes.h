// Sizes that planner and kernels must agree on, and the shared memory they add up to.
#pragma once

#include "cuda/base/index_math.h"

namespace sanp {
namespace cuda {

constexpr int kSimtTileM = 64;
constexpr int kSimtTileK = 16;

// Rows that store_rows takes from shared memory per round, and the distance between them in floats: 8 banks apart, so
// that the accumulators of a matrix instruction are written without conflicts.
constexpr int kStoreRows = 16;
SANP_HOST_DEVICE constexpr int store_pitch(int tile_n) { return tile_n + 8; }
SANP_HOST_DEVICE constexpr int store_bytes(int tile_n) { return kStoreRows * store_pitch(tile_n) * 4; }

// Start of a matrix kernel's shared memory: rows of the tile, totals of the warps, list of input channels.
struct ListLayout {
  int32_t totals, inputs, tiles;  // byte offsets; the rows lie at 0
};

SANP_HOST_DEVICE inline ListLayout list_layout(int tile_m, int threads, int group_in) {
  const int32_t totals = tile_m * 4, inputs = totals + 2 * (threads / 32) * 4;
  return ListLayout{totals, inputs, round_up(inputs + group_in * 2, 16)};
}

// Two buffers of each tile, the next step arriving while one is multiplied.
SANP_HOST_DEVICE constexpr int simt_tile_bytes(int tile_n) { return 2 * kSimtTileK * (kSimtTileM + tile_n) * 4; }

// Tensor core tiles: one step is 32 products deep. Rows of shared memory are 16 bytes longer than a multiple of 128 (or
// 80 bytes long), which puts the eight rows of a matrix into different banks.
constexpr int kHalfTileK = 32;
constexpr int kHalfPixelPitch = 2 * kHalfTileK + 16;  // bytes of a pixel with its channels
SANP_HOST_DEVICE constexpr int half_pitch_m(int tile_m) { return 2 * tile_m + 16; }
SANP_HOST_DEVICE constexpr int half_pitch_n(int tile_n) { return 2 * tile_n + 16; }
SANP_HOST_DEVICE constexpr int half_weights_bytes(int tile_m) { return kHalfTileK * half_pitch_m(tile_m); }

// Two buffers of weights and of inputs; the stored rows reuse them.
SANP_HOST_DEVICE constexpr int half_tile_bytes(int tile_m, int tile_n, int input_bytes) {
  const int tiles = 2 * (half_weights_bytes(tile_m) + input_bytes);
  return tiles > store_bytes(tile_n) ? tiles : store_bytes(tile_n);
}

// A halo step brings this many groups of 8 channels per thread, for the next 32 channels.
constexpr int kHaloItems = 2;

// Packed weights: a fragment is what a warp multiplies at once, 16 output by 16 input channels, 16 bytes of a lane.
constexpr int kFragmentBytes = 512;
constexpr int kWindowItems4 = 2, kWindowItems1 = 4;  // loads of 8 channels that a thread has on their way for a window
constexpr int kWindowPitch = 48;                     // 16 channels of a pixel; eight pixels lie in different banks

// One stage of a 1x1 layer: 64 input channels.
constexpr int kPlaneBlocks = 4, kPlaneStages = 3;
SANP_HOST_DEVICE constexpr int planes_stage_bytes(int tile_m, int tile_n) {
  return kPlaneBlocks * (tile_m / 16 * kFragmentBytes + 16 * half_pitch_n(tile_n));
}

// Start of shared memory where weights are packed: rows of the tile with their scales and shifts, input channels.
struct PackedListLayout {
  int32_t scales, shifts, last, inputs, buffers;  // byte offsets; the rows lie at 0
};

SANP_HOST_DEVICE inline PackedListLayout packed_list_layout(int tile_m, int inputs) {
  return PackedListLayout{tile_m * 4, tile_m * 8, tile_m * 12, tile_m * 12 + 16, tile_m * 12 + 16 + inputs * 4};
}

}  // namespace cuda
}  // namespace sanp
