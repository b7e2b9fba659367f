// Choice of kernel, tiles and slices for one shape on one device.
#pragma once

#include <vector>

#include "conv_shape.h"

namespace sanp {
namespace cuda {

enum Family {
  kNoFamily = 0,
  kSimt,       // gathered implicit GEMM on ordinary cores
  kDirect,     // one thread per output pixel: depthwise, few channels per group, whatever fits nowhere else
  kGather,     // tensor cores, inputs gathered tap by tap
  kHalo,       // tensor cores, every input of a tile staged once for all taps
  kPointwise,  // tensor cores, 1x1 whose planes are read as vectors
};

// One line of conv_kernels.inc.
struct KernelSizes {
  Family family;
  SanpCudaType type;
  int tile_m, tile_n, threads;
};
const std::vector<KernelSizes>& kernel_sizes();

// 0 if the kernel cannot compute the shape on the device, else the shared memory of a block.
int shared_bytes(const KernelSizes& k, const SanpCudaConv& c, const SanpCudaDevice& device);

// Strips no wider than this; only families that stage a window cut the map.
int widest_strip(Family family, const SanpCudaConv& c);

// All ways to compute the shape, cheapest first by the model in cost.h. Empty if there is none.
std::vector<SanpCudaPlan> candidates(const SanpCudaConv& c, const SanpCudaDevice& device);

// Bytes of partial sums; 0 without slices.
size_t partial_bytes(const SanpCudaConv& c, int split_k);

// Fields of SanpCudaPlan::reserved.
enum { kPlanWorkspace, kPlanShape };  // in units of 256 bytes; shape_hash

}  // namespace cuda
}  // namespace sanp
