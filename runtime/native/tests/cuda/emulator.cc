// Fibers, barriers and warp rendezvous of the emulator.
#include "tests/cuda/emulator.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <random>
#include <vector>

namespace sanp {
namespace emulator {
namespace {

constexpr size_t kStackBytes = 128 * 1024;
constexpr size_t kPage = 4096;

enum class State { kReady, kBarrier, kWarp, kDone };

struct Copy {
  void* to;
  const void* from;
  int bytes;
  bool wanted;
};

struct Fiber {
  Thread thread;
  std::vector<Copy> asked;                // in no group yet
  std::vector<std::vector<Copy>> copies;  // groups on their way, oldest first
  State state = State::kDone;
  bool started = false;
  jmp_buf context;
  ucontext_t first;
  void* stack = nullptr;
};

// The lanes of one warp that have arrived at a warp instruction.
struct Meeting {
  const char* name = nullptr;
  int arrived = 0;
  const void* in[32];
  void* out[32];
};

// Memory that ends at an unmapped page, rounded to 16 bytes as dynamic shared memory is.
class GuardedBytes {
 public:
  explicit GuardedBytes(size_t bytes) : bytes_((bytes + 15) / 16 * 16) {
    body_ = (bytes_ + kPage - 1) / kPage * kPage;
    base_ = static_cast<unsigned char*>(
        mmap(nullptr, body_ + 2 * kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    if (base_ == MAP_FAILED) fail("out of memory for %zu bytes of shared memory", bytes);
    mprotect(base_, kPage, PROT_NONE);
    mprotect(base_ + kPage + body_, kPage, PROT_NONE);
  }
  ~GuardedBytes() { munmap(base_, body_ + 2 * kPage); }
  GuardedBytes(const GuardedBytes&) = delete;
  GuardedBytes& operator=(const GuardedBytes&) = delete;
  unsigned char* data() const { return base_ + kPage + body_ - bytes_; }
  size_t size() const { return bytes_; }

 private:
  size_t bytes_, body_;
  unsigned char* base_;
};

std::vector<std::unique_ptr<Fiber>> fibers;
std::vector<Meeting> meetings;
std::unique_ptr<GuardedBytes> shared_bytes;
const std::function<void()>* kernel_body = nullptr;
Fiber* current = nullptr;
jmp_buf scheduler;
int order_seed = 0, launches = 0;

void yield(State state) {
  current->state = state;
  if (_setjmp(current->context) == 0) _longjmp(scheduler, 1);
}

// A fiber lives on between blocks: starting one costs a system call, waking one does not.
void fiber_main() {
  for (;;) {
    (*kernel_body)();
    yield(State::kDone);
  }
}

void resume(Fiber* fiber) {
  current = fiber;
  running = &fiber->thread;
  if (_setjmp(scheduler) != 0) return;
  if (fiber->started) _longjmp(fiber->context, 1);
  fiber->started = true;
  getcontext(&fiber->first);
  fiber->first.uc_stack.ss_sp = fiber->stack;
  fiber->first.uc_stack.ss_size = kStackBytes;
  fiber->first.uc_link = nullptr;
  makecontext(&fiber->first, fiber_main, 0);
  setcontext(&fiber->first);
}

void have_fibers(size_t n) {
  while (fibers.size() < n) {
    fibers.push_back(std::make_unique<Fiber>());
    fibers.back()->stack =
        mmap(nullptr, kStackBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (fibers.back()->stack == MAP_FAILED) fail("out of memory for the stack of a thread");
  }
}

// 0: forwards, 1: backwards, else shuffled by the seed.
std::vector<size_t> sequence(size_t n) {
  std::vector<size_t> order(n);
  for (size_t i = 0; i < n; ++i) order[i] = order_seed == 1 ? n - 1 - i : i;
  if (order_seed > 1) std::shuffle(order.begin(), order.end(), std::mt19937(static_cast<unsigned>(order_seed)));
  return order;
}

// All threads of a block, warp after warp.
std::vector<size_t> thread_sequence(size_t threads) {
  std::vector<size_t> order;
  for (size_t warp : sequence(threads / 32))
    for (size_t lane : sequence(32)) order.push_back(warp * 32 + lane);
  return order;
}

// Runs 32 threads until each has returned or waits for somebody else.
void run_warp(const size_t* lanes) {
  for (bool ran = true; ran;) {
    ran = false;
    for (int i = 0; i < 32; ++i)
      if (fibers[lanes[i]]->state == State::kReady) {
        resume(fibers[lanes[i]].get());
        ran = true;
      }
  }
}

// A warp runs as far as it can before the next one starts. That keeps warps as far apart as barriers allow, so that a
// missing barrier shows: one of two opposite orders reads what has not been written.
void run_block(const std::vector<size_t>& order) {
  memset(shared_bytes->data(), 0xff, shared_bytes->size());
  for (size_t i : order) fibers[i]->state = State::kReady;
  for (;;) {
    for (size_t warp = 0; warp < order.size(); warp += 32) run_warp(order.data() + warp);
    size_t done = 0, at_barrier = 0;
    for (size_t i : order) {
      done += fibers[i]->state == State::kDone;
      at_barrier += fibers[i]->state == State::kBarrier;
    }
    if (done == order.size()) {
      for (size_t i : order)
        if (!fibers[i]->asked.empty() || !fibers[i]->copies.empty()) fail("a block ends with copies on their way");
      return;
    }
    if (at_barrier < order.size())
      fail("threads of a block part ways: of %zu, %zu wait at a barrier, %zu have returned, the others wait in %s",
           order.size(), at_barrier, done, meetings[0].name ? meetings[0].name : "a warp instruction");
    for (size_t i : order) fibers[i]->state = State::kReady;
  }
}

}  // namespace

Thread* running = nullptr;
dim3 grid_dim, block_dim;

void fail(const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  fputs("CUDA emulator: ", stderr);
  vfprintf(stderr, format, arguments);
  fputc('\n', stderr);
  va_end(arguments);
  abort();
}

void barrier() { yield(State::kBarrier); }
unsigned char* shared() { return shared_bytes->data(); }

bool is_shared(const void* pointer, int bytes) {
  const auto* const p = static_cast<const unsigned char*>(pointer);
  return p >= shared_bytes->data() && p + bytes <= shared_bytes->data() + shared_bytes->size();
}

void warp_meet(const char* name, const void* in, void* out, WarpFunction compute) {
  const unsigned index = running->thread_index.x, warp = index / 32, lane = index % 32;
  Meeting& m = meetings[warp];
  if (m.arrived == 0) m.name = name;
  if (strcmp(m.name, name) != 0) fail("lanes of warp %u part ways: %s and %s", warp, m.name, name);
  m.in[lane] = in;
  m.out[lane] = out;
  if (++m.arrived < 32) {
    yield(State::kWarp);
    return;
  }
  m.arrived = 0;
  compute(m.in, m.out);
  for (unsigned l = 0; l < 32; ++l)
    if (l != lane) fibers[warp * 32 + l]->state = State::kReady;
}

void copy_later(void* to, const void* from, int bytes, bool wanted) {
  if (!is_shared(to, bytes)) fail("cp.async: the target is not in shared memory");
  if (reinterpret_cast<uintptr_t>(to) % static_cast<size_t>(bytes) != 0 ||
      reinterpret_cast<uintptr_t>(from) % static_cast<size_t>(bytes) != 0)
    fail("cp.async: %d bytes that are not aligned", bytes);
  current->asked.push_back(Copy{to, from, bytes, wanted});
}

void close_copies() {
  current->copies.emplace_back();
  current->copies.back().swap(current->asked);
}

void wait_copies(int open) {
  auto& groups = current->copies;
  while (groups.size() > static_cast<size_t>(open)) {
    for (const Copy& c : groups.front()) {
      if (c.wanted)
        memcpy(c.to, c.from, static_cast<size_t>(c.bytes));
      else
        memset(c.to, 0, static_cast<size_t>(c.bytes));
    }
    groups.erase(groups.begin());
  }
}

static bool is_launchable(dim3 grid, dim3 block, size_t bytes) {
  int limit = 0;
  cudaDeviceGetAttribute(&limit, cudaDevAttrMaxSharedMemoryPerBlockOptin, 0);
  const bool threads = block.x > 0 && block.x <= 1024 && block.x % 32 == 0 && block.y == 1 && block.z == 1;
  const bool blocks = grid.x > 0 && grid.y > 0 && grid.z > 0 && grid.y <= 65535 && grid.z <= 65535;
  return threads && blocks && bytes <= static_cast<size_t>(limit);
}

cudaError_t run(dim3 grid, dim3 block, size_t bytes, const std::function<void()>& kernel) {
  if (!is_launchable(grid, block, bytes)) return cudaErrorInvalidConfiguration;
  ++launches;
  const size_t threads = block.x;
  have_fibers(threads);
  meetings.assign(threads / 32, Meeting());
  shared_bytes = std::make_unique<GuardedBytes>(bytes);
  kernel_body = &kernel;
  grid_dim = grid;
  block_dim = block;
  const std::vector<size_t> order = thread_sequence(threads);
  for (size_t at : sequence(static_cast<size_t>(grid.x) * grid.y * grid.z)) {
    for (size_t i = 0; i < threads; ++i) {
      fibers[i]->thread.thread_index = dim3(static_cast<unsigned>(i), 0, 0);
      fibers[i]->thread.block_index =
          dim3(static_cast<unsigned>(at % grid.x), static_cast<unsigned>(at / grid.x % grid.y),
               static_cast<unsigned>(at / grid.x / grid.y));
    }
    run_block(order);
  }
  return cudaSuccess;
}

}  // namespace emulator
}  // namespace sanp

// For tests: the order in which threads and blocks run from now on.
extern "C" __attribute__((visibility("default"))) void sanp_emulator_order(int seed) {
  sanp::emulator::order_seed = seed;
}

// For tests: kernels that were started since the last call.
extern "C" __attribute__((visibility("default"))) int sanp_emulator_launches() {
  const int n = sanp::emulator::launches;
  sanp::emulator::launches = 0;
  return n;
}
