// Runs CUDA kernels on a CPU, for tests: the same source, compiled as C++ with these names in place of CUDA's.
//
// Every thread of a block is a fiber, so barriers and warp instructions meet as they do on a GPU. Blocks run one after
// another. The order of fibers and of blocks can be changed: results that depend on it are races. Shared memory is
// filled with NaN before every block and ends at an unmapped page. A barrier that only some threads reach, a warp
// instruction that only some lanes reach, and a misaligned vector end the program with a message.
#pragma once

#include <math.h>
#include <stdint.h>

#include <functional>

#include "tests/cuda/emulated_runtime.h"

#define __global__ [[maybe_unused]] static
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)

namespace sanp {
namespace emulator {

struct Thread {
  dim3 thread_index, block_index;
};
extern Thread* running;  // the fiber that runs now
extern dim3 grid_dim, block_dim;

void barrier();
unsigned char* shared();

// A warp instruction: every lane hands over `in` and receives `out` once all 32 have arrived. `compute` runs once, on
// the operands of all lanes. `name` must be the same for all of them.
using WarpFunction = void (*)(const void* const in[32], void* const out[32]);
void warp_meet(const char* name, const void* in, void* out, WarpFunction compute);

// Copies to shared memory that wait in groups, as cp.async does: bytes arrive when the thread waits for their group and
// no earlier, so that a missing wait reads what was there before. A block that ends with copies on their way is a
// mistake.
void copy_later(void* to, const void* from, int bytes, bool wanted);
void close_copies();
void wait_copies(int open);

[[noreturn]] void fail(const char* format, ...);

// True where all `bytes` at `pointer` are shared memory of the running block.
bool is_shared(const void* pointer, int bytes);

cudaError_t run(dim3 grid, dim3 block, size_t shared_bytes, const std::function<void()>& kernel);

}  // namespace emulator
}  // namespace sanp

#define threadIdx (::sanp::emulator::running->thread_index)
#define blockIdx (::sanp::emulator::running->block_index)
#define gridDim (::sanp::emulator::grid_dim)
#define blockDim (::sanp::emulator::block_dim)

inline void __syncthreads() { sanp::emulator::barrier(); }

struct alignas(16) float4 {
  float x, y, z, w;
};
struct alignas(8) uint2 {
  unsigned x, y;
};
struct alignas(16) int4 {
  int x, y, z, w;
};
struct alignas(16) uint4 {
  unsigned x, y, z, w;
};

namespace sanp {
namespace cuda {

inline unsigned char* shared_memory() { return emulator::shared(); }

unsigned ballot(bool flag);
float shuffle_down(float value, int distance, int width);
// Blocks run one after another here: an arrival that is counted wrongly shows, a missing fence does not.
inline void fence() {}
inline unsigned count_arrival(unsigned* counter) { return (*counter)++; }
inline int count_bits(unsigned bits) { return __builtin_popcount(bits); }

// The emulator is compiled without contraction.
inline float add_rounded(float a, float b) { return a + b; }
inline float multiply_rounded(float a, float b) { return a * b; }
inline float divide_rounded(float a, float b) { return a / b; }

float half_to_float(unsigned short bits);
unsigned short float_to_half(float value);

}  // namespace cuda
}  // namespace sanp
