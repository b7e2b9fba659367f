// Checks of a described convolution and the numbers that follow from it.
#pragma once

#include "cuda/base/index_math.h"
#include "cuda/sanp_cuda.h"

namespace sanp {
namespace cuda {

// True if the description contradicts nothing and every index fits the types that the kernels use.
bool is_valid(const SanpCudaConv& c);

// Differs between shapes that need different plans; bounds of the clamp are left out.
int32_t shape_hash(const SanpCudaConv& c);

inline int taps(const SanpCudaConv& c) { return c.kernel_h * c.kernel_w; }
inline int group_in(const SanpCudaConv& c) { return c.c_in / c.group; }
inline int group_out(const SanpCudaConv& c) { return c.c_out / c.group; }
inline int pixels(const SanpCudaConv& c) { return c.out_height * c.out_width; }

// How a map is cut for tiles of tile_n pixels; see ConvArgs.
struct Tiling {
  int strip_w, strips, strip_tiles;
  int halo_w, halo_h;  // input window of the largest tile
};
Tiling tiling(const SanpCudaConv& c, int tile_n, int widest_strip);

}  // namespace cuda
}  // namespace sanp
