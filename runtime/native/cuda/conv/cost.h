// Estimated time of one plan, to rank plans of one shape. The constants are counted instructions and published rates,
// not measurements: no GPU was at hand. benchmarks/gpu measures every candidate and shows where the ranking is wrong.
#pragma once

#include "cuda/conv/plan.h"

namespace sanp {
namespace cuda {

// Cycles of a multiprocessor.
double estimated_cycles(const KernelSizes& k, const SanpCudaConv& c, const SanpCudaDevice& device, int shared_bytes,
                        int split_k);

}  // namespace cuda
}  // namespace sanp
