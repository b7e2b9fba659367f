// Tests of the emulator itself: does it run kernels right, and does it notice the mistakes that it is there for?
//
//   sanp_cuda_emulator_test <case>     exits 0 if the case holds; cases that must crash are run by the Python test
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <vector>

#include "cuda/base/async_copy.h"
#include "cuda/base/index_math.h"
#include "cuda/base/launch.h"
#include "cuda/base/warp_matrix.h"
#include "cuda/sanp_cuda.h"

extern "C" void sanp_emulator_order(int seed);
extern "C" void sanp_emulator_device(const SanpCudaDevice* device);

using namespace sanp::cuda;

namespace {

struct Args {
  int* values;
  int n;
};

void require(bool condition, const char* what) {
  if (condition) return;
  fprintf(stderr, "FAILED: %s\n", what);
  exit(1);
}

template <void (*kKernel)(Args)>
std::vector<int> run(int blocks, int threads, int shared_bytes = 4096, int seed = 0) {
  std::vector<int> values(static_cast<size_t>(blocks * threads), -1);
  sanp_emulator_order(seed);
  const Args args{values.data(), threads};
  require(
      launch<Args, kKernel>(dim3(static_cast<unsigned>(blocks)), threads, shared_bytes, nullptr, args) == cudaSuccess,
      "the launch succeeds");
  return values;
}

// Every thread passes its number to its mirror image.
__global__ void mirror(Args a) {
  int* const shared = reinterpret_cast<int*>(shared_memory());
  shared[threadIdx.x] = static_cast<int>(threadIdx.x + 1000 * blockIdx.x);
  __syncthreads();
  a.values[blockIdx.x * blockDim.x + threadIdx.x] = shared[blockDim.x - 1 - threadIdx.x];
}

__global__ void mirror_without_barrier(Args a) {
  int* const shared = reinterpret_cast<int*>(shared_memory());
  shared[threadIdx.x] = static_cast<int>(threadIdx.x);
  a.values[threadIdx.x] = shared[blockDim.x - 1 - threadIdx.x];
}

// The vote brings the lanes of a warp together, not the warps.
__global__ void mirror_after_a_vote(Args a) {
  int* const shared = reinterpret_cast<int*>(shared_memory());
  shared[threadIdx.x] = static_cast<int>(threadIdx.x);
  ballot(true);
  ballot(true);
  a.values[threadIdx.x] = shared[blockDim.x - 1 - threadIdx.x];
}

__global__ void barrier_of_some(Args a) {
  if (threadIdx.x < 40) __syncthreads();
  a.values[threadIdx.x] = 0;
}

__global__ void vote_of_some(Args a) {
  if (threadIdx.x < 20) a.values[threadIdx.x] = ballot(true) != 0;
}

__global__ void different_instructions(Args a) {
  a.values[threadIdx.x] = threadIdx.x % 2 ? static_cast<int>(ballot(true)) : static_cast<int>(shuffle_down(1, 1, 32));
}

__global__ void behind_shared_memory(Args a) { a.values[threadIdx.x] = shared_memory()[4096]; }

__global__ void misaligned_vector(Args a) {
  a.values[threadIdx.x] = static_cast<int>(reinterpret_cast<const uint4*>(shared_memory() + 4)->x);
}

__global__ void misaligned_matrix(Args a) {
  a.values[threadIdx.x] = static_cast<int>(load_matrices(shared_memory() + threadIdx.x % 32 * 24).part[0]);
}

__global__ void fresh_shared_memory(Args a) {
  a.values[blockIdx.x * blockDim.x + threadIdx.x] = reinterpret_cast<int*>(shared_memory())[threadIdx.x];
  reinterpret_cast<int*>(shared_memory())[threadIdx.x] = 5;
}

__global__ void votes_and_shuffles(Args a) {
  const int lane = threadIdx.x % 32;
  const unsigned odd = ballot(lane % 2 == 1);
  const float from = shuffle_down(static_cast<float>(lane), 8, 16);
  a.values[threadIdx.x] = odd == 0xaaaaaaaau && from == static_cast<float>(lane % 16 < 8 ? lane + 8 : lane);
}

// The product of two matrices whose elements tell their place; a swapped index changes the result.
__global__ void matrix_product(Args a) {
  unsigned short* const w = reinterpret_cast<unsigned short*>(shared_memory());  // [16 rows][16 k]
  unsigned short* const x = w + 256;                                             // [8 pixels, twice][16 k]
  for (int i = threadIdx.x; i < 256; i += 32) {
    w[i] = float_to_half(static_cast<float>(i / 16 * 3 - i % 16));
    x[i] = float_to_half(static_cast<float>(i / 16 % 8 + i % 16 * 2));
  }
  __syncthreads();
  const int lane = threadIdx.x;
  const Matrices fragment = load_matrices(w + (lane % 16) * 16 + lane / 16 * 8);
  const Matrices other = load_matrices(x + (lane / 16 * 8 + lane % 8) * 16 + lane / 8 % 2 * 8);
  float sums[4] = {1, 1, 1, 1};
  multiply_add(sums, fragment, other.part[0], other.part[1]);
  bool right = true;
  for (int e = 0; e < 4; ++e) {
    const int row = lane / 4 + e / 2 * 8, column = lane % 4 * 2 + e % 2;
    float expected = 1;
    for (int k = 0; k < 16; ++k) expected += static_cast<float>((row * 3 - k) * (column + k * 2));
    right = right && sums[e] == expected;
  }
  a.values[threadIdx.x] = right;
}

// Two groups of copies, the second still on its way when the first is read.
__global__ void copies_in_groups(Args a) {
  unsigned char* const mine = shared_memory() + threadIdx.x * 32;
  static const uint4 numbers[2] = {{1, 2, 3, 4}, {5, 6, 7, 8}};
  copy_later<16>(mine, &numbers[0], true);
  close_copies();
  copy_later<16>(mine + 16, &numbers[1], false);
  copy_later<8>(mine + 16, &numbers[1], true);
  close_copies();
  const int* const values = reinterpret_cast<const int*>(mine);
  const bool nothing = values[0] == -1 && values[7] == -1;
  wait_copies<1>();
  const bool first = values[3] == 4 && values[4] == -1;
  wait_copies<0>();
  a.values[threadIdx.x] = nothing && first && values[4] == 5 && values[5] == 6 && values[7] == 0;
}

__global__ void copy_nobody_waits_for(Args a) {
  copy_later<16>(shared_memory() + threadIdx.x * 16, nullptr, false);
  a.values[threadIdx.x] = 0;
}

__global__ void misaligned_copy(Args) {
  copy_later<16>(shared_memory() + threadIdx.x * 16 + 8, nullptr, false);
  close_copies();
  wait_copies<0>();
}

// The last of the blocks finds the numbers of all others.
__global__ void sum_by_the_last(Args a) {
  int* const last = reinterpret_cast<int*>(shared_memory());
  if (threadIdx.x == 0) {
    a.values[32 + blockIdx.x] = static_cast<int>(blockIdx.x);
    fence();
    *last = count_arrival(reinterpret_cast<unsigned*>(a.values)) == gridDim.x - 2;  // it starts at -1
  }
  __syncthreads();
  if (!*last || threadIdx.x != 0) return;
  a.values[1] = 0;
  for (unsigned b = 0; b < gridDim.x; ++b) a.values[1] += a.values[32 + b];
}

void kernels_run() {
  for (int seed : {0, 1, 7}) require(run<sum_by_the_last>(3, 32, 4096, seed)[1] == 3, "the last block");
  for (int v : run<copies_in_groups>(1, 64)) require(v == 1, "copies");
  const std::vector<int> values = run<mirror>(3, 96);
  for (int i = 0; i < 288; ++i) require(values[static_cast<size_t>(i)] == 95 - i % 96 + 1000 * (i / 96), "mirror");
  for (int v : run<votes_and_shuffles>(1, 64)) require(v == 1, "votes and shuffles");
  for (int v : run<matrix_product>(1, 32)) require(v == 1, "matrix product");
  for (int v : run<fresh_shared_memory>(2, 32)) require(v == -1, "shared memory starts as NaN in every block");
}

void races_show() {
  require(run<mirror>(2, 64, 4096, 0) == run<mirror>(2, 64, 4096, 1), "a kernel without a race");
  require(run<mirror_without_barrier>(1, 64, 4096, 0) != run<mirror_without_barrier>(1, 64, 4096, 1), "a race");
  require(run<mirror_after_a_vote>(1, 64, 4096, 0) != run<mirror_after_a_vote>(1, 64, 4096, 1), "a race of warps");
}

void wrong_launches_fail() {
  int value = 0;
  const Args args{&value, 1};
  for (int threads : {0, 33, 2048})
    require(launch<Args, mirror>(dim3(1), threads, 0, nullptr, args) != cudaSuccess, "threads of a block");
  require(launch<Args, mirror>(dim3(1, 70000), 32, 0, nullptr, args) != cudaSuccess, "blocks of a grid");
  const SanpCudaDevice small = {7, 5, 40, 64 * 1024};
  sanp_emulator_device(&small);
  require(launch<Args, mirror>(dim3(1), 32, 65 * 1024, nullptr, args) != cudaSuccess, "shared memory of a block");
}

// Both directions for every half, and ties of the rounding.
void halves_convert() {
  for (unsigned bits = 0; bits < 65536; ++bits) {
    const float value = half_to_float(static_cast<unsigned short>(bits));
    if (value == value) require(float_to_half(value) == bits, "a half is its own nearest half");
  }
  for (unsigned bits = 0; bits < 0x7bff; ++bits) {
    const float low = half_to_float(static_cast<unsigned short>(bits)),
                high = half_to_float(static_cast<unsigned short>(bits + 1));
    const float middle = low + (high - low) / 2;
    require(float_to_half(middle) == bits + bits % 2, "ties go to even");
    require(float_to_half(nextafterf(middle, low)) == bits, "below the middle");
    require(float_to_half(nextafterf(middle, high)) == bits + 1, "above the middle");
  }
  require(float_to_half(65520.0f) == 0x7c00 && float_to_half(65519.0f) == 0x7bff, "the largest half");
}

void divisions_are_exact() {
  for (int divisor : {1, 2, 3, 7, 9, 49, 64, 112, 1000, 65537, (1 << 30) + 1, 2147483647}) {
    const FastDivide by = FastDivide::by(divisor);
    for (int64_t base = 0; base <= 2147483647; base = base * 3 + 1)
      for (int64_t n :
           {base, base / divisor * divisor, base / divisor * divisor - 1, base / divisor * divisor + divisor - 1})
        if (n >= 0 && n <= 2147483647) require(by.quotient(static_cast<int>(n)) == n / divisor, "a quotient");
    require(by.quotient(2147483647) == 2147483647 / divisor, "the largest dividend");
  }
}

void parts_cover_everything_once() {
  for (int n = 0; n < 150; ++n)
    for (int unit : {1, 16, 32})
      for (int parts = 1; parts < 20; ++parts) {
        int next = 0;
        for (int i = 0; i < parts; ++i) {
          const Range part = part_of(n, unit, parts, i);
          require(part.begin == next && part.end >= part.begin, "parts follow each other");
          require(part.begin % unit == 0 || part.begin == n, "parts begin at units");
          next = part.end;
        }
        require(next == n, "parts end at the end");
      }
}

const struct {
  const char* name;
  void (*body)();
} kCases[] = {
    {"kernels_run", kernels_run},
    {"races_show", races_show},
    {"wrong_launches_fail", wrong_launches_fail},
    {"halves_convert", halves_convert},
    {"divisions_are_exact", divisions_are_exact},
    {"parts_cover_everything_once", parts_cover_everything_once},
    {"crash_barrier_of_some", [] { run<barrier_of_some>(1, 64); }},
    {"crash_vote_of_some", [] { run<vote_of_some>(1, 32); }},
    {"crash_different_instructions", [] { run<different_instructions>(1, 32); }},
    {"crash_behind_shared_memory", [] { run<behind_shared_memory>(1, 32); }},
    {"crash_misaligned_vector", [] { run<misaligned_vector>(1, 32); }},
    {"crash_copy_nobody_waits_for", [] { run<copy_nobody_waits_for>(1, 32); }},
    {"crash_misaligned_copy", [] { run<misaligned_copy>(1, 32); }},
    {"crash_misaligned_matrix", [] { run<misaligned_matrix>(1, 32); }},
};

}  // namespace

int main(int argc, char** argv) {
  for (const auto& c : kCases)
    if (argc == 2 && strcmp(argv[1], c.name) == 0) {
      c.body();
      return 0;
    }
  fprintf(stderr, "usage: %s <case>\n", argv[0]);
  return 2;
}
