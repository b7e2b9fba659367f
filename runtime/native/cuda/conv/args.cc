// The launch arguments that follow from shape, plan and tensors.
#include "cuda/conv/launch.h"
#include "cuda/conv/packed_shape.h"

namespace sanp {
namespace cuda {
namespace {

void set_weight_strides(const SanpCudaConv& c, ConvArgs* a) {
  if (c.weight_order == SANP_CUDA_HWIO) {
    a->w_out = 1;
    a->w_in = c.c_out;
    a->w_tap = group_in(c) * c.c_out;
  } else {
    a->w_out = group_in(c) * taps(c);
    a->w_in = taps(c);
    a->w_tap = 1;
  }
}

void set_tiling(const SanpCudaConv& c, const SanpCudaPlan& p, ConvArgs* a) {
  const Tiling t = tiling(c, p.tile_n, widest_strip(static_cast<Algorithm>(p.algorithm), c));
  a->m_tiles = ceil_div(group_out(c), p.tile_m);
  a->split_k = p.split_k;
  a->strip_w = t.strip_w;
  a->strip_tiles = t.strip_tiles;
  const bool has_halo = p.algorithm == kHalo;  // elsewhere the window of a tile may not even fit an int
  a->halo_w = has_halo ? t.halo_w : 1;
  a->halo_pixels = has_halo ? t.halo_w * t.halo_h : 1;
  a->by_taps = FastDivide::by(taps(c));
  a->by_kernel_w = FastDivide::by(c.kernel_w);
  a->by_strip_w = FastDivide::by(t.strip_w);
  a->by_halo_w = FastDivide::by(a->halo_w);
  a->by_halo_pixels = FastDivide::by(a->halo_pixels);
  a->by_m_tiles = FastDivide::by(a->m_tiles);
  a->by_strip_tiles = FastDivide::by(t.strip_tiles);
  a->by_split_k = FastDivide::by(p.split_k);
}

void set_packed(const SanpCudaConv& c, const SanpCudaPlan& p, void* workspace, PackedConvArgs* a) {
  const PackedWorkspace w = packed_workspace(c, p);
  unsigned char* const at = static_cast<unsigned char*>(workspace);
  PackedArgs& packed = a->packed;
  packed.opens = reinterpret_cast<int32_t*>(at + w.opens);
  packed.rows = reinterpret_cast<int32_t*>(at + w.rows);
  packed.inputs = reinterpret_cast<int32_t*>(at + w.inputs);
  packed.arrivals = reinterpret_cast<unsigned*>(at + w.arrivals);
  packed.weights = at + w.weights;
  packed.partial = reinterpret_cast<float*>(at + w.partial);
  packed.row_blocks = w.row_blocks;
  packed.k_blocks = w.k_blocks;
  packed.list_step = w.lists == 1 ? 0 : 1;
  const bool has_window = p.algorithm == kPacked4 || p.algorithm == kPacked1;
  const PackedWindow window = packed_window(c, p.tile_n);
  packed.gap = has_window ? static_cast<int32_t>(window.gap) : 0;
  packed.window = has_window ? static_cast<int32_t>(window.pixels) : 0;
  const uintptr_t places =
      reinterpret_cast<uintptr_t>(a->y) | (c.residual_dense ? reinterpret_cast<uintptr_t>(a->residual) : 0);
  packed.pairs = a->pixels % 2 == 0 && places % 4 == 0;
  packed.tiles_x = p.grid[0];
  packed.by_width = FastDivide::by(c.width);
  a->partial = nullptr;
}

}  // namespace

PackedConvArgs conv_args(const SanpCudaConv& c, const SanpCudaPlan& p, const SanpCudaConvTensors& t, void* workspace) {
  PackedConvArgs a{};
  a.x = t.x;
  a.w = t.w;
  a.scale = t.scale;
  a.shift = t.shift;
  a.in_active = t.in_active;
  a.residual = t.residual;
  a.y = t.y;
  a.partial = p.split_k > 1 ? static_cast<float*>(workspace) : nullptr;
  a.batch = c.batch;
  a.c_in = c.c_in;
  a.height = c.height;
  a.width = c.width;
  a.c_out = c.c_out;
  a.out_h = c.out_height;
  a.out_w = c.out_width;
  a.pixels = pixels(c);
  a.kernel_w = c.kernel_w;
  a.taps = taps(c);
  a.stride_h = c.stride_h;
  a.stride_w = c.stride_w;
  a.pad_top = c.pad_top;
  a.pad_left = c.pad_left;
  a.dilation_h = c.dilation_h;
  a.dilation_w = c.dilation_w;
  a.group_in = group_in(c);
  a.group_out = group_out(c);
  a.scale_step = c.scale_rows == 1 ? 0 : c.c_out;
  a.shift_step = c.shift_rows == 1 ? 0 : c.c_out;
  a.active_step = c.active_rows == 1 ? 0 : c.c_in;
  a.residual_dense = c.residual_dense;
  a.act_min = c.act_min;
  a.act_max = c.act_max;
  set_weight_strides(c, &a);
  set_tiling(c, p, &a);
  if (is_packed(p.algorithm)) set_packed(c, p, workspace, &a);
  return a;
}

}  // namespace cuda
}  // namespace sanp
