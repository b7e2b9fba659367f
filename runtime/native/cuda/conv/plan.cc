// Which kernels fit a shape, and the plans made of them.
#include "cuda/conv/plan.h"

#include <algorithm>
#include <cstring>

#include "cuda/conv/cost.h"
#include "cuda/conv/packed_shape.h"
#include "cuda/conv/tile_sizes.h"

namespace sanp {
namespace cuda {
namespace {

constexpr int kMostSlices = 16;
constexpr int kLeastDepth = 64;  // products per slice at the least; below that a block only starts and ends
constexpr int kMaxGridZ = 65535;
constexpr int kWidestHaloStrip = 64;

bool needs_tensor_cores(Algorithm f) { return f != kSimt && f != kDirect; }

bool is_pointwise(const SanpCudaConv& c) {
  return taps(c) == 1 && c.stride_h == 1 && c.stride_w == 1 && c.pad_top == 0 && c.pad_left == 0 &&
         c.height == c.out_height && c.width == c.out_width;
}

SanpCudaPlan make_plan(const KernelSizes& k, const SanpCudaConv& c, int shared, int split_k) {
  const Tiling t = tiling(c, k.tile_n, widest_strip(k.algorithm, c));
  SanpCudaPlan p;
  memset(&p, 0, sizeof p);
  p.version = SANP_CUDA_ABI_VERSION;
  p.algorithm = k.algorithm;
  p.tile_m = k.tile_m;
  p.tile_n = k.tile_n;
  p.tile_k = k.algorithm == kDirect ? 1 : k.algorithm == kSimt ? kSimtTileK : kHalfTileK;
  p.split_k = split_k;
  p.threads = k.threads;
  p.shared_bytes = shared;
  p.grid[0] = t.strips * t.strip_tiles;
  p.grid[1] = c.group * ceil_div(group_out(c), k.tile_m);
  p.grid[2] = c.batch * split_k;
  if (is_packed(k.algorithm)) p.tile_k = 16 * (k.algorithm == kPlanes8 || k.algorithm == kPlanes4 ? kPlaneBlocks : 1);
  const int64_t bytes =
      is_packed(k.algorithm) ? packed_workspace(c, p).bytes : static_cast<int64_t>(partial_bytes(c, split_k));
  p.reserved[kPlanWorkspace] = static_cast<int32_t>((bytes + 255) / 256);
  p.reserved[kPlanShape] = shape_hash(c);
  return p;
}

// Slices help only where the tiles alone leave multiprocessors idle.
bool may_split(const KernelSizes& k, const SanpCudaConv& c, const SanpCudaDevice& device, int split_k) {
  if (k.algorithm == kDirect) return false;
  const Tiling t = tiling(c, k.tile_n, widest_strip(k.algorithm, c));
  const int64_t tiles = int64_t{t.strips} * t.strip_tiles * c.group * ceil_div(group_out(c), k.tile_m) * c.batch;
  return tiles < 2 * device.sm_count && tiles * split_k <= 8 * device.sm_count && c.batch * split_k <= kMaxGridZ &&
         group_in(c) * taps(c) >= kLeastDepth * split_k;
}

}  // namespace

const std::vector<KernelSizes>& kernel_sizes() {
  static const std::vector<KernelSizes> all = {
#define F32 SANP_CUDA_FLOAT32
#define F16 SANP_CUDA_FLOAT16
#define SANP_CONV_KERNEL(algorithm, type, tile_m, tile_n, threads, ...) {algorithm, type, tile_m, tile_n, threads},
#define SANP_PACKED_KERNEL SANP_CONV_KERNEL
#include "cuda/conv/kernels.inc"
#undef SANP_PACKED_KERNEL
#undef SANP_CONV_KERNEL
#undef F16
#undef F32
  };
  return all;
}

// 64 keeps the window of a tile below 64 KiB for 3x3 taps at every map size.
int widest_strip(Algorithm algorithm, const SanpCudaConv& c) {
  return algorithm == kHalo ? kWidestHaloStrip : c.out_width;
}

bool suits(const KernelSizes& k, const SanpCudaConv& c, const SanpCudaDevice& device) {
  if (k.type != c.type || (needs_tensor_cores(k.algorithm) && device.sm_major < 8)) return false;
  if (k.algorithm == kHalo) {
    const Tiling t = tiling(c, k.tile_n, kWidestHaloStrip);
    const int64_t octets = int64_t{t.halo_w} * t.halo_h * (kHalfTileK / 8);
    if (taps(c) == 1 || octets > int64_t{taps(c)} * kHaloItems * k.threads) return false;
  }
  const bool by_eight = k.algorithm == kPointwise8 || k.algorithm == kPlanes8;
  if (by_eight && !(is_pointwise(c) && pixels(c) % 8 == 0)) return false;
  const bool by_four = k.algorithm == kPointwise4 || k.algorithm == kPlanes4;
  if (by_four && !(is_pointwise(c) && pixels(c) % 8 == 4)) return false;
  if (k.algorithm == kPacked4 && c.height * c.width % 4 != 0) return false;
  if (k.algorithm == kPacked1 && c.height * c.width % 4 == 0) return false;
  if (is_packed(k.algorithm) && !suits_packed(k, c)) return false;
  return shared_bytes(k, c) <= device.shared_bytes;
}

int64_t shared_bytes(const KernelSizes& k, const SanpCudaConv& c) {
  if (k.algorithm == kDirect) return 0;
  if (is_packed(k.algorithm)) return packed_shared_bytes(k, c);
  const int64_t lists = list_layout(k.tile_m, k.threads, group_in(c)).tiles;
  if (k.algorithm == kSimt) return lists + simt_tile_bytes(k.tile_n);
  int64_t inputs = kHalfTileK * half_pitch_n(k.tile_n);
  if (k.algorithm == kGather) inputs = k.tile_n * kHalfPixelPitch;
  if (k.algorithm == kHalo) {
    const Tiling t = tiling(c, k.tile_n, kWidestHaloStrip);
    inputs = int64_t{t.halo_w} * t.halo_h * kHalfPixelPitch;
  }
  return lists + half_tile_bytes(k.tile_m, k.tile_n, static_cast<int>(std::min<int64_t>(inputs, 1 << 24)));
}

std::vector<SanpCudaPlan> candidates(const SanpCudaConv& c, const SanpCudaDevice& device) {
  std::vector<std::pair<double, SanpCudaPlan>> found;
  for (const KernelSizes& k : kernel_sizes()) {
    if (!suits(k, c, device)) continue;
    const int shared = static_cast<int>(shared_bytes(k, c));
    for (int split_k = 1; split_k <= kMostSlices; split_k *= 2)
      if (split_k == 1 || may_split(k, c, device, split_k))
        found.emplace_back(estimated_cycles(k, c, device, shared, split_k), make_plan(k, c, shared, split_k));
  }
  std::stable_sort(found.begin(), found.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  std::vector<SanpCudaPlan> plans;
  for (const auto& f : found) plans.push_back(f.second);
  return plans;
}

size_t partial_bytes(const SanpCudaConv& c, int split_k) {
  if (split_k == 1) return 0;
  return sizeof(float) * static_cast<size_t>(split_k) * c.batch * c.c_out * pixels(c);
}

}  // namespace cuda
}  // namespace sanp
