// Compaction of the open channels, done by every block for itself: the lists are a few kilobytes, and reading them
// again from the cache is cheaper than a launch of its own.
#pragma once

#include "cuda/base/platform.h"
#include "cuda/conv/args.h"

namespace sanp {
namespace cuda {

// NaN counts as open.
__device__ __forceinline__ bool is_open(float gate) { return gate != 0.0f; }

// Calls emit(i, open, rank) for i in [0, n), rank being the number of open channels before i, and returns how many are
// open. Every warp owns one run of channels: it counts, the counts meet in `totals` [kWarps], and it counts again with
// its base known. The order never depends on timing.
template <int kWarps, class Open, class Emit>
__device__ __forceinline__ int rank_channels(int n, int* totals, Open open, Emit emit) {
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  const Range run = part_of(n, 32, kWarps, warp);
  int mine = 0;
  for (int i = run.begin; i < run.end; i += 32) mine += count_bits(ballot(i + lane < run.end && open(i + lane)));
  if (lane == 0) totals[warp] = mine;
  __syncthreads();
  int rank = 0, all = 0;
  for (int w = 0; w < kWarps; ++w) {
    if (w < warp) rank += totals[w];
    all += totals[w];
  }
  const unsigned below = (1u << lane) - 1u;
  for (int i = run.begin; i < run.end; i += 32) {
    const bool inside = i + lane < run.end, flag = inside && open(i + lane);
    const unsigned flags = ballot(flag);
    if (inside) emit(i + lane, flag, rank + count_bits(flags & below), all);
    rank += count_bits(flags);
  }
  return all;
}

// rows[r]: the output channel at rank first_rank + r of the order "open channels, then masked ones", or -1 past the
// group. Returns how many of the rows are open. Ends without a barrier.
template <int kWarps>
__device__ __forceinline__ int select_rows(const ConvArgs& a, const BlockTile& b, int tile_m, int* rows, int* totals) {
  const float* const scale = a.scale + static_cast<int64_t>(b.sample) * a.scale_step + b.first_out;
  for (int r = threadIdx.x; r < tile_m; r += 32 * kWarps)
    if (b.first_rank + r >= a.group_out) rows[r] = -1;
  const int open = rank_channels<kWarps>(
      a.group_out, totals, [&](int i) { return is_open(scale[i]); },
      [&](int i, bool flag, int rank, int all) {
        const int r = (flag ? rank : all + i - rank) - b.first_rank;
        if (r >= 0 && r < tile_m) rows[r] = b.first_out + i;
      });
  const int here = open - b.first_rank;
  return here < 0 ? 0 : here < tile_m ? here : tile_m;
}

// inputs[r]: the open input channels of the group, counted from its first. Ends without a barrier.
template <int kWarps>
__device__ __forceinline__ int select_inputs(const ConvArgs& a, const BlockTile& b, uint16_t* inputs, int* totals) {
  const float* const active = a.in_active + static_cast<int64_t>(b.sample) * a.active_step + b.first_in;
  return rank_channels<kWarps>(
      a.group_in, totals, [&](int i) { return is_open(active[i]); },
      [&](int i, bool flag, int rank, int) {
        if (flag && rank < a.group_in) inputs[rank] = static_cast<uint16_t>(i);
      });
}

}  // namespace cuda
}  // namespace sanp
