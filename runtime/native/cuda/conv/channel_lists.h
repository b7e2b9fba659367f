// Compaction of the open channels, done by every block for itself: the lists are a few kilobytes, and reading them
// again from the cache is cheaper than a launch of its own.
#pragma once

#include "cuda/base/load.h"
#include "cuda/conv/args.h"

namespace sanp {
namespace cuda {

// NaN counts as open.
__device__ __forceinline__ bool is_open(float gate) { return gate != 0.0f; }

// Gates of a group. Every warp owns one run of channels.
struct Gates {
  const float* values;
  int n;
};

// The first pass over two vectors of gates: each warp counts the open channels of its runs, two chunks of each vector
// in flight at once. The counts meet in `totals` [2][kWarps]; ends with a barrier.
template <int kWarps>
__device__ __forceinline__ void count_open(const Gates& first, const Gates& second, int* totals) {
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  const Range a = part_of(first.n, 32, kWarps, warp), b = part_of(second.n, 32, kWarps, warp);
  const auto chunk = [lane](const Gates& gates, const Range& run, int from) {
    const int i = run.begin + from + lane;
    return load_if(i < run.end, gates.values + i);
  };
  const int most = a.end - a.begin > b.end - b.begin ? a.end - a.begin : b.end - b.begin;
  int mine[2] = {0, 0};
  for (int i = 0; i < most; i += 64) {
    const float v[4] = {chunk(first, a, i), chunk(first, a, i + 32), chunk(second, b, i), chunk(second, b, i + 32)};
#pragma unroll
    for (int j = 0; j < 4; ++j) mine[j / 2] += count_bits(ballot(is_open(v[j])));
  }
  if (lane < 2) totals[lane * kWarps + warp] = lane == 0 ? mine[0] : mine[1];
  __syncthreads();
}

// The second pass: calls emit(i, open, rank, all) for i in [0, n), rank being the number of open channels before i, and
// returns how many are open. totals: what `count_open` found, [kWarps]. The order never depends on timing.
template <int kWarps, class Emit>
__device__ __forceinline__ int rank_channels(const Gates& gates, const int* totals, Emit emit) {
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  const Range run = part_of(gates.n, 32, kWarps, warp);
  int rank = 0, all = 0;
  for (int w = 0; w < kWarps; ++w) {
    if (w < warp) rank += totals[w];
    all += totals[w];
  }
  const unsigned below = (1u << lane) - 1u;
  for (int i = run.begin; i < run.end; i += 32) {
    const bool inside = i + lane < run.end, flag = is_open(load_if(inside, gates.values + i + lane));
    const unsigned flags = ballot(flag);
    if (inside) emit(i + lane, flag, rank + count_bits(flags & below), all);
    rank += count_bits(flags);
  }
  return all;
}

// rows[r]: the output channel at rank first_rank + r of the order "open channels, then masked ones", or -1 past the
// group. Returns how many of the rows are open. Ends without a barrier.
template <int kWarps>
__device__ __forceinline__ int select_rows(const ConvArgs& a, const BlockTile& b, const Gates& scale, int tile_m,
                                           int* rows, const int* totals) {
  for (int r = threadIdx.x; r < tile_m; r += 32 * kWarps)
    if (b.first_rank + r >= a.group_out) rows[r] = -1;
  const int open = rank_channels<kWarps>(scale, totals, [&](int i, bool flag, int rank, int all) {
    const int r = (flag ? rank : all + i - rank) - b.first_rank;
    if (r >= 0 && r < tile_m) rows[r] = b.first_out + i;
  });
  const int here = open - b.first_rank;
  return here < 0 ? 0 : here < tile_m ? here : tile_m;
}

// inputs[r]: the open input channels of the group, counted from its first. Ends without a barrier.
template <int kWarps>
__device__ __forceinline__ int select_inputs(const Gates& active, uint16_t* inputs, const int* totals) {
  return rank_channels<kWarps>(active, totals, [&](int i, bool flag, int rank, int) {
    if (flag && rank < active.n) inputs[rank] = static_cast<uint16_t>(i);
  });
}

}  // namespace cuda
}  // namespace sanp
