// Window, workspace and limits of the algorithms with packed weights.
#include "cuda/conv/packed_shape.h"

#include <algorithm>

#include "cuda/conv/tile_sizes.h"

namespace sanp {
namespace cuda {
namespace {

constexpr int kMostWindowPixels = 1 << 13;

int64_t whole(int64_t bytes) { return (bytes + 255) / 256 * 256; }

int64_t weights_bytes(const SanpCudaConv& c) {
  return int64_t{ceil_div(c.c_out, 16)} * ceil_div(c.c_in, 16) * taps(c) * kFragmentBytes;
}

int32_t lists_of(const SanpCudaConv& c) { return c.scale_rows == 1 && c.active_rows == 1 ? 1 : c.batch; }

}  // namespace

PackedWindow packed_window(const SanpCudaConv& c, int tile_n) {
  const int64_t right = int64_t{c.out_width - 1} * c.stride_w - c.pad_left + (c.kernel_w - 1) * int64_t{c.dilation_w};
  PackedWindow w;
  w.gap = std::max<int64_t>({0, c.pad_left, right - (c.width - 1)});
  const int64_t row = c.width + w.gap, next_row = row * c.stride_h - int64_t{c.out_width} * c.stride_w;
  // A run of tile_n pixels that starts at the worst column of a row.
  const int64_t rows = std::min<int64_t>(c.out_height - 1, (int64_t{c.out_width} - 1 + tile_n - 1) / c.out_width);
  const int64_t run = std::min<int64_t>(tile_n, pixels(c)) - 1;
  w.runs_forward = next_row >= 0;
  w.pixels = run * c.stride_w + rows * next_row + (c.kernel_h - 1) * c.dilation_h * row +
             (c.kernel_w - 1) * int64_t{c.dilation_w} + 1;
  return w;
}

PackedWorkspace packed_workspace(const SanpCudaConv& c, const SanpCudaPlan& p) {
  PackedWorkspace w;
  w.lists = lists_of(c);
  w.row_blocks = ceil_div(c.c_out, 16);
  w.k_blocks = ceil_div(c.c_in, 16);
  const int64_t tiles = p.split_k > 1 ? int64_t{p.grid[0]} * p.grid[1] * c.batch : 0;
  w.opens = 0;
  w.rows = whole(w.opens + int64_t{w.lists} * (w.row_blocks + 1) * 4);
  w.inputs = whole(w.rows + int64_t{w.lists} * w.row_blocks * 16 * 4);
  w.arrivals = whole(w.inputs + int64_t{w.lists} * w.k_blocks * 16 * 4);
  w.weights = whole(w.arrivals + tiles * 4);
  w.partial = whole(w.weights + w.lists * weights_bytes(c));
  w.bytes = whole(w.partial + tiles * p.split_k * p.tile_m * p.tile_n * 4);
  return w;
}

bool suits_packed(const KernelSizes& k, const SanpCudaConv& c) {
  // Indices within a sample are 32-bit, and so are those of the packed weights of one.
  if (c.group != 1 || int64_t{c.c_in} * c.height * c.width >= (int64_t{1} << 31)) return false;
  if (std::max(c.batch, 1) * weights_bytes(c) > kMostPackedBytes) return false;
  if (k.algorithm == kPlanes8 || k.algorithm == kPlanes4) return true;
  for (int32_t size :
       {c.kernel_h, c.kernel_w, c.stride_h, c.stride_w, c.dilation_h, c.dilation_w, c.pad_top, c.pad_left})
    if (size > kMostWindowPixels) return false;
  if (taps(c) == 1 || c.width > kMostWindowPixels || c.out_width > kMostWindowPixels) return false;
  const PackedWindow w = packed_window(c, k.tile_n);
  if (!w.runs_forward || w.gap > kMostWindowPixels || w.pixels > kMostWindowPixels) return false;
  if (int64_t{c.height + 2} * (c.width + w.gap) >= (int64_t{1} << 30)) return false;
  const bool by_four = k.algorithm == kPacked4;
  return 2 * (w.pixels / (by_four ? 4 : 1) + 2) <= (by_four ? kWindowItems4 : kWindowItems1) * k.threads;
}

int64_t packed_shared_bytes(const KernelSizes& k, const SanpCudaConv& c) {
  const int64_t lists = packed_list_layout(k.tile_m, round_up(c.c_in, 16)).buffers, fragments = k.tile_m / 16;
  if (k.algorithm == kPlanes8 || k.algorithm == kPlanes4)
    return lists + kPlaneStages * planes_stage_bytes(k.tile_m, k.tile_n);
  return lists + 2 * (fragments * taps(c) * kFragmentBytes + packed_window(c, k.tile_n).pixels * kWindowPitch);
}

}  // namespace cuda
}  // namespace sanp
