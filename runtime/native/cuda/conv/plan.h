// Choice of kernel, tiles and slices for one shape on one device.
#pragma once

#include <vector>

#include "cuda/conv/shape.h"

namespace sanp {
namespace cuda {

enum Algorithm {
  kNoAlgorithm = 0,
  kSimt,        // gathered implicit GEMM on ordinary cores
  kDirect,      // one thread per output pixel: depthwise, few channels per group, whatever fits nowhere else
  kGather,      // tensor cores, inputs gathered tap by tap
  kHalo,        // tensor cores, every input of a tile staged once for all taps
  kPointwise8,  // tensor cores, 1x1 whose planes are read as vectors of 8 pixels
  kPointwise4,  // the same with 4
  kPacked4,     // tensor cores, weights packed once for a sample, planes of a multiple of 4 pixels
  kPacked1,     // the same for any plane
  kPlanes8,     // packed weights, 1x1 whose planes are copied as vectors of 8 pixels
  kPlanes4,     // the same with 4
};

inline bool is_packed(int algorithm) { return algorithm >= kPacked4 && algorithm <= kPlanes4; }

// One line of kernels.inc.
struct KernelSizes {
  Algorithm algorithm;
  SanpCudaType type;
  int tile_m, tile_n, threads;
};
const std::vector<KernelSizes>& kernel_sizes();

// False if the kernel cannot compute the shape at all.
bool suits(const KernelSizes& k, const SanpCudaConv& c, const SanpCudaDevice& device);

// Shared memory of a block; may be more than a device has.
int64_t shared_bytes(const KernelSizes& k, const SanpCudaConv& c);

// Strips no wider than this; only algorithms that stage a window cut the map.
int widest_strip(Algorithm algorithm, const SanpCudaConv& c);

// All ways to compute the shape, cheapest first by the model in cost.h. Empty if there is none.
std::vector<SanpCudaPlan> candidates(const SanpCudaConv& c, const SanpCudaDevice& device);

// Bytes of partial sums; 0 without slices.
size_t partial_bytes(const SanpCudaConv& c, int split_k);

// Fields of SanpCudaPlan::reserved.
enum { kPlanWorkspace, kPlanShape };  // in units of 256 bytes; shape_hash

}  // namespace cuda
}  // namespace sanp
