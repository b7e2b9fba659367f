// The channel gate: means, two small layers, threshold or limit. docs/operators.md gives the formula.
//
// Sums run in the order of the CPU kernels (cpu/microkernels/gate_inl.h): element j goes to partial sum j mod 16, the
// 16 partials are folded 8 + 8, 4 + 4, 2 + 2, 1 + 1, products are rounded before they are added. So float32 inputs open
// the same gates on a GPU and on a CPU, bit for bit. The order fixes the parallelism: half a warp per sum.
#pragma once

#include "cuda/base/element.h"
#include "cuda/base/index_math.h"

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
  float threshold;
};

// Sum of term(0) ... term(n - 1), in the first lane of every half warp. Terms are fetched kAhead at a time, because a
// chain of dependent loads would take a memory latency each.
template <int kAhead, class Term>
__device__ __forceinline__ float ordered_sum(int n, Term term) {
  float part = 0.0f;
  int j = threadIdx.x % kGateLanes;
  for (; j + kGateLanes * (kAhead - 1) < n; j += kGateLanes * kAhead) {
    float terms[kAhead];
#pragma unroll
    for (int i = 0; i < kAhead; ++i) terms[i] = term(j + kGateLanes * i);
#pragma unroll
    for (int i = 0; i < kAhead; ++i) part = add_rounded(part, terms[i]);
  }
  for (; j < n; j += kGateLanes) part = add_rounded(part, term(j));
#pragma unroll
  for (int distance = kGateLanes / 2; distance > 0; distance /= 2)
    part = add_rounded(part, shuffle_down(part, distance, kGateLanes));
  return part;
}

// relu(w v + b) of one row. NaN stays NaN: a broken gate must show, not close.
__device__ __forceinline__ float dense_relu(const float* w, const float* v, int n, float b) {
  const float u = add_rounded(ordered_sum<8>(n, [&](int j) { return multiply_rounded(w[j], v[j]); }), b);
  return u < 0.0f ? 0.0f : u;
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

__device__ __forceinline__ void store_gate(const GateArgs& a, int64_t sample, int o, float s, bool open) {
  const float gated = multiply_rounded(s, open ? 1.0f : 0.0f);
  const float scale = multiply_rounded(gated, a.mask[sample * a.mask_step + o]);
  a.scale[sample * a.c_out + o] = scale;
  const float shift = multiply_rounded(scale, a.bias[o]);
  const bool moved = a.offset != nullptr && scale != 0.0f;
  a.shift[sample * a.c_out + o] = moved ? add_rounded(shift, a.offset[o]) : shift;
}

// Grid of all kernels: (blocks of rows, batch).
template <class T>
__global__ void __launch_bounds__(kGateThreads) gate_means(const GateArgs a) {
  const GateRow row = gate_row(a.c_in);
  const int64_t channel = static_cast<int64_t>(blockIdx.y) * a.c_in + row.index;
  const T* const x = static_cast<const T*>(a.x) + channel * a.pixels;
  const float sum = ordered_sum<16>(a.pixels, [&](int j) { return to_float(x[j]); });
  if (row.mine) a.means[channel] = divide_rounded(sum, static_cast<float>(a.pixels));
}

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
    store_gate(a, sample, row.index, s, s > a.threshold);
}

// s exceeds the k+1-th largest exactly if at most k are as large as s, so every channel decides for itself and nothing
// is sorted; ties close. NaN counts as large, and more than k of them switch the limit off, as on the CPU.
__global__ void __launch_bounds__(kGateThreads) gate_limit(const GateArgs a) {
  const int o = blockIdx.x * kGateThreads + threadIdx.x;
  if (o >= a.c_out) return;
  const int64_t sample = blockIdx.y;
  const float* const all = a.saliency + sample * a.c_out;
  const float s = all[o];
  int as_large = 0, broken = 0;
#pragma unroll 8
  for (int j = 0; j < a.c_out; ++j) {
    as_large += !(all[j] < s);
    broken += all[j] != all[j];
  }
  store_gate(a, sample, o, s, s > a.threshold && (as_large <= a.k || broken > a.k));
}

}  // namespace cuda
}  // namespace sanp
