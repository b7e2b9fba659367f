// Limits, hash and tiling of a convolution shape.
#include "cuda/conv/shape.h"

#include <stddef.h>

#include <algorithm>

namespace sanp {
namespace cuda {
namespace {

constexpr int64_t kMaxIndex = int64_t{1} << 30;  // elements of a plane, a weight tensor, a coordinate
constexpr int kMaxChannels = 1 << 15;            // lists hold 16-bit numbers and lie in shared memory
constexpr int kMaxTaps = 1 << 12;
constexpr int kMaxBatch = 1 << 14;  // batch times slices is a grid dimension

bool is_rows(int rows, int batch) { return rows == 1 || rows == batch; }

// A window may hang over every edge, but each coordinate must fit.
bool fits(int64_t size, int64_t out, int64_t kernel, int64_t stride, int64_t pad, int64_t dilation) {
  if (size < 1 || out < 1 || kernel < 1 || stride < 1 || dilation < 1 || pad < 0 || pad >= kMaxIndex) return false;
  return kernel <= kMaxTaps && (out + 1024) * stride + kernel * dilation < kMaxIndex;
}

}  // namespace

bool is_valid(const SanpCudaConv& c) {
  if (c.type != SANP_CUDA_FLOAT32 && c.type != SANP_CUDA_FLOAT16) return false;
  if (c.weight_order != SANP_CUDA_OIHW && c.weight_order != SANP_CUDA_HWIO) return false;
  if (c.batch < 0 || c.batch > kMaxBatch || c.c_in < 1 || c.c_out < 1 || c.group < 1) return false;
  if (c.c_in > kMaxChannels || c.c_out > kMaxChannels || c.c_in % c.group != 0 || c.c_out % c.group != 0) return false;
  if (!fits(c.height, c.out_height, c.kernel_h, c.stride_h, c.pad_top, c.dilation_h)) return false;
  if (!fits(c.width, c.out_width, c.kernel_w, c.stride_w, c.pad_left, c.dilation_w)) return false;
  const int64_t n_taps = int64_t{c.kernel_h} * c.kernel_w;
  if (n_taps > kMaxTaps || n_taps * group_in(c) * c.c_out > kMaxIndex) return false;
  if (int64_t{c.height} * c.width > kMaxIndex || int64_t{c.out_height} * c.out_width > kMaxIndex) return false;
  if (!is_rows(c.scale_rows, c.batch) || !is_rows(c.shift_rows, c.batch) || !is_rows(c.active_rows, c.batch))
    return false;
  return (c.residual_dense == 0 || c.residual_dense == 1) && c.act_min <= c.act_max;
}

int32_t shape_hash(const SanpCudaConv& c) {
  uint32_t hash = 2166136261u;  // FNV-1a
  const auto* const bytes = reinterpret_cast<const unsigned char*>(&c);
  for (size_t i = 0; i < offsetof(SanpCudaConv, act_min); ++i) hash = (hash ^ bytes[i]) * 16777619u;
  return static_cast<int32_t>(hash);
}

Tiling tiling(const SanpCudaConv& c, int tile_n, int widest_strip) {
  Tiling t;
  t.strips = ceil_div(c.out_width, widest_strip);
  t.strip_w = ceil_div(c.out_width, t.strips);
  t.strip_tiles = static_cast<int>((int64_t{t.strip_w} * c.out_height + tile_n - 1) / tile_n);
  // A run of tile_n pixels that starts at the worst column of a row.
  const int rows = std::min<int>(c.out_height, static_cast<int>((int64_t{t.strip_w} - 1 + tile_n - 1) / t.strip_w + 1));
  t.halo_w = (t.strip_w - 1) * c.stride_w + (c.kernel_w - 1) * c.dilation_w + 1;
  t.halo_h = (rows - 1) * c.stride_h + (c.kernel_h - 1) * c.dilation_h + 1;
  return t;
}

}  // namespace cuda
}  // namespace sanp
