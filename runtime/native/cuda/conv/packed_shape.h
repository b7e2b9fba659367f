// What the algorithms with packed weights need for a shape: the window of a tile and the places in the workspace.
#pragma once

#include <stddef.h>

#include "cuda/conv/plan.h"

namespace sanp {
namespace cuda {

// The input of a tile in shared memory: rows of the map one after another, `gap` zero pixels between two rows. A tap
// that hangs over the left or right edge meets the gap, so that every tap is a constant shift.
struct PackedWindow {
  int64_t gap, pixels;  // pixels of the largest tile's window, gaps included
  bool runs_forward;    // the first pixel of a tile reads first and its last pixel last
};
PackedWindow packed_window(const SanpCudaConv& c, int tile_n);

// Byte offsets in the workspace. `lists` samples have channel lists of their own: 1 where all share their gates.
struct PackedWorkspace {
  int32_t lists, row_blocks, k_blocks;  // blocks of 16 output and 16 input channels
  int64_t opens, rows, inputs, arrivals, weights, partial, bytes;
};
PackedWorkspace packed_workspace(const SanpCudaConv& c, const SanpCudaPlan& p);

// The largest workspace of packed weights that a plan may ask for.
constexpr int64_t kMostPackedBytes = int64_t{256} << 20;

// False if the shape has groups, or numbers that the kernels do not hold.
bool suits_packed(const KernelSizes& k, const SanpCudaConv& c);
int64_t packed_shared_bytes(const KernelSizes& k, const SanpCudaConv& c);

}  // namespace cuda
}  // namespace sanp
