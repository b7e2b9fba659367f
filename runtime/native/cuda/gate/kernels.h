// The channel gate behind its means: two small layers, threshold or limit. docs/operators.md gives the formula.
//
// Sums run in the order of the CPU kernels (cpu/microkernels/gate_inl.h): element j goes to partial sum j mod 16, the
// 16 partials are folded 8 + 8, 4 + 4, 2 + 2, 1 + 1, products are rounded before they are added. So float32 inputs open
// the same gates on a GPU and on a CPU, bit for bit. The order fixes the parallelism: half a warp per sum.
#pragma once

#include "cuda/base/element.h"
#include "cuda/base/index_math.h"
#include "cuda/base/load.h"

namespace sanp {
namespace cuda {

constexpr int kGateLanes = 16;
constexpr int kGateThreads = 128;
constexpr int kGateRows = kGateThreads / kGateLanes;  // sums of a block

struct GateArgs {
  const void* x;
  const float *w1, *b1, *w2, *b2, *bias, *mask;
  const float* offset;               // null: none
  float *means, *hidden, *saliency;  // workspace: [batch, c_in], [batch, n_hidden], [batch, c_out]
  float *scale, *shift;
  int32_t c_in, pixels, n_hidden, c_out, mask_step, k;
  int32_t has_hidden;
  float threshold;
};

// The partial sums of a half warp's lanes, added in their order; the first lane has the result.
template <int kRows>
__device__ __forceinline__ void fold_partials(float (&sums)[kRows]) {
#pragma unroll
  for (int distance = kGateLanes / 2; distance > 0; distance /= 2)
#pragma unroll
    for (int r = 0; r < kRows; ++r) sums[r] = add_rounded(sums[r], shuffle_down(sums[r], distance, kGateLanes));
}

// sums[r] = term(r, 0) + ... + term(r, n - 1) in the first lane of every half warp. load(r, j, wanted) is the term, and
// +0 where it is not wanted: a partial sum is never -0, so a zero more changes no bit. kRows kAhead terms of a lane are
// on their way at once, because a chain of dependent loads would take a memory latency each.
template <int kRows, int kAhead, class Load>
__device__ __forceinline__ void ordered_sums(int n, Load load, float (&sums)[kRows]) {
#pragma unroll
  for (int r = 0; r < kRows; ++r) sums[r] = 0.0f;
  const int lane = threadIdx.x % kGateLanes;
  const auto add = [&](int first, auto is_wanted) {
    float terms[kRows][kAhead];
#pragma unroll
    for (int r = 0; r < kRows; ++r)
#pragma unroll
      for (int i = 0; i < kAhead; ++i) {
        const int j = first + lane + kGateLanes * i;
        terms[r][i] = load(r, j, is_wanted(j));
      }
#pragma unroll
    for (int i = 0; i < kAhead; ++i)
#pragma unroll
      for (int r = 0; r < kRows; ++r) sums[r] = add_rounded(sums[r], terms[r][i]);
  };
  int first = 0;
  // Loads without a condition: the compiler has few predicates, and waits where they run out.
  for (; first + kGateLanes * kAhead <= n; first += kGateLanes * kAhead) add(first, [](int) { return true; });
  if (first < n) add(first, [n](int j) { return j < n; });
  fold_partials(sums);
}

// relu(w v + b). NaN stays NaN: a broken gate must show, not close.
__device__ __forceinline__ float dense_relu(const float* w, const float* v, int n, float b) {
  float u[1];
  ordered_sums<1, 8>(
      n, [&](int, int j, bool wanted) { return multiply_rounded(load_if(wanted, w + j), wanted ? v[j] : 0.0f); }, u);
  const float sum = add_rounded(u[0], b);
  return sum < 0.0f ? 0.0f : sum;
}

// The row of this half warp among `rows`. Spare half warps repeat the last one, because a shuffle needs whole warps;
// only the first lane of a row that is `mine` stores.
struct GateRow {
  int index;
  bool mine;
};

__device__ __forceinline__ GateRow gate_row(int rows) {
  const int index = blockIdx.x * kGateRows + threadIdx.x / kGateLanes;
  return GateRow{index < rows ? index : rows - 1, index < rows && threadIdx.x % kGateLanes == 0};
}

// What a gate is multiplied with: does not depend on the map, so it can be loaded before the map is.
struct GateOutput {
  float mask, bias, offset;
};

__device__ __forceinline__ GateOutput gate_output(const GateArgs& a, int64_t sample, int o, bool wanted) {
  const int at = wanted ? o : 0;
  return GateOutput{load_if(wanted, a.mask + sample * a.mask_step + at), load_if(wanted, a.bias + at),
                    load_if(wanted && a.offset != nullptr, (a.offset != nullptr ? a.offset : a.bias) + at)};
}

__device__ __forceinline__ void store_gate(const GateArgs& a, int64_t sample, int o, float s, bool open,
                                           const GateOutput& with) {
  const float gated = multiply_rounded(s, open ? 1.0f : 0.0f);
  const float scale = multiply_rounded(gated, with.mask);
  a.scale[sample * a.c_out + o] = scale;
  const float shift = multiply_rounded(scale, with.bias);
  const bool moved = a.offset != nullptr && scale != 0.0f;
  a.shift[sample * a.c_out + o] = moved ? add_rounded(shift, with.offset) : shift;
}

// Grid of these kernels: (blocks of rows, batch).
__global__ void __launch_bounds__(kGateThreads) gate_squeeze(const GateArgs a) {
  const GateRow row = gate_row(a.n_hidden);
  const int64_t sample = blockIdx.y;
  const float u =
      dense_relu(a.w1 + static_cast<int64_t>(row.index) * a.c_in, a.means + sample * a.c_in, a.c_in, a.b1[row.index]);
  if (row.mine) a.hidden[sample * a.n_hidden + row.index] = u;
}

__global__ void __launch_bounds__(kGateThreads) gate_excite(const GateArgs a) {
  const GateRow row = gate_row(a.c_out);
  const int64_t sample = blockIdx.y;
  const float s = dense_relu(a.w2 + static_cast<int64_t>(row.index) * a.n_hidden, a.hidden + sample * a.n_hidden,
                             a.n_hidden, a.b2[row.index]);
  if (!row.mine) return;
  if (a.k > 0)
    a.saliency[sample * a.c_out + row.index] = s;
  else
    store_gate(a, sample, row.index, s, s > a.threshold, gate_output(a, sample, row.index, true));
}

// s exceeds the k+1-th largest exactly if at most k are as large as s, so every channel decides for itself and nothing
// is sorted; ties close. NaN counts as large, and more than k of them switch the limit off, as on the CPU.
__device__ __forceinline__ bool is_among_largest(const float* all, int n, float s, int k) {
  int as_large = 0, broken = 0;
#pragma unroll 8
  for (int j = 0; j < n; ++j) {
    as_large += !(all[j] < s);
    broken += all[j] != all[j];
  }
  return as_large <= k || broken > k;
}

__global__ void __launch_bounds__(kGateThreads) gate_limit(const GateArgs a) {
  const int o = blockIdx.x * kGateThreads + threadIdx.x;
  if (o >= a.c_out) return;
  const int64_t sample = blockIdx.y;
  const float* const all = a.saliency + sample * a.c_out;
  const bool open = all[o] > a.threshold && is_among_largest(all, a.c_out, all[o], a.k);
  store_gate(a, sample, o, all[o], open, gate_output(a, sample, o, true));
}

}  // namespace cuda
}  // namespace sanp
